/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/ship.h"

#include "audit/log.h"
#include "base/clock.h"
#include "io.h"
#include "logdir.h"
#include "note.h"
#include "segments.h"
#include "ship_state.h"
#include "withheld.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where a segment stands: behind `batches` whole batches. */
struct place {
    uint64_t next;   /* index of the entry behind */
    uint64_t bytes;  /* of the file */
    int64_t wall_ns; /* of the last commit */
};

struct ship {
    struct ship_options options;
    int dir, segments_dir, state_dir;
    char origin[AUDIT_ORIGIN_MAX + 1];
    struct ship_progress done;
    struct ship_blobs blobs;
    uint8_t *heads; /* checkpoints.log as it was read last */
    size_t heads_len;
    bool begun;         /* log.json and the key are there */
    uint64_t published; /* entries that the copy's own checkpoint covers, as far as this process knows */
    char *why;
    size_t why_cap;
};

static enum err failed(struct ship *s, enum err err, const char *name, const char *text)
{
    if (s->why_cap > 0 && s->why[0] == '\0')
        snprintf(s->why, s->why_cap, "%s: %s", name, text);
    return err;
}

static enum err sum(int fd, uint64_t len, uint8_t out[static DIGEST_BYTES])
{
    struct digest *d = NULL;
    uint8_t buffer[65536];
    enum err err = digest_new(&d);
    if (err != ERR_NONE)
        return err;
    digest_begin(d);
    for (uint64_t at = 0; at < len;) {
        size_t want = len - at < sizeof buffer ? (size_t)(len - at) : sizeof buffer;
        ssize_t got = pread(fd, buffer, want, (off_t)at);
        if (got <= 0) {
            err = ERR_IO;
            break;
        }
        digest_add(d, span_make(buffer, (size_t)got));
        at += (uint64_t)got;
    }
    digest_end(d, out);
    digest_free(d);
    return err;
}

/* UINT64_MAX: all of it. */
static enum err put_fd(struct ship *s, const char *name, int fd, uint64_t len)
{
    uint8_t hash[DIGEST_BYTES];
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return failed(s, ERR_IO, name, "is no regular file");
    if (len == UINT64_MAX)
        len = (uint64_t)st.st_size;
    if (len > (uint64_t)st.st_size)
        return failed(s, ERR_CORRUPT, name, "is shorter than it was");
    enum err err = sum(fd, len, hash);
    if (err != ERR_NONE)
        return failed(s, err, name, "cannot be read");
    return s->options.store.put(s->options.store.arg, name, fd, len, hash, s->why, s->why_cap);
}

static enum err put_file(struct ship *s, const char *name)
{
    int fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return failed(s, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, name, strerror(errno));
    enum err err = put_fd(s, name, fd, UINT64_MAX);
    close(fd);
    return err;
}

/* What stands in memory goes through a file without a name, so that a store sees one kind of source. */
static enum err put_text(struct ship *s, const char *name, struct span text)
{
    FILE *file = tmpfile();
    if (file == NULL)
        return failed(s, ERR_IO, name, strerror(errno));
    bool put = fwrite(text.data, 1, text.len, file) == text.len && fflush(file) == 0;
    enum err err = put ? put_fd(s, name, fileno(file), text.len) : failed(s, ERR_IO, name, strerror(errno));
    fclose(file);
    return err;
}

static enum err remember(struct ship *s)
{
    s->done.written_ms = clock_wall_ns() / 1000000;
    enum err err = ship_state_write(s->state_dir, SHIP_STATE_NAME, &s->done, &s->blobs);
    return err == ERR_NONE ? ERR_NONE : failed(s, err, SHIP_STATE_NAME, "what was acknowledged cannot be written down");
}

