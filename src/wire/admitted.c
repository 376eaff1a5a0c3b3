/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/admitted.h"

#include "base/assert.h"
#include "wire/admitted_make.h"

/* The opaque bytes: the port in host order, the count, padding, and from FIRST on the addresses. They are written with
 * memcpy() alone; struct ipaddr has no alignment of its own. */
#define PORT  0
#define COUNT 2
#define FIRST 8

void admitted_begin(struct admitted *out, uint16_t port)
{
    ASSERT(port != 0);
    memset(out, 0, sizeof *out);
    memcpy(out->opaque + PORT, &port, sizeof port);
}

bool admitted_add(struct admitted *out, const struct ipaddr *addr)
{
    ASSERT(admitted_port(out) != 0);
    ASSERT(addr->family == 4 || addr->family == 6);
    size_t count = admitted_count(out);
    if (count >= ADMITTED_MAX)
        return false;
    memcpy(out->opaque + FIRST + count * sizeof *addr, addr, sizeof *addr);
    out->opaque[COUNT]++;
    return true;
}

size_t admitted_count(const struct admitted *a)
{
    return a->opaque[COUNT];
}

uint16_t admitted_port(const struct admitted *a)
{
    uint16_t port;
    memcpy(&port, a->opaque + PORT, sizeof port);
    return port;
}

const struct ipaddr *admitted_at(const struct admitted *a, size_t index)
{
    ASSERT(index < admitted_count(a));
    return (const struct ipaddr *)(a->opaque + FIRST + index * sizeof(struct ipaddr));
}
