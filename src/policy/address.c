/* SPDX-License-Identifier: Apache-2.0 */
#include "address.h"

#include "policy/policy.h"

/* First row that contains the address decides: what is refused for good stands before the wider ranges around it. */
/* clang-format off */
#define V4(a, b, c, d, bits) {{4, {a, b, c, d}}, bits}
#define V6(bits, ...)        {{6, {__VA_ARGS__}}, bits}
static const struct address_range ranges[] = {
    {V4(100, 100, 100, 200, 32), LIFT_NOTHING,  "platform endpoint"},
    {V4(168, 63, 129, 16, 32),   LIFT_NOTHING,  "platform endpoint"},
    {V4(192, 0, 0, 192, 32),     LIFT_NOTHING,  "platform endpoint"},
    {V4(0, 0, 0, 0, 32),         LIFT_NOTHING,  "unspecified"},
    {V4(0, 0, 0, 0, 8),          LIFT_NOTHING,  "this network (0.0.0.0/8)"},
    {V4(169, 254, 0, 0, 16),     LIFT_NOTHING,  "link-local"},
    {V4(192, 0, 0, 0, 24),       LIFT_NOTHING,  "reserved (protocol assignments)"},
    {V4(192, 0, 2, 0, 24),       LIFT_NOTHING,  "documentation"},
    {V4(198, 51, 100, 0, 24),    LIFT_NOTHING,  "documentation"},
    {V4(203, 0, 113, 0, 24),     LIFT_NOTHING,  "documentation"},
    {V4(192, 88, 99, 0, 24),     LIFT_NOTHING,  "reserved (6to4 relay)"},
    {V4(224, 0, 0, 0, 4),        LIFT_NOTHING,  "multicast"},
    {V4(255, 255, 255, 255, 32), LIFT_NOTHING,  "broadcast"},
    {V4(240, 0, 0, 0, 4),        LIFT_NOTHING,  "reserved"},
    {V4(127, 0, 0, 0, 8),        LIFT_LOOPBACK, "loopback"},
    {V4(10, 0, 0, 0, 8),         LIFT_NAMED,    "private (RFC 1918)"},
    {V4(172, 16, 0, 0, 12),      LIFT_NAMED,    "private (RFC 1918)"},
    {V4(192, 168, 0, 0, 16),     LIFT_NAMED,    "private (RFC 1918)"},
    {V4(100, 64, 0, 0, 10),      LIFT_NAMED,    "carrier-grade NAT"},
    {V4(198, 18, 0, 0, 15),      LIFT_NAMED,    "benchmarking"},
    {V4(0, 0, 0, 0, 0),          LIFT_PUBLIC,   "public"},

    {V6(128, 0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54), LIFT_NOTHING, "platform endpoint"},
    {V6(128, 0xfd, 0x20, 0x00, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54), LIFT_NOTHING, "platform endpoint"},
    {V6(128, 0),                                                    LIFT_NOTHING,  "unspecified"},
    {V6(128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),       LIFT_LOOPBACK, "loopback"},
    {V6(96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff),              LIFT_INNER,    "IPv4-mapped"},
    {V6(96, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0),              LIFT_INNER,    "IPv4-translated"},
    {V6(96, 0),                                                     LIFT_INNER,    "IPv4-compatible"},
    {V6(96, 0x00, 0x64, 0xff, 0x9b),                                LIFT_INNER,    "NAT64"},
    {V6(48, 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01),                    LIFT_INNER,    "NAT64"},
    {V6(16, 0x20, 0x02),                                            LIFT_INNER,    "6to4"},
    {V6(32, 0x20, 0x01, 0x00, 0x00),                                LIFT_INNER,    "Teredo"},
    {V6(48, 0x20, 0x01, 0x00, 0x02, 0x00, 0x00),                    LIFT_NAMED,    "benchmarking"},
    {V6(23, 0x20, 0x01),                                            LIFT_NOTHING,  "reserved (protocol assignments)"},
    {V6(32, 0x20, 0x01, 0x0d, 0xb8),                                LIFT_NOTHING,  "documentation"},
    {V6(20, 0x3f, 0xff),                                            LIFT_NOTHING,  "documentation"},
    {V6(64, 0x01, 0x00),                                            LIFT_NOTHING,  "reserved (discard)"},
    {V6(10, 0xfe, 0x80),                                            LIFT_NOTHING,  "link-local"},
    {V6(10, 0xfe, 0xc0),                                            LIFT_NAMED,    "site-local"},
    {V6(7, 0xfc),                                                   LIFT_NAMED,    "private (unique local)"},
    {V6(8, 0xff),                                                   LIFT_NOTHING,  "multicast"},
    {V6(3, 0x20),                                                   LIFT_PUBLIC,   "public"},
    {V6(0, 0),                                                      LIFT_NOTHING,  "reserved"},
};
/* clang-format on */

static const struct address_range nothing = {
    {{0, {0}}, 0},
    LIFT_NOTHING, "no address"
};

const struct address_range *address_classify(const struct ipaddr *addr)
{
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i].prefix.addr.family == addr->family && prefix_contains(&ranges[i].prefix, addr))
            return &ranges[i];
    return &nothing;
}

const char *policy_address_class(const struct ipaddr *addr)
{
    return address_classify(addr)->name;
}

bool address_prefix_may_be_named(const struct prefix *p)
{
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i].lift == LIFT_NAMED && ranges[i].prefix.addr.family == p->addr.family &&
            prefix_covers(&ranges[i].prefix, p))
            return true;
    return false;
}

/* RFC 6052 2.2: the address follows the prefix, with octet 8 left zero; what is behind it is zero. */
bool address_inner(const struct prefix *nat64, const struct ipaddr *addr, struct ipaddr *out)
{
    if (addr->family != 6 || nat64->addr.family != 6 || !prefix_contains(nat64, addr))
        return false;
    struct ipaddr inner = {.family = 4};
    size_t at = nat64->bits / 8u;
    for (size_t i = 0; i < 4; i++, at++) {
        if (at == 8)
            at++;
        inner.bytes[i] = addr->bytes[at];
    }
    if (nat64->bits < 96 && addr->bytes[8] != 0)
        return false;
    for (; at < 16; at++)
        if (addr->bytes[at] != 0)
            return false;
    *out = inner;
    return true;
}
