/* SPDX-License-Identifier: Apache-2.0 */
/* address: the compiled-in ranges of docs/semantics.md, and what may lift each. */
#ifndef POLICY_ADDRESS_H
#define POLICY_ADDRESS_H

#include "wire/ipaddr.h"

enum address_lift {
    LIFT_NOTHING,  /* refused whatever a policy says */
    LIFT_INNER,    /* IPv4 inside IPv6: refused, egress.nat64 apart */
    LIFT_LOOPBACK, /* only an entry that names the exact address and the port */
    LIFT_NAMED,    /* refused unless private_networks or a pin names it */
    LIFT_PUBLIC,   /* allowed */
};

struct address_range {
    struct prefix prefix;
    enum address_lift lift;
    const char *name;
};

/* Never NULL: public addresses have a row of their own. */
const struct address_range *address_classify(const struct ipaddr *addr);

/* True if every address of the prefix lies in one range that a policy may open by name. */
bool address_prefix_may_be_named(const struct prefix *p);

/* Reads the IPv4 address that an RFC 6052 prefix embeds; false if `addr` lies outside the prefix, or has bits where
 * the RFC wants zeros. */
bool address_inner(const struct prefix *nat64, const struct ipaddr *addr, struct ipaddr *out);

#endif
