/* SPDX-License-Identifier: Apache-2.0 */
#include "segments.h"

#include "base/text.h"
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (2u * FRAME_BATCH_MAX)

void segment_name(uint64_t first, char out[static SEGMENT_NAME_LEN + 1])
{
    snprintf(out, SEGMENT_NAME_LEN + 1, "%020llu.seg", (unsigned long long)first);
}

static bool parse_name(const char *name, uint64_t *out)
{
    struct span s = span_text(name);
    uint64_t first = 0;
    if (s.len != SEGMENT_NAME_LEN || strcmp(name + 20, ".seg") != 0)
        return false;
    for (size_t i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9' || first > UINT64_MAX / 20)
            return false;
        first = first * 10 + (uint64_t)(name[i] - '0');
    }
    *out = first;
    return true;
}

static int compare(const void *a, const void *b)
{
    uint64_t left, right;
    memcpy(&left, a, sizeof left);
    memcpy(&right, b, sizeof right);
    return left < right ? -1 : left > right;
}

static enum err list_add(struct segment_list *list, uint64_t first)
{
    if ((list->count & (list->count - 1)) == 0) { /* room doubles at every power of two */
        size_t room = list->count == 0 ? 1 : 2 * list->count;
        uint64_t *more = realloc(list->firsts, room * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        list->firsts = more;
    }
    list->firsts[list->count++] = first;
    return ERR_NONE;
}

enum err segment_list(int dir, struct segment_list *out, char *odd, size_t odd_cap)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (stream == NULL) {
        if (copy >= 0)
            close(copy);
        return ERR_IO;
    }
    struct segment_list list = {0};
    enum err err = ERR_NONE;
    for (const char *name; err == ERR_NONE && (name = io_next_name(stream, &err)) != NULL;) {
        uint64_t first = 0;
        struct stat st;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        int error = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
        if (error != 0 && error != ENOENT) {
            err = ERR_IO;
        } else if (error == 0 && parse_name(name, &first) && S_ISREG(st.st_mode)) {
            err = list_add(&list, first);
        } else {
            snprintf(odd, odd_cap, "%s", name);
            err = ERR_CORRUPT;
        }
    }
    closedir(stream);
    if (err != ERR_NONE) {
        free(list.firsts);
        return err;
    }
    if (list.count > 0)
        qsort(list.firsts, list.count, sizeof list.firsts[0], compare);
    *out = list;
    return ERR_NONE;
}

void segment_list_free(struct segment_list *list)
{
    free(list->firsts);
    *list = (struct segment_list){0};
}

enum err segment_open(int dir, uint64_t first, struct segment_reader *out)
{
    char name[SEGMENT_NAME_LEN + 1];
    segment_name(first, name);
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    if (out->buffer == NULL)
        out->buffer = malloc(BUFFER_BYTES);
    if (out->buffer == NULL) {
        close(fd);
        return ERR_NO_MEMORY;
    }
    out->fd = fd;
    out->offset = 0;
    out->at = out->have = 0;
    return ERR_NONE;
}

void segment_close(struct segment_reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
    free(r->buffer);
    *r = (struct segment_reader){.fd = -1};
}

/* Moves what is left to the front and reads on; false at the end of the file or on an error. */
static bool refill(struct segment_reader *r, bool *failed)
{
    memmove(r->buffer, r->buffer + r->at, r->have - r->at);
    r->have -= r->at;
    r->at = 0;
    for (;;) {
        ssize_t got = pread(r->fd, r->buffer + r->have, BUFFER_BYTES - r->have, (off_t)(r->offset + r->have));
        if (got < 0 && errno == EINTR)
            continue;
        *failed = got < 0;
        if (got <= 0)
            return false;
        r->have += (size_t)got;
        return true;
    }
}

enum segment_result segment_next(struct segment_reader *r, struct batch *out)
{
    for (;;) {
        struct span bytes = span_make(r->buffer + r->at, r->have - r->at);
        enum frame_result result = frame_batch(bytes, &out->entries, &out->commit, &out->len);
        if (result == FRAME_DONE) {
            out->offset = r->offset;
            r->offset += out->len;
            r->at += out->len;
            return SEGMENT_BATCH;
        }
        bool failed = false;
        if (result == FRAME_BROKEN)
            return SEGMENT_BROKEN;
        if (!refill(r, &failed)) {
            if (failed)
                return SEGMENT_FAILED;
            return r->have == 0 ? SEGMENT_END : SEGMENT_SHORT;
        }
    }
}

bool segment_has_commit_behind(struct segment_reader *r)
{
    uint64_t offset = r->offset;
    struct commit commit;
    for (;;) {
        ssize_t got = pread(r->fd, r->buffer, BUFFER_BYTES, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        r->at = r->have = 0;
        if (got < FRAME_COMMIT_BYTES)
            return false;
        if (frame_find_commit(span_make(r->buffer, (size_t)got), &commit) < (size_t)got)
            return true;
        offset += (size_t)got - FRAME_COMMIT_BYTES + 1; /* one may lie across the border */
    }
}

uint64_t segment_bytes_left(const struct segment_reader *r)
{
    struct stat st;
    if (fstat(r->fd, &st) != 0 || (uint64_t)st.st_size < r->offset)
        return 0;
    return (uint64_t)st.st_size - r->offset;
}
