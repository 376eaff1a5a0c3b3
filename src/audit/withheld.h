/* SPDX-License-Identifier: Apache-2.0 */
/*
 * withheld: signed heads that are not given out yet, because witnesses must sign them first. The file of that name has
 * them from the smallest to the largest:
 *
 *   sallyport withheld 1
 *   since MS              when what this head covers beyond the one before it began to wait
 *   NOTE                  with the log's own lines, and an empty line behind it
 *
 * There is room for WITHHELD_MAX. The newest are kept, and those that two keys have signed: without them nobody who has
 * the older key finds the newer one. A head that went is covered by the next larger one, which takes over its time.
 */
#ifndef AUDIT_WITHHELD_H
#define AUDIT_WITHHELD_H

#include "note.h"

#define WITHHELD_FILE         "withheld"
#define WITHHELD_MAX          16u
#define WITHHELD_OVERLAPS_MAX 8u
#define WITHHELD_BYTES_MAX    (64u + WITHHELD_MAX * (NOTE_TEXT_MAX + 64u))

struct withheld_head {
    struct tree_head head;
    int64_t since_ms;
    bool overlap; /* signed with two keys */
    size_t len;
    char text[NOTE_TEXT_MAX]; /* the note */
};

struct withheld {
    struct withheld_head heads[WITHHELD_MAX];
    size_t count;
};

/* A larger head, or the last one again, which changes nothing unless it has more lines now. ERR_INVALID: a smaller one;
 * ERR_TOO_BIG: a note that is longer than any of a log. */
MUST_CHECK enum err withheld_add(struct withheld *w, const struct checkpoint *c, struct span note, int64_t now_ms);
/* Those of at most `size` entries go. */
void withheld_drop(struct withheld *w, uint64_t size);
const struct withheld_head *withheld_find(const struct withheld *w, uint64_t size); /* NULL: none of this size */
const struct withheld_head *withheld_newest(const struct withheld *w);              /* NULL: there is none */
/* Is there room for one more that two keys sign? A hand-over waits for it. */
bool withheld_has_room(const struct withheld *w);

/* ERR_CORRUPT: this is no such file. Signatures are not looked at. */
MUST_CHECK enum err withheld_parse(struct span text, struct withheld *out);
/* No file: none. */
MUST_CHECK enum err withheld_read(int dir, struct withheld *out);
/* Durably; without any the file goes. */
MUST_CHECK enum err withheld_write(int dir, const struct withheld *w);

#endif
