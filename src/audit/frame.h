/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame: the bytes of a segment. An entry is its length in two bytes, big-endian, and its JSON. A batch of entries ends
 * with a commit record of FRAME_COMMIT_BYTES, which begins with the length that no entry has:
 *
 *    0  ff ff 00 01    escape, version
 *    4  count          u32   entries of this batch
 *    8  first          u64   index of its first entry
 *   16  root           32    of the whole tree after it
 *   48  wall_ns        i64
 *   56  mono_ns        u64
 *   64  boot           16    boot id of the machine
 *   80  checksum       16    SHA-256 of the 80 bytes before it, first half
 */
#ifndef AUDIT_FRAME_H
#define AUDIT_FRAME_H

#include "base/digest.h"

#define FRAME_COMMIT_BYTES 96
#define FRAME_BATCH_MAX    (2u << 20) /* entries and commit record of one batch */

struct commit {
    uint64_t first;
    uint32_t count;
    uint8_t root[DIGEST_BYTES];
    int64_t wall_ns;
    uint64_t mono_ns;
    uint8_t boot[16];
};

void frame_commit_put(const struct commit *commit, uint8_t out[static FRAME_COMMIT_BYTES]);

enum frame_result {
    FRAME_DONE,
    FRAME_SHORT,  /* the bytes end before the batch does */
    FRAME_BROKEN, /* no batch begins here */
};

/* One batch at the start of `bytes`: its framed entries, its commit record and its length. */
enum frame_result frame_batch(struct span bytes, struct span *out_entries, struct commit *out_commit, size_t *out_len);

/* The next entry of what frame_batch() gave; false at its end. */
bool frame_next(struct span *entries, struct span *out_leaf);

/* Where the next whole commit record with a good checksum lies in `bytes`, or bytes.len. */
size_t frame_find_commit(struct span bytes, struct commit *out);

#endif
