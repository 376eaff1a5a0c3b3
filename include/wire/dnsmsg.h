/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnsmsg: DNS messages (RFC 1035, RFC 3596): a query for one absolute name, and the addresses in an answer.
 */
#ifndef WIRE_DNSMSG_H
#define WIRE_DNSMSG_H

#include "base/outbuf.h"
#include "wire/hostname.h"
#include "wire/ipaddr.h"

enum dns_type { DNS_TYPE_A = 1, DNS_TYPE_AAAA = 28 };

#define DNSMSG_QUERY_MAX 300

/* A query with RD set, class IN. Bit i of `case_bits` (of 256) turns letter i of the name to upper case: DNS 0x20. */
void dnsmsg_query(struct outbuf *out, uint16_t id, const struct hostname *name, enum dns_type type,
                  const uint8_t case_bits[static 32]);

#define DNSMSG_ADDRESSES_MAX 16
#define DNSMSG_CNAME_MAX     16

enum dns_result {
    DNS_OK,     /* at least one address */
    DNS_NODATA, /* the name exists, no address of this type */
    DNS_NXDOMAIN,
    DNS_SERVFAIL,
    DNS_REFUSED,   /* REFUSED, NOTIMP and every other rcode */
    DNS_MALFORMED, /* does not parse, or answers another question */
    DNS_NO_SERVER, /* none reachable; set by the resolver */
    DNS_TIMEOUT,   /* set by the resolver */
};

struct dns_addresses {
    enum dns_result result;
    uint32_t ttl_s; /* smallest on the way, from the records used; for NODATA and NXDOMAIN the SOA's minimum, else 0 */
    uint8_t count;  /* the first DNSMSG_ADDRESSES_MAX are kept */
    struct ipaddr addresses[DNSMSG_ADDRESSES_MAX];
};

/*
 * Reads the answer to a query for (name, type, IN). Only records whose owner is the name, or the end of a chain of at
 * most DNSMSG_CNAME_MAX CNAMEs that begins at it, are used; authority (but for SOA) and additional sections, other
 * types and classes are ignored. Compression pointers must point backwards and are followed a bounded number of times.
 * The names on the way never decide anything and are not kept. Owner names compare without case. A message whose names
 * are longer in all than its bytes could say plainly, some times over, is malformed: the time it takes is linear.
 */
void dnsmsg_answer(struct span message, const struct hostname *name, enum dns_type type, struct dns_addresses *out);

/* True if the first question of `reply` equals that of `query` byte for byte (0x20 included), ids too. */
bool dnsmsg_echoes(struct span query, struct span reply);

const char *dns_result_text(enum dns_result result); /* "servfail", "nxdomain", ... */

#endif
