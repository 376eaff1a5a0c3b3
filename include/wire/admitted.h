/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admitted: the addresses that a policy admitted for one attempt, and their port. Opaque: only policy_admit() fills
 * one (through wire/admitted_make.h, which stands on the include path of policy alone), and the dialer takes nothing
 * else. A zeroed one is empty and dials nothing.
 */
#ifndef WIRE_ADMITTED_H
#define WIRE_ADMITTED_H

#include "wire/ipaddr.h"

#define ADMITTED_MAX 16

struct admitted {
    _Alignas(8) unsigned char opaque[8 + ADMITTED_MAX * sizeof(struct ipaddr)];
};

/* What was admitted, in the order of the answer; 0 and nothing in an empty one. */
size_t admitted_count(const struct admitted *a);
uint16_t admitted_port(const struct admitted *a);
const struct ipaddr *admitted_at(const struct admitted *a, size_t index); /* index below the count */

#endif
