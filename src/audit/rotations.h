/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotations: the keys that a log was signed with, one after the other, as keys/rotations lists them: a line "index
 * old-vkey new-vkey" each, where `index` is the key_rotated entry. The file is a hint for whoever checks signatures
 * before the entries are read; what it says is held against the entries and against a checkpoint signed with both keys.
 */
#ifndef AUDIT_ROTATIONS_H
#define AUDIT_ROTATIONS_H

#include "note.h"

#define ROTATIONS_FILE "rotations"
#define ROTATIONS_MAX  1024

struct rotation {
    uint64_t index;
    struct note_key before, after;
};

struct rotations {
    struct rotation *rows; /* each begins with the key that the one before it ended with */
    size_t count;
};

/* `keys` is the directory keys/. No file: none. ERR_CORRUPT, ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK enum err rotations_read(int keys, struct rotations *out);
void rotations_free(struct rotations *r);
/* Adds a row to the file, unless it is the last one already. ERR_TOO_BIG. */
MUST_CHECK enum err rotations_add(int keys, const struct rotation *row);

/* The key that signs a tree of this size; NULL: there was no rotation at all. */
const struct note_key *rotations_key_at(const struct rotations *r, uint64_t size);
bool note_key_same(const struct note_key *a, const struct note_key *b);

#endif
