/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ship: a second copy of a log in a store that its machine cannot change: sealed segments, blobs, every checkpoint.
 * What the store acknowledged is remembered in a small file beside the log, and nothing else counts as shipped: after a
 * break an object is sent again as a whole. The copy is itself a log directory that verify takes (without hashes/).
 */
#ifndef AUDIT_SHIP_H
#define AUDIT_SHIP_H

#include "base/digest.h"
#include "base/err.h"
#include "base/span.h"

/* Where objects go. put(): the first `len` bytes of `fd` under `name` ("segments/…"), whole or not at all, instead of
 * what had that name; ERR_NONE only when the store said that it has them. `why` says what went wrong. */
struct ship_store {
    void *arg;
    enum err (*put)(void *arg, const char *name, int fd, uint64_t len, const uint8_t sha256[static DIGEST_BYTES],
                    char *why, size_t cap);
};

struct ship_options {
    const char *dir;
    const char *to;    /* the name of the store, as it is remembered: another name begins anew */
    const char *state; /* the directory of the file `shipped`; NULL: dir itself */
    bool newest;       /* the segment that is being written as well, as far as it is signed */
    struct ship_store store;
};

/* What was acknowledged. */
struct ship_progress {
    uint64_t entries;     /* the first so many */
    uint64_t head;        /* size of the newest checkpoint */
    int64_t through_ms;   /* everything that was sealed before then is in the store */
    uint64_t signed_size; /* of the log itself, when that was written */
    int64_t written_ms;
    char to[512];
};

struct ship;

/* Reads what was acknowledged before; `options` is copied, its texts and its store are borrowed. ERR_NOT_FOUND: no
 * log lies there; ERR_TOO_BIG: the store's name is too long; ERR_IO: the directory of its state. `why` says more. */
MUST_CHECK enum err ship_open(const struct ship_options *options, struct ship **out, char *why, size_t cap);
void ship_close(struct ship *s); /* NULL is allowed */
/*
 * Sends what is new, once. ERR_CORRUPT: the log is not what it was when it was last shipped (rolled back) or cannot be
 * read; anything else is worth trying again. What was acknowledged before a failure stays so.
 */
MUST_CHECK enum err ship_pass(struct ship *s, char *why, size_t cap);
/* As of now, without asking the disk. */
void ship_progress(const struct ship *s, struct ship_progress *out);

/* What the file `shipped` of a log's directory says. ERR_NOT_FOUND: nothing was shipped yet. */
MUST_CHECK enum err ship_read(const char *dir, struct ship_progress *out);
/* The same below an open directory. */
MUST_CHECK enum err ship_read_at(int dir, struct ship_progress *out);

#endif
