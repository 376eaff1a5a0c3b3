/* SPDX-License-Identifier: Apache-2.0 */
#include "pack.h"

#include "base/assert.h"
#include "record_tbl.h"

#include <stddef.h>

struct packed_head {
    int64_t wall_ms;
    uint64_t mono_ns;
    uint8_t is_event;
    uint8_t urgency;
    uint8_t truncated;
};

/* Of a flow: everything in front of `target` as it lies in struct record_flow, then this, then the bytes of the answers,
 * of the target's name and of the strings in the order of the table. */
#define FLOW_FIXED_BYTES offsetof(struct record_flow, target)

enum {
#define X(member, max) FLOW_STRING_##member,
    FLOW_STRING_TABLE(X)
#undef X
        FLOW_STRINGS,
};

_Static_assert(sizeof(struct record_flow) == FLOW_FIXED_BYTES + sizeof(struct target *) + sizeof(struct ipaddr *) +
                                                 FLOW_STRINGS * sizeof(struct span),
               "a field that has one size stands in front of those that have not");

struct packed_lengths {
    uint16_t strings[FLOW_STRINGS];
    uint16_t target_port;
    uint8_t target_kind;
    uint8_t name; /* of a target's */
};

struct packed_event {
    uint8_t event, fact_count;
};

#define X(member, max) +(max)
enum { FLOW_STRINGS_MAX = 0 FLOW_STRING_TABLE(X) };
#undef X

_Static_assert(sizeof(struct packed_head) + FLOW_FIXED_BYTES + sizeof(struct packed_lengths) + HOSTNAME_MAX +
                       FLOW_STRINGS_MAX + FLOW_ANSWERS_MAX * sizeof(struct ipaddr) <=
                   PACK_BYTES_MAX,
               "the longest flow record has room in the ring");
_Static_assert(sizeof(struct packed_head) + sizeof(struct packed_event) + EVENT_ENVIRONMENT_MAX + EVENT_SUBJECT_MAX +
                       EVENT_MESSAGE_MAX + 6 + EVENT_FACTS_MAX * (sizeof(struct event_fact) + 2) <
                   PACK_BYTES_MAX,
               "every fact of an event has room for at least its number");

struct packer {
    uint8_t *out;
    size_t len;
    bool truncated;
};

struct span pack_cut(struct span s, size_t max)
{
    if (s.len <= max)
        return s;
    size_t end = max;
    for (unsigned back = 0; back < 3 && end > 0 && (s.data[end] & 0xc0) == 0x80; back++)
        end--;
    /* Three tails in a row without a lead are no character: cut hard. */
    if (end == 0 || (s.data[end] & 0xc0) == 0x80)
        end = max;
    return span_first(s, end);
}

static void put(struct packer *p, const void *data, size_t len)
{
    if (len != 0)
        memcpy(p->out + p->len, data, len);
    p->len += len;
}

static void put_string(struct packer *p, struct span s, size_t max)
{
    struct span kept = pack_cut(s, max);
    p->truncated |= kept.len < s.len;
    uint16_t len = (uint16_t)kept.len;
    put(p, &len, sizeof len);
    put(p, kept.data, kept.len);
}

static size_t finish(struct packer *p, const struct pack_stamp *stamp, bool is_event)
{
    struct packed_head head = {
        .wall_ms = stamp->wall_ms,
        .mono_ns = stamp->mono_ns,
        .is_event = is_event,
        .urgency = (uint8_t)stamp->urgency,
        .truncated = p->truncated,
    };
    memcpy(p->out, &head, sizeof head);
    ASSERT(p->len <= PACK_BYTES_MAX);
    return p->len;
}

/* Most strings of a record are short: no call, and no loop. */
static inline uint8_t *copy_short(uint8_t *to, const uint8_t *from, size_t len)
{
    if (len > 32) {
        memcpy(to, from, len);
    } else if (len > 16) {
        memcpy(to, from, 16);
        memcpy(to + len - 16, from + len - 16, 16); /* the halves overlap */
    } else if (len >= 8) {
        memcpy(to, from, 8);
        memcpy(to + len - 8, from + len - 8, 8);
    } else if (len >= 4) {
        memcpy(to, from, 4);
        memcpy(to + len - 4, from + len - 4, 4);
    } else if (len > 0) {
        to[0] = from[0];
        to[len / 2] = from[len / 2];
        to[len - 1] = from[len - 1];
    }
    return to + len;
}

static inline uint8_t *put_text(uint8_t *at, struct span s, size_t max, uint16_t *out_len, bool *out_truncated)
{
    if (s.len == 0)
        return at;
    if (s.len > max) {
        s = pack_cut(s, max);
        *out_truncated = true;
    }
    *out_len = (uint16_t)s.len;
    return copy_short(at, s.data, s.len);
}

static uint8_t *put_target(uint8_t *at, const struct target *target, struct packed_lengths *out)
{
    if (target == NULL)
        return at;
    out->target_kind = (uint8_t)target->kind;
    out->target_port = target->port;
    if (target->kind == TARGET_NAME) {
        out->name = target->name.len;
        return copy_short(at, (const uint8_t *)target->name.bytes, out->name);
    }
    memcpy(at, &target->addr, sizeof target->addr);
    return target->kind == TARGET_ADDRESS ? at + sizeof target->addr : at;
}

