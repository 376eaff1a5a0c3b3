/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hashes: the arrays hashes/0 to hashes/3: 32 bytes for each leaf, and for each full tile of 256 hashes of the array
 * below. They are derived from the segments: what is missing or wrong is written again.
 */
#ifndef AUDIT_HASHES_H
#define AUDIT_HASHES_H

#include "tree.h"

struct hashes;

/* `dir` is the directory hashes/. Read only: nothing is written, differences are counted. */
MUST_CHECK enum err hashes_open(int dir, bool read_only, struct hashes **out);
void hashes_close(struct hashes *h); /* NULL is allowed; flush first */

/* A tree_emit_fn, arg is the hashes: compares with what is stored, or appends. */
void hashes_emit(void *arg, unsigned array, uint64_t index, const uint8_t hash[static DIGEST_BYTES]);

/* Writes what was appended. ERR_IO: not all of it could be; what is left is kept and tried again at the next call. */
MUST_CHECK enum err hashes_flush(struct hashes *h);
/* The same, durable. */
MUST_CHECK enum err hashes_sync(struct hashes *h);
/* The tree is `size` leaves long again; what was emitted behind that is forgotten. */
void hashes_rollback(struct hashes *h, uint64_t size);
/* A source for proofs; flushes by itself. */
struct tree_source hashes_source(struct hashes *h, struct digest *digest);

/* What was compared and differed: how many, and the first of array 0 (UINT64_MAX: none). */
uint64_t hashes_different(const struct hashes *h, uint64_t *out_first_leaf);
uint64_t hashes_missing(const struct hashes *h);
/* Opened for reading: of those, how many could not be looked at. */
uint64_t hashes_unread(const struct hashes *h);
/* The arrays are long enough for a tree of this size. */
bool hashes_cover(const struct hashes *h, uint64_t size);
/* The stored hash of a leaf; false if there is none. */
bool hashes_leaf(struct hashes *h, uint64_t index, uint8_t out[static DIGEST_BYTES]);

#endif
