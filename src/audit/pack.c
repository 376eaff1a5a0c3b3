/* SPDX-License-Identifier: Apache-2.0 */
#include "pack.h"

#include "base/assert.h"
#include "record_tbl.h"

struct packed_head {
    int64_t wall_ms;
    uint64_t mono_ns;
    uint8_t is_event;
    uint8_t urgency;
    uint8_t truncated;
};

struct packed_flow {
    int64_t count_start_ms, count_end_ms;
    uint64_t bytes_up, bytes_down, duration_ms, target_generation;
    struct decision decision;
    struct flow_times times;
    uint32_t peer_uid, peer_pid, count, dials, dns_sent, raw_target_bytes;
    uint16_t peer_port, http_status, tls_version, target_port;
    struct record_lookup lookup;
    struct ipaddr peer, dialled;
    uint8_t flow[FLOW_ID_BYTES];
    uint8_t kind, end, target_kind, answer_count;
    bool http, has_peer_uid, raw_target_truncated, has_hello, ech, dns_joined;
};

struct packed_event {
    uint8_t event, fact_count;
};

#define X(member, max) +(max) + 2
enum { FLOW_STRINGS_MAX = 0 FLOW_STRING_TABLE(X) };
#undef X

_Static_assert(sizeof(struct packed_head) + sizeof(struct packed_flow) + 1 + HOSTNAME_MAX + FLOW_STRINGS_MAX +
                       FLOW_ANSWERS_MAX * sizeof(struct ipaddr) <=
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

static void put_flow_fixed(struct packer *p, const struct record_flow *r, uint8_t answer_count)
{
    struct packed_flow fixed = {
        .count_start_ms = r->count_start_ms,
        .count_end_ms = r->count_end_ms,
        .bytes_up = r->bytes_up,
        .bytes_down = r->bytes_down,
        .duration_ms = r->duration_ms,
        .target_generation = r->target_generation,
        .decision = r->decision,
        .times = r->times,
        .peer_uid = r->peer_uid,
        .peer_pid = r->peer_pid,
        .count = r->count,
        .dials = r->dials,
        .dns_sent = r->dns_sent,
        .dns_joined = r->dns_joined,
        .lookup = r->lookup,
        .raw_target_bytes = r->raw_target_bytes,
        .peer_port = r->peer_port,
        .http_status = r->http_status,
        .tls_version = r->tls_version,
        .target_port = r->target == NULL ? 0 : r->target->port,
        .peer = r->peer,
        .dialled = r->dialled,
        .kind = (uint8_t)r->kind,
        .end = (uint8_t)r->end,
        .target_kind = r->target == NULL ? TARGET_NONE : (uint8_t)r->target->kind,
        .answer_count = answer_count,
        .http = r->http,
        .has_peer_uid = r->has_peer_uid,
        .raw_target_truncated = r->raw_target_truncated,
        .has_hello = r->has_hello,
        .ech = r->ech,
    };
    memcpy(fixed.flow, r->flow, sizeof fixed.flow);
    put(p, &fixed, sizeof fixed);
}

size_t pack_flow(const struct record_flow *record, const struct pack_stamp *stamp, uint8_t *out)
{
    struct packer p = {.out = out, .len = sizeof(struct packed_head)};
    uint8_t answers = record->answer_count < FLOW_ANSWERS_MAX ? record->answer_count : FLOW_ANSWERS_MAX;
    p.truncated = answers < record->answer_count;
    put_flow_fixed(&p, record, answers);
    put(&p, record->answers, answers * sizeof(struct ipaddr));
    if (record->target != NULL && record->target->kind == TARGET_NAME) {
        put(&p, &record->target->name.len, 1);
        put(&p, record->target->name.bytes, record->target->name.len);
    } else if (record->target != NULL && record->target->kind == TARGET_ADDRESS) {
        put(&p, &record->target->addr, sizeof record->target->addr);
    }
#define X(member, max) put_string(&p, record->member, max);
    FLOW_STRING_TABLE(X)
#undef X
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

static void take_target(struct unpacker *u, const struct packed_flow *fixed, struct sealed *out)
{
    struct target *target = &out->target;
    memset(target, 0, sizeof *target);
    if (fixed->target_kind == TARGET_NONE)
        return;
    target->kind = (enum target_kind)fixed->target_kind;
    target->port = fixed->target_port;
    if (target->kind == TARGET_NAME) {
        take_into(u, &target->name.len, 1);
        ASSERT(target->name.len <= HOSTNAME_MAX);
        take_into(u, target->name.bytes, target->name.len);
    } else {
        take_into(u, &target->addr, sizeof target->addr);
    }
    out->flow.target = target;
}

static void unpack_flow(struct unpacker *u, struct sealed *out)
{
    struct packed_flow fixed;
    take_into(u, &fixed, sizeof fixed);
    struct record_flow *r = &out->flow;
    *r = (struct record_flow){
        .kind = (enum record_kind)fixed.kind,
        .http = fixed.http,
        .peer = fixed.peer,
        .peer_port = fixed.peer_port,
        .has_peer_uid = fixed.has_peer_uid,
        .peer_uid = fixed.peer_uid,
        .peer_pid = fixed.peer_pid,
        .raw_target_truncated = fixed.raw_target_truncated,
        .decision = fixed.decision,
        .count = fixed.count,
        .count_start_ms = fixed.count_start_ms,
        .count_end_ms = fixed.count_end_ms,
        .end = (enum flow_end)fixed.end,
        .bytes_up = fixed.bytes_up,
        .bytes_down = fixed.bytes_down,
        .duration_ms = fixed.duration_ms,
        .dialled = fixed.dialled,
        .answer_count = fixed.answer_count,
        .dials = fixed.dials,
        .dns_sent = fixed.dns_sent,
        .dns_joined = fixed.dns_joined,
        .lookup = fixed.lookup,
        .raw_target_bytes = fixed.raw_target_bytes,
        .times = fixed.times,
        .target_generation = fixed.target_generation,
        .http_status = fixed.http_status,
        .has_hello = fixed.has_hello,
        .ech = fixed.ech,
        .tls_version = fixed.tls_version,
    };
    memcpy(r->flow, fixed.flow, sizeof r->flow);
    /* An address is bytes alone and needs no alignment: it can stay where it lies. */
    _Static_assert(_Alignof(struct ipaddr) == 1, "answers are read in place");
    if (fixed.answer_count != 0)
        r->answers = (const void *)take(u, fixed.answer_count * sizeof(struct ipaddr));
    take_target(u, &fixed, out);
#define X(member, max) r->member = take_string(u);
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