size_t pack_flow(const struct record_flow *record, const struct pack_stamp *stamp, uint8_t *out)
{
    struct packed_lengths lengths = {.target_kind = TARGET_NONE};
    bool truncated = record->answer_count > FLOW_ANSWERS_MAX;
    uint8_t answers = truncated ? FLOW_ANSWERS_MAX : record->answer_count;
    uint8_t *fixed = out + sizeof(struct packed_head), *at = fixed + FLOW_FIXED_BYTES + sizeof lengths;
    memcpy(fixed, record, FLOW_FIXED_BYTES);
    fixed[offsetof(struct record_flow, answer_count)] = answers;
    if (answers != 0) {
        memcpy(at, record->answers, answers * sizeof record->answers[0]);
        at += answers * sizeof record->answers[0];
    }
    at = put_target(at, record->target, &lengths);
#define X(member, max) at = put_text(at, record->member, max, &lengths.strings[FLOW_STRING_##member], &truncated);
    FLOW_STRING_TABLE(X)
#undef X
    memcpy(fixed + FLOW_FIXED_BYTES, &lengths, sizeof lengths);
    struct packer p = {.out = out, .len = (size_t)(at - out), .truncated = truncated};
    return finish(&p, stamp, false);
}

size_t pack_event(const struct record_event *record, const struct pack_stamp *stamp, uint8_t *out)
{
    struct packer p = {.out = out, .len = sizeof(struct packed_head)};
    size_t facts = record->fact_count < EVENT_FACTS_MAX ? record->fact_count : EVENT_FACTS_MAX;
    p.truncated = facts < record->fact_count;
    struct packed_event fixed = {.event = (uint8_t)record->event, .fact_count = (uint8_t)facts};
    put(&p, &fixed, sizeof fixed);
    put_string(&p, record->environment, EVENT_ENVIRONMENT_MAX);
    put_string(&p, record->subject, EVENT_SUBJECT_MAX);
    put_string(&p, record->message, EVENT_MESSAGE_MAX);
    for (size_t i = 0; i < facts; i++) {
        const struct event_fact *fact = &record->facts[i];
        put(&p, fact, sizeof *fact); /* the key is a literal; the text is put behind it and found again there */
        size_t later = (facts - i - 1) * (sizeof *fact + 2);
        size_t room = PACK_BYTES_MAX - p.len - 2 - later;
        put_string(&p, fact->is_number ? span_make(NULL, 0) : fact->text,
                   room < EVENT_FACT_MAX ? room : EVENT_FACT_MAX);
    }
    return finish(&p, stamp, true);
}

struct unpacker {
    struct span rest;
};

static const uint8_t *take(struct unpacker *u, size_t len)
{
    ASSERT(len <= u->rest.len);
    const uint8_t *at = u->rest.data;
    u->rest = span_from(u->rest, len);
    return at;
}

static void take_into(struct unpacker *u, void *out, size_t len)
{
    memcpy(out, take(u, len), len);
}

static struct span take_string(struct unpacker *u)
{
    uint16_t len = 0;
    take_into(u, &len, sizeof len);
    return span_make(len == 0 ? NULL : take(u, len), len);
}

static void take_target(struct unpacker *u, const struct packed_lengths *lengths, struct sealed *out)
{
    struct target *target = &out->target;
    out->flow.target = NULL;
    if (lengths->target_kind == TARGET_NONE)
        return;
    target->kind = (enum target_kind)lengths->target_kind;
    target->port = lengths->target_port;
    if (target->kind == TARGET_NAME) {
        ASSERT(lengths->name <= HOSTNAME_MAX);
        target->name.len = lengths->name;
        take_into(u, target->name.bytes, lengths->name);
        target->name.bytes[lengths->name] = '\0';
    } else {
        take_into(u, &target->addr, sizeof target->addr);
    }
    out->flow.target = target;
}

static void unpack_flow(struct unpacker *u, struct sealed *out)
{
    struct packed_lengths lengths;
    struct record_flow *r = &out->flow;
    take_into(u, r, FLOW_FIXED_BYTES);
    take_into(u, &lengths, sizeof lengths);
    /* An address is bytes alone and needs no alignment: it can stay where it lies. */
    _Static_assert(_Alignof(struct ipaddr) == 1, "answers are read in place");
    r->answers = r->answer_count == 0 ? NULL : (const void *)take(u, r->answer_count * sizeof(struct ipaddr));
    take_target(u, &lengths, out);
#define X(member, max)                                                                                                 \
    {                                                                                                                  \
        size_t len = lengths.strings[FLOW_STRING_##member];                                                            \
        r->member = span_make(len == 0 ? NULL : take(u, len), len);                                                    \
    }
    FLOW_STRING_TABLE(X)
#undef X
}

static void unpack_event(struct unpacker *u, struct sealed *out)
{
    struct packed_event fixed;
    take_into(u, &fixed, sizeof fixed);
    struct record_event *r = &out->event;
    r->event = (enum event_kind)fixed.event;
    r->fact_count = fixed.fact_count;
    r->environment = take_string(u);
    r->subject = take_string(u);
    r->message = take_string(u);
    for (size_t i = 0; i < r->fact_count; i++) {
        take_into(u, &r->facts[i], sizeof r->facts[i]);
        r->facts[i].text = take_string(u);
    }
}

void unpack(struct span packed, struct sealed *out)
{
    struct unpacker u = {.rest = packed};
    struct packed_head head;
    take_into(&u, &head, sizeof head);
    out->is_event = head.is_event != 0;
    out->urgency = (enum urgency)head.urgency;
    out->truncated = head.truncated != 0;
    out->wall_ms = head.wall_ms;
    out->mono_ns = head.mono_ns;
    if (out->is_event)
        unpack_event(&u, out);
    else
        unpack_flow(&u, out);
}
