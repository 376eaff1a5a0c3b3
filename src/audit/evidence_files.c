/* SPDX-License-Identifier: Apache-2.0 */
/* The files that evidence is handed out as: C2SP tlog-tiles. */
#include "evidence_private.h"
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TILE_WIDTH (1u << TREE_TILE_BITS)
#define BUNDLE_MAX (TILE_WIDTH * 8194u) /* entries with their lengths */
#define TILE_PATH  160

enum err evidence_mkdir(const char *path, int *out)
{
    if (mkdir(path, 0755) != 0)
        return errno == EEXIST ? ERR_EXISTS : ERR_IO;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return ERR_IO;
    *out = fd;
    return ERR_NONE;
}

enum err evidence_put(int dir, const char *path, struct span bytes)
{
    char part[TILE_PATH];
    if ((size_t)snprintf(part, sizeof part, "%s", path) >= sizeof part)
        return ERR_TOO_BIG;
    for (char *slash = strchr(part, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(dir, part, 0755) != 0 && errno != EEXIST)
            return ERR_IO;
        *slash = '/';
    }
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return errno == EEXIST ? ERR_EXISTS : ERR_IO;
    enum err err = io_write_all(fd, bytes);
    if (close(fd) != 0 && err == ERR_NONE)
        err = ERR_IO;
    return err;
}

/* C2SP tlog-tiles: groups of three digits, all but the last begin with x; a tile that is not full says its width. */
static void tile_path(const char *level, uint64_t number, unsigned width, char out[static TILE_PATH])
{
    char digits[32] = "";
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    for (bool last = true;; last = false) {
        char group[8];
        int len = snprintf(group, sizeof group, last ? "%03u" : "x%03u/", (unsigned)(number % 1000));
        at -= (size_t)len;
        memcpy(digits + at, group, (size_t)len);
        number /= 1000;
        if (number == 0)
            break;
    }
    if (width == TILE_WIDTH)
        snprintf(out, TILE_PATH, "tile/%s/%s", level, digits + at);
    else
        snprintf(out, TILE_PATH, "tile/%s/%s.p/%u", level, digits + at, width);
}

static enum err put_hashes(const struct evidence *e, int dir)
{
    char path[TILE_PATH];
    for (unsigned level = 0; level < TREE_ARRAYS; level++) {
        uint64_t count = e->rows[level].count;
        char name[4];
        snprintf(name, sizeof name, "%u", level);
        for (uint64_t at = 0; at < count; at += TILE_WIDTH) {
            unsigned width = count - at < TILE_WIDTH ? (unsigned)(count - at) : TILE_WIDTH;
            tile_path(name, at / TILE_WIDTH, width, path);
            enum err err = evidence_put(dir, path, span_make(e->rows[level].hashes[at], (size_t)width * DIGEST_BYTES));
            if (err != ERR_NONE)
                return err;
        }
    }
    return ERR_NONE;
}

struct bundler {
    int dir;
    uint64_t size;
    struct outbuf bundle;
};

static enum err add_entry(void *arg, uint64_t index, struct span leaf, const uint8_t hash[static DIGEST_BYTES])
{
    struct bundler *b = arg;
    char path[TILE_PATH];
    (void)hash;
    outbuf_be16(&b->bundle, (uint16_t)leaf.len);
    outbuf_span(&b->bundle, leaf);
    unsigned width = (unsigned)(index % TILE_WIDTH) + 1;
    if (width < TILE_WIDTH && index + 1 < b->size)
        return ERR_NONE;
    tile_path("entries", index / TILE_WIDTH, width, path);
    enum err err = b->bundle.overflow ? ERR_TOO_BIG : evidence_put(b->dir, path, outbuf_written(&b->bundle));
    b->bundle.len = 0;
    return err;
}

enum err evidence_tiles(struct evidence *e, const char *dir)
{
    struct bundler b = {.dir = -1, .size = e->head.size};
    void *bytes = malloc(BUNDLE_MAX);
    if (bytes == NULL)
        return ERR_NO_MEMORY;
    b.bundle = outbuf_make(bytes, BUNDLE_MAX);
    enum err err = evidence_mkdir(dir, &b.dir);
    if (err == ERR_NONE)
        err = put_hashes(e, b.dir);
    if (err == ERR_NONE)
        err = evidence_each(e, add_entry, &b);
    if (err == ERR_NONE)
        err = evidence_keys_put(e, b.dir);
    /* Last: whoever sees it finds everything it speaks of. */
    if (err == ERR_NONE)
        err = evidence_put(b.dir, "checkpoint", evidence_checkpoint(e));
    free(bytes);
    if (b.dir >= 0)
        close(b.dir);
    return err;
}
