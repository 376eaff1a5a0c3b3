/* SPDX-License-Identifier: Apache-2.0 */
/* Which key signs which checkpoint: the chain from the key that was given to all others. */
#include "verify_private.h"

#include <fcntl.h>
#include <unistd.h>

static bool key_is_known(const struct verify *v)
{
    const struct rotations *r = &v->rotations;
    bool known = r->count == 0 || note_key_same(&v->key, &r->rows[0].before);
    for (size_t i = 0; i < r->count; i++)
        known |= note_key_same(&v->key, &r->rows[i].after);
    return known;
}

bool verify_read_rotations(struct verify *v)
{
    int keys = openat(v->dir, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (keys < 0)
        return true;
    enum err err = rotations_read(keys, &v->rotations);
    close(keys);
    if (err != ERR_NONE) {
        verify_finding(v->report, err == ERR_CORRUPT ? VERIFY_TAMPERED : VERIFY_FAILED,
                       "keys/rotations cannot be read (%s)", err_text(err));
        return false;
    }
    if (key_is_known(v))
        return true;
    verify_finding(v->report, VERIFY_TAMPERED, "the key is none that this log was signed with, by keys/rotations");
    return false;
}

static const struct note_key *key_at(const struct verify *v, uint64_t size)
{
    const struct note_key *key = rotations_key_at(&v->rotations, size);
    return key != NULL ? key : &v->key;
}

bool verify_signature(const struct verify *v, const struct checkpoint *c)
{
    return note_checkpoint_check(c, key_at(v, c->head.size));
}

bool verify_published_signature(struct verify *v, const struct checkpoint *c)
{
    const struct rotations *r = &v->rotations;
    bool good = verify_signature(v, c);
    for (; good && v->handed_over < r->count && c->head.size > r->rows[v->handed_over].index; v->handed_over++)
        good = note_checkpoint_check(c, &r->rows[v->handed_over].before);
    return good;
}

void verify_rotation_entry(struct verify *v, uint64_t index, const struct leaf_facts *facts)
{
    const struct rotations *r = &v->rotations;
    char before[NOTE_VKEY_MAX], after[NOTE_VKEY_MAX];
    bool same = v->rotations_seen < r->count && r->rows[v->rotations_seen].index == index;
    if (same) {
        note_key_format(&r->rows[v->rotations_seen].before, before);
        note_key_format(&r->rows[v->rotations_seen].after, after);
        same = span_is(leaf_text(facts->unmapped, "old_vkey"), before) &&
               span_is(leaf_text(facts->unmapped, "new_vkey"), after);
    }
    v->rotations_seen += same;
    /* Behind the newest checkpoint the file may not have it yet. */
    if (!same && index < v->report->signed_size)
        verify_finding(v->report, VERIFY_TAMPERED, "entry %llu hands over to another key than keys/rotations says",
                       (unsigned long long)index);
}

void verify_rotations_skip(struct verify *v, uint64_t begun)
{
    const struct rotations *r = &v->rotations;
    while (v->rotations_seen < r->count && r->rows[v->rotations_seen].index < begun)
        v->rotations_seen++;
}

void verify_rotations_end(struct verify *v)
{
    const struct rotations *r = &v->rotations;
    if (v->rotations_seen < r->count)
        verify_finding(v->report, VERIFY_TAMPERED, "keys/rotations names entry %llu, which hands over no key",
                       (unsigned long long)r->rows[v->rotations_seen].index);
    else if (r->count > 0)
        verify_proven(v->report, "the key was handed over %zu times, each time in a checkpoint signed with both keys",
                      v->handed_over);
}
