/* SPDX-License-Identifier: Apache-2.0 */
#include "hashes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_HASHES     2048u
#define BUFFER_HASHES_MAX (1u << 21) /* while nothing can be written; the gate closes long before */

struct array {
    int fd;
    uint64_t stored;    /* hashes in the file that count */
    uint64_t appended;  /* hashes in the buffer behind them */
    uint64_t window_at; /* comparing: the buffer holds window_len stored hashes from here */
    size_t window_len;
    size_t cap; /* of the buffer, in hashes */
    uint8_t (*buffer)[DIGEST_BYTES];
};

struct hashes {
    bool read_only;
    bool lost; /* a hash is neither in a file nor in a buffer: only a new start derives it again */
    uint64_t different, missing, unread, first_different_leaf;
    struct array arrays[TREE_ARRAYS];
};

static enum err array_open(struct array *a, int dir, unsigned number, bool read_only)
{
    char name[2] = {(char)('0' + number), '\0'};
    int flags = read_only ? O_RDONLY : O_RDWR | O_CREAT;
    a->fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    a->cap = BUFFER_HASHES;
    a->buffer = malloc(a->cap * DIGEST_BYTES);
    struct stat st;
    if (a->buffer == NULL)
        return ERR_NO_MEMORY;
    if (a->fd < 0)
        return read_only && errno == ENOENT ? ERR_NONE : ERR_IO;
    if (fstat(a->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return ERR_IO;
    a->stored = (uint64_t)st.st_size / DIGEST_BYTES;
    return ERR_NONE;
}

enum err hashes_open(int dir, bool read_only, struct hashes **out)
{
    struct hashes *h = calloc(1, sizeof *h);
    if (h == NULL)
        return ERR_NO_MEMORY;
    h->read_only = read_only;
    h->first_different_leaf = UINT64_MAX;
    for (unsigned i = 0; i < TREE_ARRAYS; i++)
        h->arrays[i].fd = -1;
    for (unsigned i = 0; i < TREE_ARRAYS; i++) {
        enum err err = array_open(&h->arrays[i], dir, i, read_only);
        if (err != ERR_NONE) {
            hashes_close(h);
            return err;
        }
    }
    *out = h;
    return ERR_NONE;
}

void hashes_close(struct hashes *h)
{
    if (h == NULL)
        return;
    for (unsigned i = 0; i < TREE_ARRAYS; i++) {
        if (h->arrays[i].fd >= 0)
            close(h->arrays[i].fd);
        free(h->arrays[i].buffer);
    }
    free(h);
}

static size_t read_at(const struct array *a, uint64_t first, size_t count, uint8_t (*out)[DIGEST_BYTES])
{
    size_t have = 0, want = count * DIGEST_BYTES;
    while (have < want) {
        ssize_t got = pread(a->fd, (uint8_t *)out + have, want - have, (off_t)(first * DIGEST_BYTES + have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        have += (size_t)got;
    }
    return have / DIGEST_BYTES;
}

/* The stored hash through the window; NULL if it cannot be read. */
static const uint8_t *stored_hash(struct array *a, uint64_t index)
{
    if (index < a->window_at || index >= a->window_at + a->window_len) {
        uint64_t left = a->stored - index;
        a->window_at = index;
        a->window_len = read_at(a, index, left < BUFFER_HASHES ? (size_t)left : BUFFER_HASHES, a->buffer);
    }
    return a->window_len == 0 ? NULL : a->buffer[index - a->window_at];
}

static enum err array_flush(struct array *a)
{
    size_t done = 0, want = (size_t)a->appended * DIGEST_BYTES;
    while (done < want) {
        ssize_t put =
            pwrite(a->fd, (const uint8_t *)a->buffer + done, want - done, (off_t)(a->stored * DIGEST_BYTES + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return ERR_IO;
        done += (size_t)put;
    }
    a->stored += a->appended;
    a->appended = 0;
    return ERR_NONE;
}

/* Room for one more: written out, or, while the disk takes nothing, kept. A full disk may have room again. */
static bool make_room(struct array *a)
{
    if (a->appended < a->cap || array_flush(a) == ERR_NONE)
        return true;
    if (a->cap >= BUFFER_HASHES_MAX)
        return false;
    uint8_t(*larger)[DIGEST_BYTES] = realloc(a->buffer, 2 * a->cap * DIGEST_BYTES);
    if (larger == NULL)
        return false;
    a->buffer = larger;
    a->cap *= 2;
    return true;
}

void hashes_emit(void *arg, unsigned array, uint64_t index, const uint8_t hash[static DIGEST_BYTES])
{
    struct hashes *h = arg;
    struct array *a = &h->arrays[array];
    if (a->appended == 0 && index < a->stored) {
        const uint8_t *stored = stored_hash(a, index);
        if (stored != NULL && memcmp(stored, hash, DIGEST_BYTES) == 0)
            return;
        if (stored == NULL && h->read_only) {
            h->unread++;
            return;
        }
        h->different++;
        if (array == 0 && h->first_different_leaf == UINT64_MAX)
            h->first_different_leaf = index;
        if (h->read_only)
            return;
        a->stored = index; /* from here on it is written again */
    }
    h->missing++;
    if (h->read_only)
        return;
    a->window_len = 0;
    if (h->lost || !make_room(a) || index != a->stored + a->appended) {
        h->lost = true;
        return;
    }
    memcpy(a->buffer[a->appended++], hash, DIGEST_BYTES);
}

enum err hashes_flush(struct hashes *h)
{
    enum err err = h->lost ? ERR_IO : ERR_NONE;
    for (unsigned i = 0; i < TREE_ARRAYS && !h->read_only; i++)
        if (array_flush(&h->arrays[i]) != ERR_NONE)
            err = ERR_IO;
    return err;
}

enum err hashes_sync(struct hashes *h)
{
    enum err err = hashes_flush(h);
    for (unsigned i = 0; i < TREE_ARRAYS && err == ERR_NONE; i++)
        if (fdatasync(h->arrays[i].fd) != 0)
            err = ERR_IO;
    return err;
}

void hashes_rollback(struct hashes *h, uint64_t size)
{
    for (unsigned i = 0; i < TREE_ARRAYS; i++) {
        struct array *a = &h->arrays[i];
        uint64_t count = size >> (i * TREE_TILE_BITS);
        if (a->stored > count)
            a->stored = count;
        if (a->stored + a->appended > count)
            a->appended = count - a->stored;
    }
}

static enum err source_read(void *arg, unsigned array, uint64_t first, size_t count, uint8_t (*out)[DIGEST_BYTES])
{
    struct hashes *h = arg;
    struct array *a = &h->arrays[array];
    enum err err = hashes_flush(h);
    if (err != ERR_NONE)
        return err;
    if (a->fd < 0 || first > a->stored || count > a->stored - first)
        return ERR_CORRUPT;
    return read_at(a, first, count, out) == count ? ERR_NONE : ERR_IO;
}

struct tree_source hashes_source(struct hashes *h, struct digest *digest)
{
    return (struct tree_source){.read = source_read, .arg = h, .digest = digest};
}

uint64_t hashes_different(const struct hashes *h, uint64_t *out_first_leaf)
{
    *out_first_leaf = h->first_different_leaf;
    return h->different;
}

uint64_t hashes_unread(const struct hashes *h)
{
    return h->unread;
}

uint64_t hashes_missing(const struct hashes *h)
{
    return h->missing;
}

bool hashes_cover(const struct hashes *h, uint64_t size)
{
    for (unsigned i = 0; i < TREE_ARRAYS; i++)
        if (h->arrays[i].stored < size >> (i * TREE_TILE_BITS))
            return false;
    return true;
}

bool hashes_leaf(struct hashes *h, uint64_t index, uint8_t out[static DIGEST_BYTES])
{
    struct array *a = &h->arrays[0];
    if (a->fd < 0 || a->appended != 0 || index >= a->stored)
        return false;
    const uint8_t *stored = stored_hash(a, index);
    if (stored != NULL)
        memcpy(out, stored, DIGEST_BYTES);
    return stored != NULL;
}
