/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "wire/ipaddr.h"

static uint8_t bits_of(const struct ipaddr *addr)
{
    return addr->family == 4 ? 32 : 128;
}

/* True if the first `bits` bits are the same. */
static bool same_bits(const struct ipaddr *a, const struct ipaddr *b, unsigned bits)
{
    size_t whole = bits / 8;
    if (memcmp(a->bytes, b->bytes, whole) != 0)
        return false;
    unsigned left = bits % 8;
    return left == 0 || ((a->bytes[whole] ^ b->bytes[whole]) >> (8 - left)) == 0;
}

static bool has_host_bits(const struct ipaddr *addr, unsigned bits)
{
    for (unsigned i = bits; i < bits_of(addr); i++)
        if (addr->bytes[i / 8] & (0x80u >> i % 8))
            return true;
    return false;
}

enum err prefix_parse(struct span raw, struct prefix *out)
{
    size_t slash = span_find(raw, '/');
    struct prefix p = {0};
    if (ipaddr_parse(span_first(raw, slash), &p.addr) != ERR_NONE)
        return ERR_INVALID;
    uint64_t bits = bits_of(&p.addr);
    if (slash < raw.len && text_u64(span_from(raw, slash + 1), bits, &bits) != ERR_NONE)
        return ERR_INVALID;
    if (has_host_bits(&p.addr, (unsigned)bits))
        return ERR_INVALID;
    p.bits = (uint8_t)bits;
    *out = p;
    return ERR_NONE;
}

bool prefix_contains(const struct prefix *p, const struct ipaddr *addr)
{
    return (p->addr.family == 4 || p->addr.family == 6) && p->addr.family == addr->family &&
           same_bits(&p->addr, addr, p->bits);
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
    return outer->bits <= inner->bits && prefix_contains(outer, &inner->addr);
}
