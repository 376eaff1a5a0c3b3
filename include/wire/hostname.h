/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostname: a canonical host name. Made only by hostname_parse(); whoever holds one may compare it byte for byte,
 * ask DNS for it and print it.
 *
 * What always holds: lower-case ASCII letters, digits, '-' and '_'; labels of 1 to 63 bytes that neither begin nor end
 * with '-'; 1 to 253 bytes in all; no trailing dot; the last label is not a number (WHATWG URL, "ends in a number"), so
 * it is never an address literal in any spelling. A NUL follows the bytes for C libraries.
 */
#ifndef WIRE_HOSTNAME_H
#define WIRE_HOSTNAME_H

#include "base/err.h"
#include "base/span.h"

#define HOSTNAME_MAX       253
#define HOSTNAME_LABEL_MAX 63

struct hostname {
    uint8_t len;
    char bytes[HOSTNAME_MAX + 1];
};

/*
 * Accepts ASCII letters of either case and one trailing dot, the only two things that are normalised. Everything else
 * (percent signs, other bytes above 0x20, NUL, empty labels, IDNA mapping) is ERR_INVALID: reject, do not repair.
 */
MUST_CHECK enum err hostname_parse(struct span raw, struct hostname *out);

/* Byte for byte: both are canonical. */
bool hostname_equal(const struct hostname *a, const struct hostname *b);

/* True if `name` lies at any depth below `suffix`, and is not `suffix` itself. */
bool hostname_is_below(const struct hostname *name, struct span suffix);

/* Its bytes without the NUL, borrowed. */
struct span hostname_span(const struct hostname *name);

#endif
