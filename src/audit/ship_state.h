/* SPDX-License-Identifier: Apache-2.0 */
/* ship_state: what a store acknowledged, as a small text file: a line a fact, then a line a blob. */
#ifndef AUDIT_SHIP_STATE_H
#define AUDIT_SHIP_STATE_H

#include "audit/ship.h"

#define SHIP_STATE_NAME "shipped"
#define SHIP_BLOBS_MAX  65536u
#define SHIP_BLOB_LEN   64

struct ship_blobs {
    char (*names)[SHIP_BLOB_LEN + 1];
    size_t count, cap;
};

bool ship_blobs_has(const struct ship_blobs *b, const char *name);
MUST_CHECK enum err ship_blobs_add(struct ship_blobs *b, const char *name);

/* `blobs` may be NULL: they are not looked at. */
MUST_CHECK enum err ship_state_read(int dir, const char *name, struct ship_progress *out, struct ship_blobs *blobs);
MUST_CHECK enum err ship_state_write(int dir, const char *name, const struct ship_progress *p,
                                     const struct ship_blobs *blobs);

#endif