enum err ship_open(const struct ship_options *options, struct ship **out, char *why, size_t cap)
{
    struct ship *s = calloc(1, sizeof *s);
    uint8_t hash[DIGEST_BYTES];
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->options = *options;
    s->why = why;
    s->why_cap = cap;
    why[0] = '\0';
    s->dir = open(options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->segments_dir = s->dir < 0 ? -1 : openat(s->dir, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    s->state_dir = options->state == NULL ? s->dir : open(options->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err err = s->segments_dir < 0 ? ERR_NOT_FOUND : logdir_read_origin(s->dir, s->origin, hash);
    if (err != ERR_NONE)
        failed(s, err, options->dir, "no log lies there");
    else if (s->state_dir < 0)
        err = failed(s, ERR_IO, options->state, "is no directory");
    if (err == ERR_NONE) {
        err = ship_state_read(s->state_dir, SHIP_STATE_NAME, &s->done, &s->blobs);
        if (err == ERR_NOT_FOUND || (err == ERR_NONE && strcmp(s->done.to, options->to) != 0)) {
            s->done = (struct ship_progress){0};
            s->blobs.count = 0;
            err = ERR_NONE;
        } else if (err != ERR_NONE) {
            failed(s, err, SHIP_STATE_NAME, "cannot be read; remove it to begin anew");
        }
    }
    if (err == ERR_NONE && (size_t)snprintf(s->done.to, sizeof s->done.to, "%s", options->to) >= sizeof s->done.to)
        err = failed(s, ERR_TOO_BIG, options->to, "the name is too long");
    if (err == ERR_NONE)
        *out = s;
    else
        ship_close(s);
    return err;
}

void ship_close(struct ship *s)
{
    if (s == NULL)
        return;
    if (s->state_dir >= 0 && s->state_dir != s->dir)
        close(s->state_dir);
    if (s->segments_dir >= 0)
        close(s->segments_dir);
    if (s->dir >= 0)
        close(s->dir);
    free(s->blobs.names);
    free(s->heads);
    free(s);
}

void ship_progress(const struct ship *s, struct ship_progress *out)
{
    *out = s->done;
}

/* ---- blobs ---- */

static enum err put_blobs(struct ship *s)
{
    int fd = openat(s->dir, "blobs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    enum err err = ERR_NONE;
    bool any = false;
    if (stream == NULL) {
        if (fd >= 0)
            close(fd);
        return failed(s, ERR_IO, "blobs", strerror(errno));
    }
    for (const char *blob; err == ERR_NONE && (blob = io_next_name(stream, &err)) != NULL;) {
        char name[80];
        if (strlen(blob) != SHIP_BLOB_LEN || strspn(blob, "0123456789abcdef") != SHIP_BLOB_LEN ||
            ship_blobs_has(&s->blobs, blob))
            continue;
        snprintf(name, sizeof name, "blobs/%.64s", blob);
        err = put_file(s, name);
        if (err == ERR_NONE)
            err = ship_blobs_add(&s->blobs, blob);
        any = true;
    }
    closedir(stream);
    if (err == ERR_IO)
        return failed(s, err, "blobs", "cannot be read");
    return err == ERR_NONE && any ? remember(s) : err;
}

/* ---- segments ---- */

/* To the last whole batch that ends at or before entry `limit`. */
static enum err measure(struct ship *s, uint64_t first, uint64_t limit, struct place *out)
{
    struct segment_reader reader = {.fd = -1};
    struct batch batch;
    *out = (struct place){.next = first};
    enum err err = segment_open(s->segments_dir, first, &reader);
    while (err == ERR_NONE && out->next < limit && segment_next(&reader, &batch) == SEGMENT_BATCH) {
        uint64_t next = batch.commit.first + batch.commit.count;
        if (batch.commit.first != out->next)
            err = ERR_CORRUPT;
        if (err != ERR_NONE || next > limit)
            break;
        *out = (struct place){.next = next, .bytes = reader.offset, .wall_ns = batch.commit.wall_ns};
    }
    segment_close(&reader);
    return err;
}

static enum err put_segment(struct ship *s, uint64_t first, const struct place *place)
{
    char file[SEGMENT_NAME_LEN + 1], name[SEGMENT_NAME_LEN + 16];
    segment_name(first, file);
    snprintf(name, sizeof name, "segments/%s", file);
    int fd = openat(s->segments_dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return failed(s, ERR_IO, name, strerror(errno));
    enum err err = put_fd(s, name, fd, place->bytes);
    close(fd);
    if (err != ERR_NONE)
        return err;
    s->done.entries = place->next;
    if (place->wall_ns / 1000000 > s->done.through_ms)
        s->done.through_ms = place->wall_ns / 1000000;
    return remember(s);
}

/* A sealed one is complete when it reaches the next; of the newest only what is signed goes. */
static enum err put_segments(struct ship *s, const struct segment_list *list, uint64_t signed_size)
{
    for (size_t i = 0; i < list->count; i++) {
        bool newest = i + 1 == list->count;
        uint64_t limit = newest ? signed_size : list->firsts[i + 1];
        struct place place;
        if (limit <= s->done.entries || (newest && !s->options.newest))
            continue;
        enum err err = measure(s, list->firsts[i], limit, &place);
        if (err == ERR_NONE && !newest && place.next != limit)
            err = ERR_CORRUPT;
        if (err != ERR_NONE)
            return failed(s, err, "segments", "a segment cannot be read to its end; audit verify says where");
        if (place.next > s->done.entries && (err = put_segment(s, list->firsts[i], &place)) != ERR_NONE)
            return err;
    }
    return ERR_NONE;
}

/* ---- checkpoints ---- */

static enum err read_heads(struct ship *s)
{
    struct stat st;
    int fd = openat(s->dir, "checkpoints.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? ERR_NONE : failed(s, ERR_IO, "checkpoints.log", strerror(errno));
    uint8_t *text = fstat(fd, &st) == 0 ? malloc((size_t)st.st_size + 1) : NULL;
    ssize_t got = text == NULL ? -1 : pread(fd, text, (size_t)st.st_size, 0);
    close(fd);
    if (got < 0) {
        free(text);
        return failed(s, ERR_IO, "checkpoints.log", "cannot be read");
    }
    free(s->heads);
    s->heads = text;
    s->heads_len = (size_t)got;
    return ERR_NONE;
}

/* Each head as an object that is never written again; then the copy's own `checkpoints.log` and `checkpoint`, which go
 * as far as its segments. */
static enum err put_heads(struct ship *s)
{
    struct span rest = span_make(s->heads, s->heads_len), covered = span_make(NULL, 0);
    size_t covered_len = 0;
    struct checkpoint c;
    size_t len = 0;
    enum err err = ERR_NONE;
    while (err == ERR_NONE && rest.len > 0 && note_checkpoint_parse(rest, &c, &len) == ERR_NONE && len < rest.len) {
        char name[48];
        struct span text = span_first(rest, len);
        rest = span_from(rest, len + 1);
        if (c.head.size <= s->done.entries) {
            covered = text;
            covered_len = s->heads_len - rest.len;
        }
        if (c.head.size <= s->done.head)
            continue;
        snprintf(name, sizeof name, "heads/%020llu", (unsigned long long)c.head.size);
        err = put_text(s, name, text);
        if (err == ERR_NONE)
            s->done.head = c.head.size;
    }
    if (err == ERR_NONE && s->done.entries > s->published && covered.len > 0) {
        err = put_text(s, "checkpoints.log", span_make(s->heads, covered_len));
        if (err == ERR_NONE)
            err = put_text(s, "checkpoint", covered);
        if (err == ERR_NONE)
            s->published = s->done.entries;
    }
    return err;
}

static uint64_t newest_head(const struct ship *s)
{
    struct span rest = span_make(s->heads, s->heads_len);
    uint64_t size = 0;
    struct checkpoint c;
    size_t len = 0;
    while (rest.len > 0 && note_checkpoint_parse(rest, &c, &len) == ERR_NONE && len < rest.len) {
        size = c.head.size;
        rest = span_from(rest, len + 1);
    }
    return size;
}

/* What waits for witnesses goes nowhere yet, so the copy is no nearer than its segments say. */
static bool heads_wait(const struct ship *s)
{
    struct withheld withheld;
    return withheld_read(s->dir, &withheld) != ERR_NONE || withheld.count > 0;
}

static enum err begin(struct ship *s)
{
    if (s->begun)
        return ERR_NONE;
    enum err err = put_file(s, "log.json");
    if (err == ERR_NONE)
        err = put_file(s, "keys/log.vkey");
    s->begun = err == ERR_NONE;
    return err;
}

/* Blobs before the entries that name them, entries before the head that signs them. */
enum err ship_pass(struct ship *s, char *why, size_t cap)
{
    struct segment_list list = {0};
    char odd[64];
    s->why = why;
    s->why_cap = cap;
    why[0] = '\0';
    int64_t now_ms = clock_wall_ns() / 1000000;
    bool behind = heads_wait(s); /* before the heads: one that is given out meanwhile is among them */
    enum err err = read_heads(s);
    uint64_t size = newest_head(s);
    if (err == ERR_NONE && (size < s->done.head || (s->done.entries > size && s->options.newest)))
        err = failed(s, ERR_CORRUPT, "checkpoints.log", "the store has a newer head: the log was rolled back");
    if (err == ERR_NONE)
        err = begin(s);
    /* The list before the blobs: what a later segment names may come with the next pass. */
    enum err listed = err == ERR_NONE ? segment_list(s->segments_dir, &list, odd, sizeof odd) : err;
    if (err == ERR_NONE && listed != ERR_NONE)
        err = failed(s, listed, "segments", "cannot be read");
    if (err == ERR_NONE)
        err = put_blobs(s);
    if (err == ERR_NONE)
        err = put_segments(s, &list, size);
    if (err == ERR_NONE)
        err = put_heads(s);
    segment_list_free(&list);
    if (err != ERR_NONE)
        return err;
    s->done.signed_size = size;
    if (s->done.entries >= size && !behind)
        s->done.through_ms = now_ms;
    return remember(s);
}
