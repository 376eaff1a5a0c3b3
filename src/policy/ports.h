/* SPDX-License-Identifier: Apache-2.0 */
/* ports: a sorted set of ports, or every port. */
#ifndef POLICY_PORTS_H
#define POLICY_PORTS_H

#include "arena.h"
#include "base/outbuf.h"

struct ports {
    const uint16_t *list;
    uint32_t count;
    bool all;
};

/* Sorts and drops doubles; the memory is the arena's. */
struct ports ports_make(struct arena *arena, const uint16_t *list, size_t count);
bool ports_have(const struct ports *ports, uint16_t port);
void ports_print(const struct ports *ports, struct outbuf *out); /* "443, 8443", "every port", "none" */

#endif
