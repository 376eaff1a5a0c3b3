/* SPDX-License-Identifier: Apache-2.0 */
/* A directory as a store: a file is written under another name, synced, and renamed; then its directory is synced. */
#include "ship_stores.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART ".part"

struct ship_dir {
    int dir;
};

static enum err copy(int from, uint64_t len, int to, const uint8_t want[static DIGEST_BYTES])
{
    struct digest *digest = NULL;
    uint8_t buffer[65536], hash[DIGEST_BYTES];
    enum err err = digest_new(&digest);
    if (err != ERR_NONE)
        return err;
    digest_begin(digest);
    for (uint64_t at = 0; err == ERR_NONE && at < len;) {
        size_t size = len - at < sizeof buffer ? (size_t)(len - at) : sizeof buffer;
        ssize_t got = pread(from, buffer, size, (off_t)at);
        if (got <= 0 || write(to, buffer, (size_t)got) != got)
            err = ERR_IO;
        else
            digest_add(digest, span_make(buffer, (size_t)got));
        at += got > 0 ? (uint64_t)got : 0;
    }
    digest_end(digest, hash);
    digest_free(digest);
    if (err == ERR_NONE && memcmp(hash, want, sizeof hash) != 0)
        err = ERR_AGAIN; /* it changed meanwhile */
    return err == ERR_NONE && fsync(to) != 0 ? ERR_IO : err;
}

/* Names have one directory in front of them at most. */
static int parent(const struct ship_dir *d, const char *name, const char **out_last)
{
    char first[32];
    const char *slash = strchr(name, '/');
    *out_last = slash == NULL ? name : slash + 1;
    if (slash == NULL)
        return openat(d->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(first, sizeof first, "%.*s", (int)(slash - name), name);
    if (mkdirat(d->dir, first, 0755) != 0 && errno != EEXIST)
        return -1;
    return openat(d->dir, first, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* Parts of copies that were broken off lie at the top, where nothing of a log has such a name. */
static enum err put_into(const struct ship_dir *d, int dir, const char *last, int fd, uint64_t len,
                         const uint8_t sha256[static DIGEST_BYTES])
{
    int to = openat(d->dir, PART, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (to < 0)
        return ERR_IO;
    enum err err = copy(fd, len, to, sha256);
    if (close(to) != 0 && err == ERR_NONE)
        err = ERR_IO;
    if (err == ERR_NONE && (renameat(d->dir, PART, dir, last) != 0 || fsync(dir) != 0 || fsync(d->dir) != 0))
        err = ERR_IO;
    return err;
}

static enum err put(void *arg, const char *name, int fd, uint64_t len, const uint8_t sha256[static DIGEST_BYTES],
                    char *why, size_t cap)
{
    const struct ship_dir *d = arg;
    const char *last = name;
    int dir = parent(d, name, &last);
    enum err err = dir < 0 ? ERR_IO : put_into(d, dir, last, fd, len, sha256);
    if (err != ERR_NONE)
        snprintf(why, cap, "%s: %s", name, err == ERR_AGAIN ? "it changed while it was copied" : strerror(errno));
    if (dir >= 0)
        close(dir);
    return err;
}

enum err ship_dir_open(const char *path, struct ship_dir **out, struct ship_store *out_store)
{
    struct ship_dir *d = calloc(1, sizeof *d);
    if (d == NULL)
        return ERR_NO_MEMORY;
    d->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->dir < 0) {
        free(d);
        return ERR_IO;
    }
    *out = d;
    *out_store = (struct ship_store){.arg = d, .put = put};
    return ERR_NONE;
}

void ship_dir_close(struct ship_dir *d)
{
    if (d == NULL)
        return;
    close(d->dir);
    free(d);
}
