/* SPDX-License-Identifier: Apache-2.0 */
/* forward_drop: which fields of a head go no further than here. */
#ifndef WIRE_FORWARD_DROP_H
#define WIRE_FORWARD_DROP_H

#include "fields.h"

/*
 * The names that Connection fields nominate (RFC 9110 7.6.1), seen from the fields of their head: a name of the head is
 * nominated or not. Names are compared by 64-bit hash, sorted, so that neither a list of a hundred thousand options nor
 * a hundred names of one hash cost more than their bytes. Two names of one hash are dropped together, which harms
 * nobody but whoever sought them.
 */
struct nominated {
    size_t count;
    uint64_t hash[REQUEST_HEADERS_MAX]; /* of the head's names, ascending */
    bool marked[REQUEST_HEADERS_MAX];   /* the first of equal ones */
};

void nominated_read(struct nominated *n, struct fields fields);
bool nominated_has(const struct nominated *n, struct span name);

/* The rest of the list in wire/forward.h. */
bool drop_from_both(struct span name);
bool drop_from_request(struct span name);

#endif
