/* SPDX-License-Identifier: Apache-2.0 */
#include "withheld.h"

#include "base/text.h"
#include "io.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define HEAD_LINE "sallyport withheld 1\n"
#define SINCE     "since "

static bool is_overlap(const struct checkpoint *c)
{
    size_t lines = 0;
    for (size_t i = 0; i < c->signatures.len; i++)
        lines += c->signatures.data[i] == '\n';
    return lines > 1;
}

static size_t overlaps(const struct withheld *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->count; i++)
        count += w->heads[i].overlap;
    return count;
}

bool withheld_has_room(const struct withheld *w)
{
    return overlaps(w) < WITHHELD_OVERLAPS_MAX;
}

const struct withheld_head *withheld_newest(const struct withheld *w)
{
    return w->count > 0 ? &w->heads[w->count - 1] : NULL;
}

const struct withheld_head *withheld_find(const struct withheld *w, uint64_t size)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->heads[i].head.size == size)
            return &w->heads[i];
    return NULL;
}

static void remove_at(struct withheld *w, size_t i)
{
    memmove(&w->heads[i], &w->heads[i + 1], (w->count - i - 1) * sizeof w->heads[0]);
    w->count--;
}

/* The oldest that one key has signed: there is one, since not all may have been signed with two. */
static void make_room(struct withheld *w)
{
    size_t i = 0;
    while (w->heads[i].overlap)
        i++;
    int64_t since_ms = w->heads[i].since_ms;
    remove_at(w, i);
    if (i < w->count)
        w->heads[i].since_ms = since_ms;
}

enum err withheld_add(struct withheld *w, const struct checkpoint *c, struct span note, int64_t now_ms)
{
    const struct withheld_head *last = withheld_newest(w);
    if (note.len > NOTE_TEXT_MAX)
        return ERR_TOO_BIG;
    if (last != NULL && c->head.size < last->head.size)
        return ERR_INVALID;
    if (last != NULL && c->head.size == last->head.size) {
        if (note.len <= last->len)
            return ERR_NONE;
        now_ms = last->since_ms;
        w->count--;
    }
    if (w->count == WITHHELD_MAX)
        make_room(w);
    struct withheld_head *h = &w->heads[w->count];
    h->head = c->head;
    h->since_ms = now_ms;
    /* A hand-over begins only while there is room: what is one too many is another one of the same hand-over, of which
     * the first counts. */
    h->overlap = is_overlap(c) && withheld_has_room(w);
    h->len = note.len;
    memcpy(h->text, note.data, note.len);
    w->count++;
    return ERR_NONE;
}

void withheld_drop(struct withheld *w, uint64_t size)
{
    size_t gone = 0;
    while (gone < w->count && w->heads[gone].head.size <= size)
        gone++;
    w->count -= gone;
    memmove(w->heads, w->heads + gone, w->count * sizeof w->heads[0]);
}

static enum err parse_one(struct span *rest, struct withheld *out)
{
    size_t end = span_find(*rest, '\n'), len = 0;
    struct span line = span_first(*rest, end);
    struct checkpoint c;
    uint64_t since = 0;
    const struct withheld_head *last = withheld_newest(out);
    if (end == rest->len || line.len <= strlen(SINCE) || memcmp(line.data, SINCE, strlen(SINCE)) != 0 ||
        text_u64(span_from(line, strlen(SINCE)), INT64_MAX / 1000000, &since) != ERR_NONE)
        return ERR_CORRUPT;
    *rest = span_from(*rest, end + 1);
    if (note_checkpoint_parse(*rest, &c, &len) != ERR_NONE || len >= rest->len || rest->data[len] != '\n' ||
        out->count == WITHHELD_MAX || (last != NULL && c.head.size <= last->head.size) ||
        withheld_add(out, &c, span_first(*rest, len), (int64_t)since) != ERR_NONE)
        return ERR_CORRUPT;
    *rest = span_from(*rest, len + 1);
    return ERR_NONE;
}

enum err withheld_parse(struct span text, struct withheld *out)
{
    enum err err = ERR_NONE;
    out->count = 0;
    if (text.len < strlen(HEAD_LINE) || memcmp(text.data, HEAD_LINE, strlen(HEAD_LINE)) != 0)
        return ERR_CORRUPT;
    struct span rest = span_from(text, strlen(HEAD_LINE));
    while (err == ERR_NONE && rest.len > 0)
        err = parse_one(&rest, out);
    if (err != ERR_NONE)
        out->count = 0;
    return err;
}

enum err withheld_read(int dir, struct withheld *out)
{
    size_t len = 0;
    char *text = malloc(WITHHELD_BYTES_MAX);
    out->count = 0;
    if (text == NULL)
        return ERR_NO_MEMORY;
    enum err err = io_read_file(dir, WITHHELD_FILE, text, WITHHELD_BYTES_MAX, &len);
    if (err == ERR_NONE)
        err = withheld_parse(span_make(text, len), out);
    else if (err == ERR_NOT_FOUND)
        err = ERR_NONE;
    else if (err == ERR_TOO_BIG)
        err = ERR_CORRUPT;
    free(text);
    return err;
}

enum err withheld_write(int dir, const struct withheld *w)
{
    if (w->count == 0)
        return unlinkat(dir, WITHHELD_FILE, 0) == 0 || errno == ENOENT ? ERR_NONE : ERR_IO;
    char text[WITHHELD_BYTES_MAX];
    struct outbuf o = outbuf_make(text, sizeof text);
    outbuf_text(&o, HEAD_LINE);
    for (size_t i = 0; i < w->count; i++) {
        outbuf_text(&o, SINCE);
        outbuf_u64(&o, (uint64_t)w->heads[i].since_ms);
        outbuf_char(&o, '\n');
        outbuf_span(&o, span_make(w->heads[i].text, w->heads[i].len));
        outbuf_char(&o, '\n');
    }
    return o.overflow ? ERR_TOO_BIG : io_replace_file(dir, WITHHELD_FILE, outbuf_written(&o), 0644);
}
