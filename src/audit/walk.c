/* SPDX-License-Identifier: Apache-2.0 */
#include "walk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static enum walk_state end(struct walk *w, enum walk_state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum walk_state end(struct walk *w, enum walk_state state, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w->message, sizeof w->message, format, args);
    va_end(args);
    return state;
}

static enum walk_state tampered(struct walk *w, uint64_t index, const char *what)
{
    w->has_first_bad = true;
    w->first_bad = index;
    return end(w, WALK_TAMPERED, "entry %llu: %s", (unsigned long long)index, what);
}

/* The root of a batch is wrong: the stored leaf hashes say which of its entries is not what it was. */
static uint64_t first_changed(struct walk *w, const struct batch *batch)
{
    struct span entries = batch->entries, leaf;
    for (uint64_t index = batch->commit.first; frame_next(&entries, &leaf); index++) {
        uint8_t now[DIGEST_BYTES], then[DIGEST_BYTES];
        tree_leaf_hash(w->digest, leaf, now);
        if (w->hashes != NULL && hashes_leaf(w->hashes, index, then) && memcmp(now, then, DIGEST_BYTES) != 0)
            return index;
    }
    return batch->commit.first;
}

static void remember(void *arg, unsigned array, uint64_t index, const uint8_t hash[static DIGEST_BYTES])
{
    struct walk *w = arg;
    if (w->emitted_count == w->emitted_cap) {
        size_t cap = w->emitted_cap == 0 ? 4096 : 2 * w->emitted_cap;
        struct walk_hash *more = realloc(w->emitted, cap * sizeof *more);
        if (more == NULL) {
            w->no_memory = true;
            return;
        }
        w->emitted = more;
        w->emitted_cap = cap;
    }
    struct walk_hash *row = &w->emitted[w->emitted_count++];
    row->array = array;
    row->index = index;
    memcpy(row->hash, hash, DIGEST_BYTES);
}

/* Hashes of a batch reach the arrays only when its root was found good: they are evidence until then. */
static enum walk_state take_batch(struct walk *w, const struct batch *batch, const uint8_t (*hashes)[DIGEST_BYTES])
{
    struct span entries = batch->entries, leaf;
    uint8_t hash[DIGEST_BYTES];
    uint64_t index = w->tree.size;
    if (batch->commit.first != index)
        return tampered(w, index, "the commit record behind it has another place in the log");
    w->emitted_count = 0;
    for (uint32_t i = 0; i < batch->commit.count; i++)
        tree_append(&w->tree, hashes[i], remember, w);
    tree_root(&w->tree, hash);
    if (memcmp(hash, batch->commit.root, DIGEST_BYTES) != 0)
        return tampered(w, first_changed(w, batch), "it is not what was committed");
    if (w->no_memory)
        return end(w, WALK_FAILED, "no memory");
    for (size_t i = 0; i < w->emitted_count && w->hashes != NULL; i++)
        hashes_emit(w->hashes, w->emitted[i].array, w->emitted[i].index, w->emitted[i].hash);
    for (; w->entry != NULL && frame_next(&entries, &leaf); index++)
        if (!w->entry(w->arg, index, leaf))
            return WALK_STOPPED;
    w->last = batch->commit;
    if (w->commit != NULL && !w->commit(w->arg, &batch->commit, &w->tree))
        return WALK_STOPPED;
    return WALK_GOOD;
}

/* The newest segment may end inside a batch that nobody was told about. */
static enum walk_state newest_end(struct walk *w, struct segment_reader *r, enum segment_result result)
{
    w->good_bytes = r->offset;
    if (result == SEGMENT_END)
        return WALK_GOOD;
    w->torn_bytes = segment_bytes_left(r);
    if (segment_has_commit_behind(r))
        return tampered(w, w->tree.size, "bytes that are no entry, with committed entries behind them");
    return WALK_TORN;
}

static enum walk_state walk_segment(struct walk *w, struct segment_reader *r, bool newest, uint64_t limit)
{
    while (newest || w->tree.size < limit) {
        struct batch batch;
        const uint8_t(*hashes)[DIGEST_BYTES];
        enum segment_result result = ahead_next(w->ahead, &batch, &hashes);
        if (result == SEGMENT_FAILED)
            return end(w, WALK_FAILED, "segment %llu: %s", (unsigned long long)w->last_segment, strerror(errno));
        if (result != SEGMENT_BATCH && newest)
            return newest_end(w, r, result);
        if (result != SEGMENT_BATCH)
            return tampered(w, w->tree.size, "it is missing, and a later segment is there");
        if (!newest && batch.commit.first + batch.commit.count > limit)
            return tampered(w, limit, "two segments hold it");
        enum walk_state state = take_batch(w, &batch, hashes);
        if (state != WALK_GOOD)
            return state;
        r->offset = batch.offset + batch.len;
    }
    w->superseded_bytes += segment_bytes_left(r);
    return WALK_GOOD;
}

