/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/dnsmsg.h"

#include "base/cursor.h"
#include "dnsname.h"

#define HEADER_BYTES 12
#define CLASS_IN     1
#define TYPE_CNAME   5
#define TYPE_SOA     6

/* A name of two bytes may stand for one of 255 bytes, and answers in another order than a chain's are looked through once
 * for each alias: a message of such names would keep a worker for a tenth of a second and more. What may be read is bounded
 * instead, in bytes of names and a fixed price a record: some eight thousand records, each looked at once. */
#define WORK_MAX    (UINT32_C(256) * 1024)
#define WORK_RECORD 16u

/* RFC 1035 4.1.1 */
#define FLAG_RESPONSE  0x8000
#define FLAG_OPCODE    0x7800
#define FLAG_TRUNCATED 0x0200
#define FLAG_RECURSION 0x0100
#define RCODE_MASK     0x000f
#define RCODE_SERVFAIL 2
#define RCODE_NXDOMAIN 3

struct dns_head {
    uint16_t id;
    uint16_t flags;
    uint16_t questions;
    uint16_t answers;
    uint16_t authorities;
    uint16_t additionals;
};

struct record {
    struct dnsname owner;
    uint16_t type;
    uint16_t class;
    uint32_t ttl_s;
    struct cursor data;
};

void dnsmsg_query(struct outbuf *out, uint16_t id, const struct hostname *name, enum dns_type type,
                  const uint8_t case_bits[static 32])
{
    struct dnsname wire;
    dnsname_from_hostname(name, &wire);
    outbuf_be16(out, id);
    outbuf_be16(out, FLAG_RECURSION);
    outbuf_be16(out, 1);
    outbuf_be16(out, 0);
    outbuf_be16(out, 0);
    outbuf_be16(out, 0);
    /* Byte i of the name stands at i + 1 in the wire form: each dot became the length byte of the next label. */
    for (size_t i = 0; i < name->len; i++) {
        bool upper = (case_bits[i / 8] >> i % 8 & 1) != 0;
        char c = name->bytes[i];
        if (upper && c >= 'a' && c <= 'z')
            wire.bytes[i + 1] = (uint8_t)(c - 'a' + 'A');
    }
    outbuf_bytes(out, wire.bytes, wire.len);
    outbuf_be16(out, (uint16_t)type);
    outbuf_be16(out, CLASS_IN);
}

static struct dns_head read_head(struct cursor *c)
{
    struct dns_head head;
    head.id = cursor_u16(c);
    head.flags = cursor_u16(c);
    head.questions = cursor_u16(c);
    head.answers = cursor_u16(c);
    head.authorities = cursor_u16(c);
    head.additionals = cursor_u16(c);
    return head;
}

static bool skip_records(struct cursor *c, uint16_t count)
{
    for (uint16_t i = 0; i < count && !c->failed; i++) {
        dnsname_skip(c);
        cursor_take(c, 8);
        cursor_block16(c);
    }
    return !c->failed;
}

/* The search for addresses: where the chain of aliases has come to, and what was found there. */
struct search {
    struct span message;
    enum dns_type type;
    struct dnsname owner;
    unsigned aliases;
    uint32_t work; /* of WORK_MAX */
    struct dns_addresses found;
};

static void read_name(struct search *s, struct cursor *c, struct dnsname *out)
{
    dnsname_read(s->message, c, out);
    s->work += out->len;
}

static bool read_record(struct search *s, struct cursor *c, struct record *out)
{
    read_name(s, c, &out->owner);
    out->type = cursor_u16(c);
    out->class = cursor_u16(c);
    out->ttl_s = cursor_u32(c);
    out->data = cursor_block16(c);
    if (out->ttl_s > INT32_MAX) /* RFC 2181 8: the top bit set means zero */
        out->ttl_s = 0;
    s->work += WORK_RECORD;
    return !c->failed && s->work <= WORK_MAX;
}

static void lower_ttl(struct dns_addresses *found, uint32_t ttl_s)
{
    if (ttl_s < found->ttl_s)
        found->ttl_s = ttl_s;
}

static bool take_address(struct search *s, struct record *r)
{
    size_t len = s->type == DNS_TYPE_A ? 4 : 16;
    if (r->data.rest.len != len)
        return false;
    lower_ttl(&s->found, r->ttl_s);
    if (s->found.count == DNSMSG_ADDRESSES_MAX)
        return true;
    struct ipaddr *addr = &s->found.addresses[s->found.count++];
    addr->family = s->type == DNS_TYPE_A ? 4 : 6;
    memcpy(addr->bytes, r->data.rest.data, len);
    return true;
}

static bool follow_alias(struct search *s, struct record *r)
{
    struct dnsname next;
    read_name(s, &r->data, &next);
    if (!cursor_done(&r->data) || ++s->aliases > DNSMSG_CNAME_MAX)
        return false;
    lower_ttl(&s->found, r->ttl_s);
    s->owner = next;
    return true;
}

/* One pass over the answer section; a chain in the usual order is followed to its end in one. */
static bool scan_answers(struct search *s, struct cursor c, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        struct record r;
        if (!read_record(s, &c, &r))
            return false;
        if (r.class != CLASS_IN || !dnsname_equal(&r.owner, &s->owner))
            continue;
        if (r.type == (uint16_t)s->type && !take_address(s, &r))
            return false;
        if (r.type == TYPE_CNAME && s->found.count == 0 && !follow_alias(s, &r))
            return false;
    }
    return true;
}

