/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/redact.h"

#define TARGET_BYTES   (REDACT_TARGET_MAX - 1)
#define UNPARSED_BYTES 64

/* Writes at most `left` more bytes and remembers that something was cut. */
struct writer {
    struct outbuf *out;
    size_t left;
    bool truncated;
};

static void put(struct writer *w, struct span s)
{
    struct span kept = span_first(s, w->left);
    outbuf_span(w->out, kept);
    w->left -= kept.len;
    w->truncated = w->truncated || kept.len < s.len;
}

static void put_text(struct writer *w, const char *text)
{
    put(w, span_text(text));
}

static size_t find_first_of(struct span s, uint8_t a, uint8_t b)
{
    size_t at = span_find(s, a);
    return span_find(span_first(s, at), b);
}

/* Position behind the last '@', 0 if there is none. */
static size_t behind_last_at(struct span s)
{
    for (size_t i = s.len; i > 0; i--)
        if (s.data[i - 1] == '@')
            return i;
    return 0;
}

/* Position of the authority: behind "scheme://", or 0 in authority form. */
static size_t authority_start(struct span s)
{
    size_t colon = span_find(s, ':');
    bool has_scheme = s.len - colon >= 3 && s.data[colon + 1] == '/' && s.data[colon + 2] == '/';
    return has_scheme ? colon + 3 : 0;
}

static bool is_host_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '.' || c == '-' || c == '_' ||
           c == '[' || c == ']' || c == ':';
}

/* Whether a host and port alone stand before the path. What does not look so may be user-info in which the writer
 * forgot to escape a slash: "user:pa/ss@host". */
static bool is_plain_authority(struct span s)
{
    size_t i = 0;
    while (i < s.len && is_host_byte(s.data[i]))
        i++;
    if (i < s.len)
        return false;
    if (s.len > 0 && s.data[0] == '[')
        return true;
    for (i = span_find(s, ':') + 1; i < s.len; i++)
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    return true;
}

/* Everything before the query. A path in origin form has no user-info, whatever stands in it. */
static void put_front(struct writer *w, struct span front)
{
    size_t start = authority_start(front);
    struct span rest = span_from(front, start);
    size_t slash = span_find(rest, '/');
    size_t secret = is_plain_authority(span_first(rest, slash)) ? 0 : behind_last_at(rest);
    put(w, span_first(front, start));
    if (secret > 0)
        put_text(w, "***@");
    put(w, span_from(rest, secret));
}

/* "a=1&b&c=" becomes "a=***&***&c=***": without '=' the word may as well be a value. */
static void put_query(struct writer *w, struct span query)
{
    for (;;) {
        size_t end = span_find(query, '&');
        struct span pair = span_first(query, end);
        size_t equals = span_find(pair, '=');
        if (equals < pair.len)
            put(w, span_first(pair, equals + 1));
        if (pair.len > 0)
            put_text(w, "***");
        if (end == query.len)
            return;
        put_text(w, "&");
        query = span_from(query, end + 1);
    }
}

void redact_target(struct span raw, struct outbuf *out, bool *out_truncated)
{
    struct writer w = {.out = out, .left = TARGET_BYTES};
    struct span shown = span_first(raw, span_find(raw, '#'));
    size_t question = span_find(shown, '?');
    put_front(&w, span_first(shown, question));
    if (question < shown.len) {
        put_text(&w, "?");
        put_query(&w, span_from(shown, question + 1));
    }
    *out_truncated = w.truncated;
}

void redact_unparsed(struct span raw, struct outbuf *out, bool *out_truncated)
{
    struct writer w = {.out = out, .left = UNPARSED_BYTES};
    size_t end = find_first_of(raw, '?', '#');
    size_t start = behind_last_at(raw);
    /* An '@' behind the '?' belongs to a query, or the '?' to a password: neither side is safe to show. */
    if (start < end)
        put(&w, span_make(raw.data + start, end - start));
    *out_truncated = w.truncated;
}