/* As skip_to(), but into the middle of a segment. */
static enum walk_state jump_to(struct walk *w, const struct segment_list *list, size_t *out)
{
    size_t i = 0;
    while (i < list->count && list->firsts[i] != w->from_segment)
        i++;
    *out = i;
    if (i == list->count || w->hashes == NULL || !hashes_cover(w->hashes, w->from))
        return end(w, WALK_FAILED, "nothing is known of the entries before %llu", (unsigned long long)w->from);
    struct tree_source source = hashes_source(w->hashes, w->digest);
    w->begun = w->from;
    return tree_resume(&source, w->from, &w->tree) == ERR_NONE ? WALK_GOOD
                                                               : end(w, WALK_FAILED, "hashes/ cannot be read");
}

/* The segment that `from` lies in, with the tree in front of it. */
static enum walk_state skip_to(struct walk *w, const struct segment_list *list, size_t *out)
{
    size_t i = 0;
    while (i + 1 < list->count && list->firsts[i + 1] <= w->from)
        i++;
    *out = i;
    if (i == 0)
        return WALK_GOOD;
    if (w->hashes == NULL)
        return end(w, WALK_FAILED, "without hashes/ the whole log must be read");
    struct tree_source source = hashes_source(w->hashes, w->digest);
    w->begun = list->firsts[i];
    return tree_resume(&source, w->begun, &w->tree) == ERR_NONE
               ? WALK_GOOD
               : end(w, WALK_FAILED, "hashes/ are too short to begin at entry %llu", (unsigned long long)w->begun);
}

static enum walk_state walk_list(struct walk *w, const struct segment_list *list, struct segment_reader *r)
{
    size_t start = 0;
    if (w->exact ? jump_to(w, list, &start) != WALK_GOOD
                 : w->from > 0 && list->count > 0 && skip_to(w, list, &start) != WALK_GOOD)
        return WALK_FAILED;
    for (size_t i = start; i < list->count; i++) {
        bool newest = i + 1 == list->count;
        uint64_t first = list->firsts[i];
        bool inside = w->exact && i == start;
        if (!inside && first != w->tree.size)
            return tampered(w, w->tree.size, "the segment that should begin with it is missing");
        w->last_segment = first;
        int old = r->fd;
        enum err err = segment_open(w->segments_dir, first, r);
        if (err != ERR_NONE)
            return end(w, WALK_FAILED, "segment %llu: %s", (unsigned long long)first, err_text(err));
        r->offset = inside ? w->from_offset : 0;
        ahead_begin(w->ahead, r->fd, r->offset);
        if (old >= 0)
            segment_close(&(struct segment_reader){.fd = old});
        enum walk_state state = walk_segment(w, r, newest, newest ? 0 : list->firsts[i + 1]);
        if (state != WALK_GOOD)
            return state;
    }
    return WALK_GOOD;
}

enum walk_state walk_run(struct walk *w)
{
    struct segment_list list;
    char odd[64];
    w->tree = (struct tree){.digest = w->digest};
    w->begun = 0;
    w->last.count = 0;
    enum err err = segment_list(w->segments_dir, &list, odd, sizeof odd);
    if (err == ERR_CORRUPT)
        return end(w, WALK_TAMPERED, "segments/%s is no segment", odd);
    if (err != ERR_NONE)
        return end(w, WALK_FAILED, "segments/ cannot be read (%s)", err_text(err));
    w->segment_count = list.count;
    struct segment_reader reader = {.fd = -1};
    enum walk_state state =
        ahead_new(&w->ahead) == ERR_NONE ? walk_list(w, &list, &reader) : end(w, WALK_FAILED, "no memory");
    ahead_free(w->ahead);
    segment_close(&reader);
    segment_list_free(&list);
    free(w->emitted);
    w->emitted = NULL;
    w->emitted_cap = w->emitted_count = 0;
    return state;
}
