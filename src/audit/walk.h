/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk: goes over every batch of every segment once, in order, hashing each leaf again and holding each commit record
 * against the recomputed root. Recovery and verification are this walk with different hooks.
 */
#ifndef AUDIT_WALK_H
#define AUDIT_WALK_H

#include "ahead.h"
#include "hashes.h"
#include "segments.h"

enum walk_state {
    WALK_GOOD,     /* to the end */
    WALK_TORN,     /* good up to a batch that was never finished */
    WALK_TAMPERED, /* `message`; first_bad if has_first_bad */
    WALK_FAILED,   /* `message` */
    WALK_STOPPED,  /* a hook said so */
};

struct walk_hash {
    unsigned array;
    uint64_t index;
    uint8_t hash[DIGEST_BYTES];
};

struct walk {
    /* in */
    int segments_dir;
    struct hashes *hashes; /* compared with and appended to */
    struct digest *digest;
    /* Begin with the segment that holds this entry: what lies before is taken from the hash arrays, which the first
     * signed root behind it proves or refutes. */
    uint64_t from;
    /* Begin exactly with it: its batch lies there. */
    bool exact;
    uint64_t from_segment, from_offset;
    void *arg;
    bool (*entry)(void *arg, uint64_t index, struct span leaf); /* after its batch was found good */
    bool (*commit)(void *arg, const struct commit *commit, const struct tree *tree);

    /* out */
    struct tree tree;
    uint64_t begun;     /* index of the first entry that was read */
    struct commit last; /* of the last batch; count 0: none */
    size_t segment_count;
    uint64_t last_segment;     /* first index of the newest one */
    uint64_t good_bytes;       /* of it */
    uint64_t torn_bytes;       /* behind those, with WALK_TORN */
    uint64_t superseded_bytes; /* behind the index at which the next segment takes over */
    bool has_first_bad;
    uint64_t first_bad;
    char message[200];

    /* its own */
    struct ahead *ahead;
    struct walk_hash *emitted; /* of the batch that is being looked at */
    size_t emitted_count, emitted_cap;
    bool no_memory;
};

enum walk_state walk_run(struct walk *w);

#endif
