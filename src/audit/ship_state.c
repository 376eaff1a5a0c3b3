/* SPDX-License-Identifier: Apache-2.0 */
#include "ship_state.h"

#include "base/outbuf.h"
#include "base/text.h"
#include "io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_BYTES_MAX (1024u + SHIP_BLOBS_MAX * (SHIP_BLOB_LEN + 8u))
#define HEAD_LINE       "sallyport shipped 1"

bool ship_blobs_has(const struct ship_blobs *b, const char *name)
{
    for (size_t i = b->count; i-- > 0;)
        if (strcmp(b->names[i], name) == 0)
            return true;
    return false;
}

enum err ship_blobs_add(struct ship_blobs *b, const char *name)
{
    if (b->count == SHIP_BLOBS_MAX)
        return ERR_TOO_BIG;
    if (b->count == b->cap) {
        size_t cap = b->cap == 0 ? 64 : 2 * b->cap;
        char(*more)[SHIP_BLOB_LEN + 1] = realloc(b->names, cap * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        b->names = more;
        b->cap = cap;
    }
    snprintf(b->names[b->count++], sizeof b->names[0], "%s", name);
    return ERR_NONE;
}

static bool take_line(struct span *rest, struct span *out)
{
    size_t end = span_find(*rest, '\n');
    if (end == rest->len)
        return false;
    *out = span_first(*rest, end);
    *rest = span_from(*rest, end + 1);
    return true;
}

static enum err take_fact(struct span line, struct ship_progress *p, struct ship_blobs *blobs)
{
    size_t space = span_find(line, ' ');
    struct span key = span_first(line, space), value = span_from(line, space + 1);
    uint64_t number = 0;
    char name[SHIP_BLOB_LEN + 1];
    if (span_is(key, "to")) {
        if (value.len >= sizeof p->to)
            return ERR_CORRUPT;
        snprintf(p->to, sizeof p->to, "%.*s", (int)value.len, (const char *)value.data);
        return ERR_NONE;
    }
    if (span_is(key, "blob")) {
        if (blobs == NULL)
            return ERR_NONE;
        if (value.len != SHIP_BLOB_LEN)
            return ERR_CORRUPT;
        snprintf(name, sizeof name, "%.*s", (int)value.len, (const char *)value.data);
        return ship_blobs_add(blobs, name);
    }
    if (text_u64(value, INT64_MAX, &number) != ERR_NONE)
        return ERR_CORRUPT;
    if (span_is(key, "entries"))
        p->entries = number;
    else if (span_is(key, "head"))
        p->head = number;
    else if (span_is(key, "through_ms"))
        p->through_ms = (int64_t)number;
    else if (span_is(key, "signed"))
        p->signed_size = number;
    else if (span_is(key, "written_ms"))
        p->written_ms = (int64_t)number;
    return ERR_NONE;
}

enum err ship_state_read(int dir, const char *name, struct ship_progress *out, struct ship_blobs *blobs)
{
    struct ship_progress p = {0};
    char small[2048], *text = small;
    size_t len = 0, cap = sizeof small;
    if (blobs != NULL && (text = malloc(cap = STATE_BYTES_MAX)) == NULL)
        return ERR_NO_MEMORY;
    enum err err = io_read_file(dir, name, text, cap, &len);
    if (err == ERR_TOO_BIG && blobs == NULL) { /* the facts stand first */
        int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        ssize_t got = fd < 0 ? -1 : pread(fd, text, cap, 0);
        if (fd >= 0)
            close(fd);
        len = got < 0 ? 0 : (size_t)got;
        err = got < 0 ? ERR_IO : ERR_NONE;
    }
    struct span rest = span_make(text, len), line;
    if (err == ERR_NONE && (!take_line(&rest, &line) || !span_is(line, HEAD_LINE)))
        err = ERR_CORRUPT;
    while (err == ERR_NONE && take_line(&rest, &line))
        err = take_fact(line, &p, blobs);
    if (text != small)
        free(text);
    if (err == ERR_NONE)
        *out = p;
    return err;
}

enum err ship_state_write(int dir, const char *name, const struct ship_progress *p, const struct ship_blobs *blobs)
{
    size_t cap = 2048 + blobs->count * (SHIP_BLOB_LEN + 8);
    char *text = malloc(cap);
    if (text == NULL)
        return ERR_NO_MEMORY;
    int len = snprintf(text, cap,
                       HEAD_LINE "\nto %s\nentries %llu\nhead %llu\nthrough_ms %lld\nsigned %llu\nwritten_ms %lld\n",
                       p->to, (unsigned long long)p->entries, (unsigned long long)p->head, (long long)p->through_ms,
                       (unsigned long long)p->signed_size, (long long)p->written_ms);
    for (size_t i = 0; i < blobs->count; i++)
        len += snprintf(text + len, cap - (size_t)len, "blob %s\n", blobs->names[i]);
    enum err err = io_replace_file(dir, name, span_make(text, (size_t)len), 0644);
    free(text);
    return err;
}

enum err ship_read_at(int dir, struct ship_progress *out)
{
    return ship_state_read(dir, SHIP_STATE_NAME, out, NULL);
}

enum err ship_read(const char *dir, struct ship_progress *out)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ERR_NOT_FOUND;
    enum err err = ship_read_at(fd, out);
    close(fd);
    return err;
}
