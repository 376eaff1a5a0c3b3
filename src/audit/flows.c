/* SPDX-License-Identifier: Apache-2.0 */
#include "flows.h"

#include "base/digest.h"

#include <stdlib.h>

/* Open addressing with linear probing. This program draws ids at random, but a table is also filled from a directory that
 * a stranger may have written, a snapshot's rows among it: multipliers that he cannot know (a universal family, Dietzfelbinger
 * 1996) keep him from aiming many ids at one place, where each search would pass over all of them. */
static size_t home(const struct flows *f, const uint8_t *id)
{
    uint64_t half[2];
    memcpy(half, id, sizeof half);
    uint64_t hash = half[0] * f->key.k0 + half[1] * f->key.k1;
    return (size_t)(hash >> 32) & (f->cap - 1);
}

static size_t find(const struct flows *f, const uint8_t *id)
{
    size_t at = home(f, id);
    while (f->rows[at].used && memcmp(f->rows[at].id, id, FLOW_ID_BYTES) != 0)
        at = (at + 1) & (f->cap - 1);
    return at;
}

static enum err grow(struct flows *f)
{
    struct flows bigger = {.cap = f->cap == 0 ? 1024 : 2 * f->cap, .count = f->count, .key = f->key};
    if (f->cap == 0) {
        random_bytes(&bigger.key, sizeof bigger.key);
        bigger.key.k0 |= 1;
        bigger.key.k1 |= 1;
    }
    bigger.rows = calloc(bigger.cap, sizeof bigger.rows[0]);
    if (bigger.rows == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < f->cap; i++)
        if (f->rows[i].used)
            bigger.rows[find(&bigger, f->rows[i].id)] = f->rows[i];
    free(f->rows);
    *f = bigger;
    return ERR_NONE;
}

enum err flows_put(struct flows *f, const uint8_t id[static FLOW_ID_BYTES], uint64_t index, uint32_t session)
{
    if (2 * (f->count + 1) > f->cap) {
        enum err err = grow(f);
        if (err != ERR_NONE)
            return err;
    }
    size_t at = find(f, id);
    f->count += !f->rows[at].used;
    f->rows[at] = (struct flow_row){.index = index, .session = session, .used = true};
    memcpy(f->rows[at].id, id, FLOW_ID_BYTES);
    return ERR_NONE;
}

bool flows_has(const struct flows *f, const uint8_t id[static FLOW_ID_BYTES])
{
    return f->count > 0 && f->rows[find(f, id)].used;
}

bool flows_take(struct flows *f, const uint8_t id[static FLOW_ID_BYTES])
{
    if (f->count == 0)
        return false;
    size_t hole = find(f, id);
    if (!f->rows[hole].used)
        return false;
    f->rows[hole].used = false;
    f->count--;
    /* Rows behind the hole that would no longer be found move into it. */
    for (size_t at = (hole + 1) & (f->cap - 1); f->rows[at].used; at = (at + 1) & (f->cap - 1)) {
        size_t wanted = home(f, f->rows[at].id);
        size_t from_home = (at - wanted) & (f->cap - 1), from_hole = (at - hole) & (f->cap - 1);
        if (from_home < from_hole)
            continue;
        f->rows[hole] = f->rows[at];
        f->rows[at].used = false;
        hole = at;
    }
    return true;
}

void flows_free(struct flows *f)
{
    free(f->rows);
    *f = (struct flows){0};
}
