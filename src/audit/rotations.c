/* SPDX-License-Identifier: Apache-2.0 */
#include "rotations.h"

#include "base/text.h"
#include "io.h"

#include <stdlib.h>

#define LINE_MAX   (2 * NOTE_VKEY_MAX + 32)
#define FILE_BYTES ((size_t)ROTATIONS_MAX * LINE_MAX)

bool note_key_same(const struct note_key *a, const struct note_key *b)
{
    return strcmp(a->origin, b->origin) == 0 && memcmp(a->public_key, b->public_key, sizeof a->public_key) == 0;
}

static bool parse_line(struct span line, struct rotation *out)
{
    size_t first = span_find(line, ' ');
    if (first == line.len || text_u64(span_first(line, first), UINT64_MAX / 2, &out->index) != ERR_NONE)
        return false;
    line = span_from(line, first + 1);
    size_t second = span_find(line, ' ');
    return second < line.len && note_key_parse(span_first(line, second), &out->before) == ERR_NONE &&
           note_key_parse(span_from(line, second + 1), &out->after) == ERR_NONE;
}

static enum err parse(struct span text, struct rotations *out)
{
    while (text.len > 0) {
        size_t end = span_find(text, '\n');
        if (end == text.len || out->count == ROTATIONS_MAX)
            return ERR_CORRUPT;
        struct rotation *row = &out->rows[out->count];
        const struct rotation *last = out->count > 0 ? row - 1 : NULL;
        if (!parse_line(span_first(text, end), row))
            return ERR_CORRUPT;
        if (last != NULL && (row->index <= last->index || !note_key_same(&row->before, &last->after)))
            return ERR_CORRUPT;
        out->count++;
        text = span_from(text, end + 1);
    }
    return ERR_NONE;
}

enum err rotations_read(int keys, struct rotations *out)
{
    size_t len = 0;
    struct rotations r = {0};
    char *text = malloc(FILE_BYTES);
    if (text == NULL)
        return ERR_NO_MEMORY;
    enum err err = io_read_file(keys, ROTATIONS_FILE, text, FILE_BYTES, &len);
    if (err == ERR_NONE) {
        r.rows = calloc(ROTATIONS_MAX, sizeof *r.rows);
        err = r.rows == NULL ? ERR_NO_MEMORY : parse(span_make(text, len), &r);
    } else if (err == ERR_NOT_FOUND) {
        err = ERR_NONE;
    }
    free(text);
    if (err == ERR_NONE)
        *out = r;
    else
        rotations_free(&r);
    return err;
}

void rotations_free(struct rotations *r)
{
    free(r->rows);
    *r = (struct rotations){0};
}

static enum err write_file(int keys, const struct rotations *r, const struct rotation *row)
{
    size_t cap = (r->count + 1) * LINE_MAX;
    char *text = malloc(cap), vkey[NOTE_VKEY_MAX];
    if (text == NULL)
        return ERR_NO_MEMORY;
    struct outbuf o = outbuf_make(text, cap);
    for (size_t i = 0; i <= r->count; i++) {
        const struct rotation *at = i < r->count ? &r->rows[i] : row;
        outbuf_u64(&o, at->index);
        outbuf_char(&o, ' ');
        note_key_format(&at->before, vkey);
        outbuf_text(&o, vkey);
        outbuf_char(&o, ' ');
        note_key_format(&at->after, vkey);
        outbuf_text(&o, vkey);
        outbuf_char(&o, '\n');
    }
    enum err err = o.overflow ? ERR_TOO_BIG : io_replace_file(keys, ROTATIONS_FILE, outbuf_written(&o), 0644);
    free(text);
    return err;
}

enum err rotations_add(int keys, const struct rotation *row)
{
    struct rotations r = {0};
    enum err err = rotations_read(keys, &r);
    if (err != ERR_NONE)
        return err;
    bool there = r.count > 0 && r.rows[r.count - 1].index == row->index &&
                 note_key_same(&r.rows[r.count - 1].after, &row->after);
    if (!there)
        err = r.count == ROTATIONS_MAX ? ERR_TOO_BIG : write_file(keys, &r, row);
    rotations_free(&r);
    return err;
}

const struct note_key *rotations_key_at(const struct rotations *r, uint64_t size)
{
    if (r->count == 0)
        return NULL;
    const struct note_key *key = &r->rows[0].before;
    for (size_t i = 0; i < r->count && size > r->rows[i].index; i++)
        key = &r->rows[i].after;
    return key;
}
