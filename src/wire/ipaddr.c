/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/ipaddr.h"

#include "base/assert.h"
#include "base/outbuf.h"
#include "base/text.h"

#include <arpa/inet.h>

static size_t bytes_of(const struct ipaddr *addr)
{
    return addr->family == 4 ? 4 : 16;
}

static void put_quad(struct outbuf *o, const uint8_t bytes[static 4])
{
    for (size_t i = 0; i < 4; i++) {
        if (i > 0)
            outbuf_char(o, '.');
        outbuf_u64(o, bytes[i]);
    }
}

static unsigned group_at(const struct ipaddr *addr, size_t index)
{
    return (unsigned)addr->bytes[2 * index] << 8 | addr->bytes[2 * index + 1];
}

/* Hexadecimal without leading zeros. */
static void put_group(struct outbuf *o, unsigned value)
{
    static const char digits[] = "0123456789abcdef";
    bool started = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
        unsigned digit = value >> shift & 15;
        started = started || digit != 0 || shift == 0;
        if (started)
            outbuf_char(o, digits[digit]);
    }
}

struct run {
    size_t start;
    size_t len;
};

/* RFC 5952 4.2: the longest run of zero groups, the first of equals, and never a single group. */
static struct run longest_zeros(const struct ipaddr *addr, size_t groups)
{
    struct run best = {.start = groups, .len = 1};
    struct run run = {.start = 0, .len = 0};
    for (size_t i = 0; i < groups; i++) {
        if (group_at(addr, i) != 0) {
            run = (struct run){.start = i + 1, .len = 0};
            continue;
        }
        run.len++;
        if (run.len > best.len)
            best = run;
    }
    return best;
}

enum tail { TAIL_GROUPS, TAIL_QUAD };

static void put_ipv6(struct outbuf *o, const struct ipaddr *addr, enum tail tail)
{
    size_t groups = tail == TAIL_QUAD ? 6 : 8;
    struct run zeros = longest_zeros(addr, groups);
    for (size_t i = 0; i < groups; i++) {
        if (i == zeros.start)
            outbuf_text(o, "::");
        if (i >= zeros.start && i < zeros.start + zeros.len)
            continue;
        if (i > 0 && i != zeros.start + zeros.len)
            outbuf_char(o, ':');
        put_group(o, group_at(addr, i));
    }
    if (tail != TAIL_QUAD)
        return;
    if (zeros.start + zeros.len != groups)
        outbuf_char(o, ':');
    put_quad(o, addr->bytes + 12);
}

enum embedding {
    EMBED_NONE,
    EMBED_COMPATIBLE, /* ::a.b.c.d */
    EMBED_MAPPED,     /* ::ffff:a.b.c.d */
    EMBED_TRANSLATED, /* ::ffff:0:a.b.c.d */
};

static enum embedding embedding_of(const struct ipaddr *addr)
{
    if (addr->family != 6)
        return EMBED_NONE;
    for (size_t i = 0; i < 4; i++)
        if (group_at(addr, i) != 0)
            return EMBED_NONE;
    unsigned five = group_at(addr, 4);
    unsigned six = group_at(addr, 5);
    /* ::, ::1 and their like are addresses of their own, with one spelling. */
    if (five == 0 && six == 0)
        return group_at(addr, 6) == 0 ? EMBED_NONE : EMBED_COMPATIBLE;
    if (five == 0 && six == 0xffff)
        return EMBED_MAPPED;
    return five == 0xffff && six == 0 ? EMBED_TRANSLATED : EMBED_NONE;
}

/* As inet_ntop() prints. */
static enum tail usual_tail(const struct ipaddr *addr)
{
    enum embedding kind = embedding_of(addr);
    return kind == EMBED_MAPPED || kind == EMBED_COMPATIBLE ? TAIL_QUAD : TAIL_GROUPS;
}

