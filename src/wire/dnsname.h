/* SPDX-License-Identifier: Apache-2.0 */
/* dnsname: a domain name as it stands in a DNS message, decompressed, lower-case, never turned into text. */
#ifndef WIRE_DNSNAME_H
#define WIRE_DNSNAME_H

#include "base/cursor.h"
#include "wire/hostname.h"

#define DNSNAME_MAX 255 /* RFC 1035 2.3.4, with the root's empty label */

/* Labels with their length bytes, the root label included. Comparing this form cannot be misled by a dot or a NUL
 * inside a label. */
struct dnsname {
    uint8_t len;
    uint8_t bytes[DNSNAME_MAX];
};

/* Reads the name at c, which lies in `message`; c ends behind it, failed if it is none. Pointers must point backwards
 * from where the name, or the piece that a pointer led to, begins. */
void dnsname_read(struct span message, struct cursor *c, struct dnsname *out);

/* Moves c behind a name without following pointers. */
void dnsname_skip(struct cursor *c);

void dnsname_from_hostname(const struct hostname *name, struct dnsname *out);
bool dnsname_equal(const struct dnsname *a, const struct dnsname *b);

/* True if `name` is `zone` or lies below it. */
bool dnsname_is_within(const struct dnsname *name, const struct dnsname *zone);

#endif
