/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_EVIDENCE_PRIVATE_H
#define AUDIT_EVIDENCE_PRIVATE_H

#include "audit/evidence.h"
#include "note.h"
#include "rotations.h"
#include "tree.h"

struct evidence_row {
    uint8_t (*hashes)[DIGEST_BYTES];
    uint64_t count, cap;
};

/* The checkpoint that two keys have signed. */
struct evidence_overlap {
    struct tree_head head;
    char text[NOTE_TEXT_MAX];
    size_t len;
};

struct evidence {
    const char *dir; /* borrowed */
    struct digest *digest;
    struct note_key key; /* that signed the checkpoint */
    struct rotations rotations;
    struct evidence_overlap *overlaps; /* one for each of them */
    char vkey[NOTE_VKEY_MAX];
    char text[NOTE_TEXT_MAX]; /* the checkpoint */
    size_t text_len;
    struct tree_head head;
    struct evidence_row rows[TREE_ARRAYS]; /* heights 0, 8, 16, 24 */
    bool no_memory;
};

struct tree_source evidence_source(struct evidence *e);
/* The entries of a head alone: nothing but its root is looked at. ERR_CORRUPT: they do not give it. */
MUST_CHECK enum err evidence_rehash(const char *dir, const struct tree_head *head, struct evidence **out);

/* A tlog-proof of one entry against a checkpoint of this log. */
MUST_CHECK enum err evidence_prove_in(struct evidence *e, uint64_t index, const struct tree_head *head,
                                      struct span checkpoint, struct outbuf *out);

/* evidence_keys.c */
/* From the key that was given to the one that signed the head. ERR_DENIED: it is none of this log. */
/* `own`: the key is that of the directory, which may be ahead of the head that is given out. */
MUST_CHECK enum err evidence_keys_read(struct evidence *e, int dir, bool own);
/* Once the entries are hashed: they say the same. */
MUST_CHECK enum err evidence_keys_check(struct evidence *e);
/* Below rotations/: each hand-over with its proof. */
MUST_CHECK enum err evidence_keys_put(struct evidence *e, int dir);

/* evidence_bundle.c: when an entry was sealed, in ms. */
int64_t evidence_time(struct span leaf);

/* evidence_files.c */
/* A new directory; ERR_EXISTS. */
MUST_CHECK enum err evidence_mkdir(const char *path, int *out);
/* A new file below `dir`, with the directories on its way. */
MUST_CHECK enum err evidence_put(int dir, const char *path, struct span bytes);

#endif