/* Passes go on only while they lead further along a bounded chain. */
static bool search_answers(struct search *s, struct cursor c, uint16_t count)
{
    unsigned before;
    do {
        before = s->aliases;
        if (!scan_answers(s, c, count))
            return false;
    } while (s->found.count == 0 && s->aliases != before);
    return true;
}

/* RFC 2308 5: how long a "no" may be believed. Only the SOA of a zone that holds the name counts. */
static bool read_negative_ttl(struct search *s, struct cursor *c, uint16_t count, uint32_t *out_ttl_s)
{
    for (uint16_t i = 0; i < count; i++) {
        struct record r;
        if (!read_record(s, c, &r))
            return false;
        if (r.class != CLASS_IN || r.type != TYPE_SOA || !dnsname_is_within(&s->owner, &r.owner))
            continue;
        struct dnsname ignored;
        read_name(s, &r.data, &ignored);
        read_name(s, &r.data, &ignored);
        cursor_take(&r.data, 16); /* serial, refresh, retry, expire */
        uint32_t minimum_s = cursor_u32(&r.data);
        if (!cursor_done(&r.data))
            return false;
        *out_ttl_s = minimum_s < r.ttl_s ? minimum_s : r.ttl_s;
    }
    return true;
}

static enum dns_result by_rcode(uint16_t flags)
{
    switch (flags & RCODE_MASK) {
    case 0:
        return DNS_OK;
    case RCODE_NXDOMAIN:
        return DNS_NXDOMAIN;
    case RCODE_SERVFAIL:
        return DNS_SERVFAIL;
    default:
        return DNS_REFUSED;
    }
}

static bool is_question(struct span message, struct cursor *c, const struct search *s)
{
    struct dnsname name;
    dnsname_read(message, c, &name);
    uint16_t type = cursor_u16(c);
    uint16_t class = cursor_u16(c);
    return !c->failed && type == (uint16_t)s->type && class == CLASS_IN && dnsname_equal(&name, &s->owner);
}

/* Everything behind the question, for the two rcodes that say something about the name. */
static bool read_sections(struct search *s, struct cursor *c, const struct dns_head *head, enum dns_result rcode)
{
    uint32_t negative_ttl_s = 0;
    s->found.ttl_s = INT32_MAX;
    if (!search_answers(s, *c, head->answers) || !skip_records(c, head->answers) ||
        !read_negative_ttl(s, c, head->authorities, &negative_ttl_s) || !skip_records(c, head->additionals) ||
        !cursor_done(c))
        return false;
    s->found.result = rcode == DNS_NXDOMAIN ? DNS_NXDOMAIN : s->found.count > 0 ? DNS_OK : DNS_NODATA;
    if (s->found.result != DNS_OK) {
        memset(s->found.addresses, 0, sizeof s->found.addresses);
        s->found.count = 0;
        lower_ttl(&s->found, negative_ttl_s);
    }
    return true;
}

/* False: malformed. */
static bool read_answer(struct search *s)
{
    struct cursor c = cursor_make(s->message);
    struct dns_head head = read_head(&c);
    /* A truncated answer may hide the very address that would refuse it as a whole. */
    if (c.failed || (head.flags & FLAG_RESPONSE) == 0 || (head.flags & (FLAG_OPCODE | FLAG_TRUNCATED)) != 0)
        return false;
    enum dns_result rcode = by_rcode(head.flags);
    bool is_about_name = rcode == DNS_OK || rcode == DNS_NXDOMAIN;
    if (head.questions == 0 && !is_about_name) { /* some servers refuse without repeating the question */
        s->found.result = rcode;
        return true;
    }
    if (head.questions != 1 || !is_question(s->message, &c, s))
        return false;
    s->found.result = rcode;
    return !is_about_name || read_sections(s, &c, &head, rcode);
}

void dnsmsg_answer(struct span message, const struct hostname *name, enum dns_type type, struct dns_addresses *out)
{
    struct search s = {.message = message, .type = type};
    dnsname_from_hostname(name, &s.owner);
    if (!read_answer(&s))
        s.found = (struct dns_addresses){.result = DNS_MALFORMED};
    *out = s.found;
}

bool dnsmsg_echoes(struct span query, struct span reply)
{
    struct cursor c = cursor_make(query);
    struct dns_head asked = read_head(&c);
    dnsname_skip(&c);
    cursor_take(&c, 4);
    size_t end = query.len - c.rest.len;
    struct cursor r = cursor_make(reply);
    struct dns_head answered = read_head(&r);
    if (c.failed || r.failed || asked.questions != 1 || answered.questions != 1)
        return false;
    struct span question = span_make(query.data + HEADER_BYTES, end - HEADER_BYTES);
    return asked.id == answered.id && (answered.flags & FLAG_RESPONSE) != 0 &&
           span_equal(question, span_first(r.rest, question.len));
}

const char *dns_result_text(enum dns_result result)
{
    static const char *const texts[] = {
        [DNS_OK] = "ok",
        [DNS_NODATA] = "nodata",
        [DNS_NXDOMAIN] = "nxdomain",
        [DNS_SERVFAIL] = "servfail",
        [DNS_REFUSED] = "refused",
        [DNS_MALFORMED] = "malformed",
        [DNS_NO_SERVER] = "no_server",
        [DNS_TIMEOUT] = "timeout",
    };
    return (size_t)result < sizeof texts / sizeof texts[0] ? texts[result] : "unknown";
}
