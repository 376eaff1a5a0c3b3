/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_EVIDENCE_PRIVATE_H
#define AUDIT_EVIDENCE_PRIVATE_H

#include "audit/evidence.h"
#include "note.h"
#include "tree.h"

struct evidence_row {
    uint8_t (*hashes)[DIGEST_BYTES];
    uint64_t count, cap;
};

struct evidence {
    const char *dir; /* borrowed */
    struct digest *digest;
    struct note_key key;
    char vkey[NOTE_VKEY_MAX];
    char text[NOTE_TEXT_MAX]; /* the checkpoint */
    size_t text_len;
    struct tree_head head;
    struct evidence_row rows[TREE_ARRAYS]; /* heights 0, 8, 16, 24 */
    bool no_memory;
};

struct tree_source evidence_source(struct evidence *e);

/* evidence_bundle.c: when an entry was sealed, in ms. */
int64_t evidence_time(struct span leaf);

/* evidence_files.c */
/* A new directory; ERR_EXISTS. */
MUST_CHECK enum err evidence_mkdir(const char *path, int *out);
/* A new file below `dir`, with the directories on its way. */
MUST_CHECK enum err evidence_put(int dir, const char *path, struct span bytes);

#endif