static size_t format(const struct ipaddr *addr, enum tail tail, char out[static IPADDR_TEXT_MAX])
{
    struct outbuf o = outbuf_make(out, IPADDR_TEXT_MAX - 1);
    if (addr->family == 4)
        put_quad(&o, addr->bytes);
    else
        put_ipv6(&o, addr, tail);
    ASSERT(!o.overflow);
    out[o.len] = '\0';
    return o.len;
}

static bool is_spelled(const struct ipaddr *addr, enum tail tail, struct span raw)
{
    char text[IPADDR_TEXT_MAX];
    size_t len = format(addr, tail, text);
    return span_equal(raw, span_make(text, len));
}

/* An address with an embedded IPv4 address may be spelled with either tail: both are known spellings of something that
 * is never a target, and policy says so better than a syntax error does. */
static bool is_canonical(const struct ipaddr *addr, struct span raw)
{
    if (embedding_of(addr) == EMBED_NONE)
        return is_spelled(addr, TAIL_GROUPS, raw);
    return is_spelled(addr, TAIL_GROUPS, raw) || is_spelled(addr, TAIL_QUAD, raw);
}

enum err ipaddr_parse(struct span raw, struct ipaddr *out)
{
    char text[IPADDR_TEXT_MAX] = {0};
    if (raw.len == 0 || raw.len >= sizeof text || span_find(raw, '\0') != raw.len)
        return ERR_INVALID;
    memcpy(text, raw.data, raw.len);
    struct ipaddr addr = {0};
    bool has_colon = span_find(raw, ':') != raw.len;
    addr.family = has_colon ? 6 : 4;
    if (inet_pton(has_colon ? AF_INET6 : AF_INET, text, addr.bytes) != 1 || !is_canonical(&addr, raw))
        return ERR_INVALID;
    *out = addr;
    return ERR_NONE;
}

size_t ipaddr_format(const struct ipaddr *addr, char out[static IPADDR_TEXT_MAX])
{
    if (addr->family != 4 && addr->family != 6) {
        out[0] = '\0';
        return 0;
    }
    return format(addr, usual_tail(addr), out);
}

enum err ipaddr_parse_socket(struct span raw, uint16_t min_port, struct ipaddr *out, uint16_t *out_port)
{
    size_t colon = raw.len;
    while (colon > 0 && raw.data[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return ERR_INVALID;
    struct span host = span_first(raw, colon - 1);
    bool brackets = host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    if (brackets)
        host = span_make(host.data + 1, host.len - 2);
    struct ipaddr addr;
    uint64_t port = 0;
    if (ipaddr_parse(host, &addr) != ERR_NONE || (addr.family == 6) != brackets ||
        text_u64(span_from(raw, colon), 65535, &port) != ERR_NONE || port < min_port)
        return ERR_INVALID;
    *out = addr;
    *out_port = (uint16_t)port;
    return ERR_NONE;
}

enum err ipaddr_from_sockaddr(const struct sockaddr *sa, struct ipaddr *out, uint16_t *out_port)
{
    struct ipaddr addr = {0};
    uint16_t port = 0;
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        addr.family = 4;
        memcpy(addr.bytes, &in.sin_addr, 4);
        port = ntohs(in.sin_port);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        addr.family = 6;
        memcpy(addr.bytes, &in6.sin6_addr, 16);
        port = ntohs(in6.sin6_port);
    } else {
        return ERR_INVALID;
    }
    *out = addr;
    if (out_port != NULL)
        *out_port = port;
    return ERR_NONE;
}

socklen_t ipaddr_to_sockaddr(const struct ipaddr *addr, uint16_t port, struct sockaddr_storage *out)
{
    ASSERT(addr->family == 4 || addr->family == 6);
    memset(out, 0, sizeof *out);
    if (addr->family == 4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&in.sin_addr, addr->bytes, 4);
        memcpy(out, &in, sizeof in);
        return sizeof in;
    }
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memcpy(&in6.sin6_addr, addr->bytes, 16);
    memcpy(out, &in6, sizeof in6);
    return sizeof in6;
}

bool ipaddr_equal(const struct ipaddr *a, const struct ipaddr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, bytes_of(a)) == 0;
}
