/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest.h"

#include "base/clock.h"
#include "base/text.h"
#include "log_private.h"

#define ESCAPE_DIGITS 4 /* of \u000a */

void manifest_put(const struct env *env, struct outbuf *out)
{
    if (out->len > 0)
        outbuf_char(out, '\n');
    outbuf_u64(out, env->settled);
    outbuf_char(out, '/');
    outbuf_u64(out, env->settled_index);
    outbuf_char(out, '/');
    outbuf_bytes(out, env->name, env->len);
}

static bool parse_row(struct manifest_row *row, size_t len)
{
    struct span text = span_make(row->text, len);
    size_t first = span_find(text, '/');
    if (first == len || text_u64(span_first(text, first), UINT64_MAX - 1, &row->env_seq) != ERR_NONE)
        return false;
    text = span_from(text, first + 1);
    size_t second = span_find(text, '/');
    if (second == text.len || text_u64(span_first(text, second), UINT64_MAX - 1, &row->index) != ERR_NONE)
        return false;
    row->name = span_from(text, second + 1);
    return row->name.len > 0;
}

/* One level of JSON's escapes is undone: what the writer had was the name as it stands in a leaf. */
bool manifest_next(struct span *list, struct manifest_row *out, bool *out_bad)
{
    size_t at = 0, len = 0;
    bool ended = false;
    *out_bad = false;
    if (list->len == 0)
        return false;
    while (at < list->len && !ended) {
        uint8_t c = list->data[at++];
        if (c == '\\' && at < list->len) {
            c = list->data[at++];
            ended = c == 'u'; /* a control byte, which can only be the end of a row: a name has none of its own */
            at += ended ? ESCAPE_DIGITS : 0;
        }
        if (!ended && len < sizeof out->text)
            out->text[len++] = (char)c;
    }
    *list = span_from(*list, at < list->len ? at : list->len);
    *out_bad = !parse_row(out, len);
    return !*out_bad;
}

static uint64_t count_parts(const struct envs *envs)
{
    uint64_t parts = 0;
    size_t bucket = 0;
    char text[MANIFEST_PART_MAX];
    struct outbuf o = outbuf_make(text, sizeof text);
    for (const struct env *env = envs_next(envs, &bucket, NULL); env != NULL; env = envs_next(envs, &bucket, env)) {
        if (env->settled == 0)
            continue;
        parts += o.len == 0;
        manifest_put(env, &o);
        if (o.len >= MANIFEST_PART)
            o.len = 0;
    }
    return parts;
}

static enum err add_part(struct audit_log *log, uint64_t part, uint64_t parts, struct span rows)
{
    char why[160];
    struct record_event event = {
        .event = EVENT_ENV_MANIFEST,
        .message = span_text("the last number of each environment, and the entry that has it"),
        .fact_count = 3,
        .facts = {{.key = "part", .is_number = true, .number = part},
                  {.key = "parts", .is_number = true, .number = parts},
                  {.key = MANIFEST_KEY, .text = rows}},
    };
    enum err err = batch_has_room(log) ? ERR_NONE : batch_commit(log, why, sizeof why);
    if (err == ERR_NONE)
        batch_add_event(log, &event);
    return err;
}

/* Nothing is in hand, so that what is listed is what stands before it. */
enum err manifest_write(struct audit_log *log)
{
    const struct envs *envs = &log->ledger.envs;
    uint64_t part = 0, parts = count_parts(envs);
    size_t bucket = 0;
    char text[MANIFEST_PART_MAX];
    struct outbuf o = outbuf_make(text, sizeof text);
    enum err err = ERR_NONE;
    log->manifest_ns = clock_mono_ns();
    for (const struct env *env = envs_next(envs, &bucket, NULL); env != NULL && err == ERR_NONE;
         env = envs_next(envs, &bucket, env)) {
        if (env->settled == 0)
            continue;
        manifest_put(env, &o);
        if (o.len < MANIFEST_PART)
            continue;
        err = add_part(log, ++part, parts, outbuf_written(&o));
        o.len = 0;
    }
    if (err == ERR_NONE && o.len > 0)
        err = add_part(log, ++part, parts, outbuf_written(&o));
    return err;
}
