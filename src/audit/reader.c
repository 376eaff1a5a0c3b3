/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/reader.h"

#include "segments.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct audit_reader {
    int segments_dir;
    struct segment_reader segment;
    uint64_t first;         /* of the open segment */
    uint64_t limit;         /* where the one behind it begins */
    struct timespec listed; /* when the directory was changed that `limit` comes from */
    uint64_t next;          /* index that the next batch must begin with */
    uint64_t wanted;        /* index of the next entry given out */
    uint64_t durable;
    struct span entries; /* left of the present batch */
    uint64_t entry;      /* index of the first of them */
};

/* The newest segment that begins at or before `index`, and where the one behind it begins. */
static enum err find_segment(const struct audit_reader *r, uint64_t index, uint64_t *out_first, uint64_t *out_limit)
{
    struct segment_list list;
    char odd[64];
    enum err err = segment_list(r->segments_dir, &list, odd, sizeof odd);
    if (err != ERR_NONE)
        return err;
    err = ERR_NOT_FOUND;
    *out_limit = UINT64_MAX;
    for (size_t i = 0; i < list.count; i++) {
        if (list.firsts[i] <= index) {
            *out_first = list.firsts[i];
            err = ERR_NONE;
        } else {
            *out_limit = list.firsts[i];
            break;
        }
    }
    segment_list_free(&list);
    return err;
}

static enum err open_segment(struct audit_reader *r, uint64_t first)
{
    struct segment_reader next = {.fd = -1};
    enum err err = segment_open(r->segments_dir, first, &next);
    if (err != ERR_NONE) {
        segment_close(&next);
        return err;
    }
    segment_close(&r->segment);
    r->segment = next;
    r->first = r->next = first;
    r->limit = UINT64_MAX;
    r->listed = (struct timespec){0};
    return ERR_NONE;
}

enum err audit_reader_open(const char *dir, uint64_t from_index, struct audit_reader **out)
{
    struct audit_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NO_MEMORY;
    r->segment.fd = -1;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r->segments_dir = fd < 0 ? -1 : openat(fd, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        close(fd);
    uint64_t first = 0, limit = 0;
    enum err err = r->segments_dir < 0 ? ERR_NOT_FOUND : find_segment(r, from_index, &first, &limit);
    if (err == ERR_NONE)
        err = open_segment(r, first);
    if (err != ERR_NONE) {
        audit_reader_close(r);
        return err;
    }
    r->wanted = from_index;
    r->durable = r->entry = first;
    *out = r;
    return ERR_NONE;
}

void audit_reader_close(struct audit_reader *reader)
{
    if (reader == NULL)
        return;
    segment_close(&reader->segment);
    if (reader->segments_dir >= 0)
        close(reader->segments_dir);
    free(reader);
}

/* Segments come and go rarely: the directory is listed again only when it was changed. */
static enum err refresh_limit(struct audit_reader *r)
{
    struct stat st;
    uint64_t first = 0;
    if (fstat(r->segments_dir, &st) != 0)
        return ERR_IO;
    if (st.st_mtim.tv_sec == r->listed.tv_sec && st.st_mtim.tv_nsec == r->listed.tv_nsec)
        return ERR_NONE;
    enum err err = find_segment(r, r->first, &first, &r->limit);
    if (err == ERR_NONE && first != r->first)
        err = ERR_CORRUPT; /* the segment in hand was taken away */
    if (err == ERR_NONE)
        r->listed = st.st_mtim;
    return err;
}

/* No batch is there: a later segment goes on at this index, or there is nothing yet. */
static enum err at_end(struct audit_reader *r)
{
    if (r->limit == UINT64_MAX) {
        r->segment.at = r->segment.have = 0; /* what is half there may be written anew */
        return ERR_AGAIN;
    }
    return r->limit == r->next ? open_segment(r, r->limit) : ERR_CORRUPT;
}

static enum err next_batch(struct audit_reader *r)
{
    for (;;) {
        struct batch batch;
        enum segment_result result = segment_next(&r->segment, &batch);
        enum err err = result == SEGMENT_FAILED ? ERR_IO : refresh_limit(r);
        if (err != ERR_NONE)
            return err;
        /* What lies behind the index at which the next segment takes over is no part of the log. */
        if (result == SEGMENT_BATCH && r->next < r->limit) {
            if (batch.commit.first != r->next)
                return ERR_CORRUPT;
            r->entries = batch.entries;
            r->entry = batch.commit.first;
            r->next = r->durable = batch.commit.first + batch.commit.count;
            return ERR_NONE;
        }
        err = at_end(r);
        if (err != ERR_NONE)
            return err;
    }
}

enum err audit_reader_next(struct audit_reader *reader, uint64_t *out_index, struct span *out_leaf)
{
    struct span leaf;
    for (;;) {
        while (frame_next(&reader->entries, &leaf)) {
            uint64_t index = reader->entry++;
            if (index < reader->wanted)
                continue;
            reader->wanted = index + 1;
            *out_index = index;
            *out_leaf = leaf;
            return ERR_NONE;
        }
        enum err err = next_batch(reader);
        if (err != ERR_NONE)
            return err;
    }
}

/* Reads ahead with a second reader: the place of this one stays. */
uint64_t audit_reader_durable(struct audit_reader *reader)
{
    struct audit_reader ahead = {.segments_dir = reader->segments_dir, .segment = {.fd = -1}};
    uint64_t first = 0, limit = 0;
    if (find_segment(reader, UINT64_MAX, &first, &limit) != ERR_NONE || open_segment(&ahead, first) != ERR_NONE)
        return reader->durable;
    while (next_batch(&ahead) == ERR_NONE)
        continue;
    segment_close(&ahead.segment);
    return ahead.next;
}
