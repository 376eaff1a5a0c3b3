/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipaddr: exactly the address that will be dialled. IPv4 inside IPv6 is recognised by classification in policy/, and
 * never folded here. There is no zone.
 */
#ifndef WIRE_IPADDR_H
#define WIRE_IPADDR_H

#include "base/err.h"
#include "base/span.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct ipaddr {
    uint8_t family;    /* 4 or 6; 0 is "none" */
    uint8_t bytes[16]; /* network order; IPv4 in the first four, the rest zero */
};

#define IPADDR_TEXT_MAX 46 /* with the NUL */

/*
 * Canonical spellings alone: a dotted quad without leading zeros, or RFC 5952 section 4 (lower case, longest run of
 * zeros compressed, no leading zeros), without brackets or zone. Every other spelling of an address is ERR_INVALID.
 * IPv4-mapped, -compatible and -translated addresses (which policy refuses in every case) are taken with a hexadecimal
 * or a dotted tail; they print as inet_ntop() prints them.
 */
MUST_CHECK enum err ipaddr_parse(struct span raw, struct ipaddr *out);

/* "ADDR:PORT" or "[V6]:PORT", the address as above: brackets stand around an IPv6 address and around no other. A
 * port is decimal, from min_port (0 where "any free one" has a meaning, else 1) to 65535. ERR_INVALID otherwise. */
MUST_CHECK enum err ipaddr_parse_socket(struct span raw, uint16_t min_port, struct ipaddr *out, uint16_t *out_port);

/* AF_INET and AF_INET6; others are ERR_INVALID. out_port may be NULL; it is in host order. */
MUST_CHECK enum err ipaddr_from_sockaddr(const struct sockaddr *sa, struct ipaddr *out, uint16_t *out_port);

/* Fills `out` and gives its length for connect(2). */
socklen_t ipaddr_to_sockaddr(const struct ipaddr *addr, uint16_t port, struct sockaddr_storage *out);

/* Canonical text with NUL; gives its length. */
size_t ipaddr_format(const struct ipaddr *addr, char out[static IPADDR_TEXT_MAX]);

/* Same family and same bytes: an IPv4 address never equals the IPv6 address that holds it. */
bool ipaddr_equal(const struct ipaddr *a, const struct ipaddr *b);

/* An address prefix: no host bits, 0 to 32 or 0 to 128 bits. */
struct prefix {
    struct ipaddr addr;
    uint8_t bits;
};

/* "10.0.0.0/8", "2001:db8::/32", or an address alone (all bits). Host bits set or too many bits: ERR_INVALID. */
MUST_CHECK enum err prefix_parse(struct span raw, struct prefix *out);
bool prefix_contains(const struct prefix *p, const struct ipaddr *addr);
/* True if every address of `inner` lies in `outer`. */
bool prefix_covers(const struct prefix *outer, const struct prefix *inner);

#endif
