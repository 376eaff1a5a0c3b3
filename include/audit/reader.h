/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader: entries of a log directory in order, up to the last commit, without a lock. For tail, query and export.
 * Beside a running daemon an entry may be seen while its batch is still being synced; nothing is checked but framing.
 */
#ifndef AUDIT_READER_H
#define AUDIT_READER_H

#include "base/err.h"
#include "base/span.h"

struct audit_reader;

/* From this entry on; from the end while there is none of that index. ERR_NOT_FOUND: no log lies there; ERR_CORRUPT,
 * ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK enum err audit_reader_open(const char *dir, uint64_t from_index, struct audit_reader **out);
void audit_reader_close(struct audit_reader *reader); /* NULL is allowed */

/* The next durable entry: its JSON, valid until the next call. ERR_AGAIN: none yet (call again later, for follow);
 * ERR_CORRUPT: the framing is broken; ERR_IO. */
MUST_CHECK enum err audit_reader_next(struct audit_reader *reader, uint64_t *out_index, struct span *out_leaf);

/* Number of durable entries now. */
uint64_t audit_reader_durable(struct audit_reader *reader);

/* What can be seen of a log from outside, without proving any of it. */
struct audit_peek {
    char origin[201];
    char vkey[320];          /* of the directory itself; empty: none */
    uint64_t entries;        /* durable */
    uint64_t signed_size;    /* of the last head, withheld or not */
    uint64_t published_size; /* of the last checkpoint that is given out */
    uint64_t withheld;       /* heads that wait for witnesses */
    int64_t withheld_since_ms;
    uint64_t segments, segment_bytes;
    uint64_t quarantined; /* files kept from recoveries */
    bool held;            /* a process has the log open */
    char holder[160];     /* what that process wrote of itself */
    char signer[64];      /* what the last process that had it open wrote of its signer; empty: nothing */
};

/* ERR_NOT_FOUND: no log lies there; ERR_CORRUPT: not one that can be read. */
MUST_CHECK enum err audit_peek(const char *dir, struct audit_peek *out);

#endif
