/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshots: what the entries before one index come to: the last number of each environment, the flows that are open,
 * where the next batch begins. A start reads from there on instead of from the first entry.
 *
 * A snapshot is derived and is never believed by itself. Its hash stands in the log_snapshot entry at its index, that
 * entry lies below a signed head, and the batches behind it lead to that head from the tree that the hash arrays give.
 * There are two files, written in turn, and the older one is only written over when the newer one's entry is signed. They
 * are not synced: what a power cut leaves of them has another hash, and then more is read.
 */
#ifndef AUDIT_SNAPSHOT_H
#define AUDIT_SNAPSHOT_H

#include "ledger.h"
#include "note.h"

#define SNAPSHOT_DIR     "index"
#define SNAPSHOT_FILES   2u
#define SNAPSHOT_HASH    "sha256" /* the fact of its entry */
#define SNAPSHOT_ENTRIES 65536u   /* how many there are between two of them, unless the options say otherwise */

struct snapshot {
    uint64_t size;            /* entries before it, and the index of its own */
    uint64_t segment, offset; /* where the batch with that entry begins */
    uint64_t rotated_at;      /* the last key_rotated entry and the key that it names; empty: none */
    char rotated_to[NOTE_VKEY_MAX];
    char hash[2 * DIGEST_BYTES + 1];
    uint8_t *bytes;
    struct span segments, environments, flows; /* rows in `bytes` */
};

/* Reads a file; ERR_NOT_FOUND, ERR_CORRUPT for what is none of this origin, ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK enum err snapshot_read(int dir, unsigned number, const char *origin, struct snapshot *out);
/* The same of bytes that are borrowed, without their hash. */
bool snapshot_parse(struct span bytes, const char *origin, struct snapshot *out);
void snapshot_free(struct snapshot *s);
/* Into an empty ledger. ERR_CORRUPT, ERR_NO_MEMORY. */
MUST_CHECK enum err snapshot_fill(const struct snapshot *s, struct ledger *ledger);
/* The segments before its own are there, none has become shorter, and there are no others. */
bool snapshot_segments_stand(const struct snapshot *s, int segments_dir);

#endif
