/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/redact.h"

#include "wire/secret.h"

#define TARGET_BYTES   (REDACT_TARGET_MAX - 1)
#define NAMES_BYTES    (REDACT_NAMES_MAX - 1)
#define UNPARSED_BYTES (REDACT_UNPARSED_MAX - 1)

/* Writes at most `left` more bytes and remembers that something was cut. */
struct writer {
    const struct redactor *redactor;
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

/* ---- secrets ---- */

size_t redact_hash(const struct redactor *redactor, struct span secret, char out[static REDACT_HASH_TEXT])
{
    struct outbuf text = outbuf_make(out, REDACT_HASH_TEXT);
    uint8_t hash[DIGEST_BYTES];
    if (redactor->hmac == NULL) {
        outbuf_text(&text, "***");
        return text.len;
    }
    hmac_once(redactor->hmac, secret, hash);
    outbuf_text(&text, "h:");
    outbuf_hex(&text, span_make(hash, 8));
    return text.len;
}

/* Never half of it. */
static void put_hash(struct writer *w, struct span secret)
{
    char text[REDACT_HASH_TEXT];
    size_t len = w->left == 0 ? 0 : redact_hash(w->redactor, secret, text);
    if (len == 0 || len > w->left) {
        w->truncated = true;
        w->left = 0;
        return;
    }
    put(w, span_make(text, len));
}

bool redact_word_valid(struct span word)
{
    size_t len = word.len > 0 && word.data[word.len - 1] == '/' ? word.len - 1 : word.len;
    for (size_t i = 0; i < len; i++)
        if (!secret_is_run_byte(word.data[i]) || word.data[i] == '%')
            return false;
    return len >= 3 && len <= 64;
}

/* Whether a word of the operator's hides the run, or the segment behind the segment `before`. */
static bool hidden_by_word(const struct redactor *redactor, struct span run, bool is_segment)
{
    for (size_t i = 0; redactor->words != NULL && i < redactor->words->count; i++) {
        struct span word = redactor->words->words[i];
        bool names_segment = word.data[word.len - 1] == '/';
        if (names_segment == is_segment && run.len > 0 && run.len >= word.len - is_segment &&
            memcmp(run.data, word.data, word.len - is_segment) == 0 && (!is_segment || run.len == word.len - 1))
            return true;
    }
    return false;
}

static void put_run(struct writer *w, struct span run)
{
    if (hidden_by_word(w->redactor, run, false) || secret_looks(run))
        put_hash(w, run);
    else
        put(w, run);
}

/* Runs that look like secrets are hidden; what stands between runs is shown. */
static void put_segment(struct writer *w, struct span segment)
{
    for (size_t at = 0; at < segment.len;) {
        if (w->left == 0) {
            w->truncated = true;
            return;
        }
        bool is_run = secret_is_run_byte(segment.data[at]);
        size_t end = at + 1;
        while (end < segment.len && secret_is_run_byte(segment.data[end]) == is_run)
            end++;
        struct span part = span_make(segment.data + at, end - at);
        if (is_run)
            put_run(w, part);
        else
            put(w, part);
        at = end;
    }
}

static void put_path(struct writer *w, struct span path)
{
    struct span before = {0};
    for (;;) {
        size_t slash = span_find(path, '/');
        struct span segment = span_first(path, slash);
        if (segment.len > 0 && hidden_by_word(w->redactor, before, true))
            put_hash(w, segment);
        else
            put_segment(w, segment);
        if (slash == path.len)
            return;
        put_text(w, "/");
        before = segment;
        path = span_from(path, slash + 1);
    }
}

/* ---- parts of a target ---- */

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
    rest = span_from(rest, secret);
    slash = span_find(rest, '/');
    put(w, span_first(rest, slash)); /* the authority: hosts are always shown */
    put_path(w, span_from(rest, slash));
}

/* "a=1&b&c=" becomes "a=***&***&c=***": without '=' the word may as well be a value. */
static void put_query(struct writer *w, struct span query)
{
    for (;;) {
        size_t end = span_find(query, '&');
        struct span pair = span_first(query, end);
        size_t equals = span_find(pair, '=');
        if (equals < pair.len) {
            put_segment(w, span_first(pair, equals));
            put_text(w, "=");
        }
        if (pair.len > 0)
            put_text(w, "***");
        if (end == query.len)
            return;
        put_text(w, "&");
        query = span_from(query, end + 1);
    }
}

void redact_target(const struct redactor *redactor, struct span raw, struct outbuf *out, bool *out_truncated)
{
    struct writer w = {.redactor = redactor, .out = out, .left = TARGET_BYTES};
    struct span shown = span_first(raw, span_find(raw, '#'));
    size_t question = span_find(shown, '?');
    put_front(&w, span_first(shown, question));
    if (question < shown.len) {
        put_text(&w, "?");
        put_query(&w, span_from(shown, question + 1));
    }
    *out_truncated = w.truncated;
}

void redact_path(const struct redactor *redactor, struct span path, struct outbuf *out, bool *out_truncated)
{
    struct writer w = {.redactor = redactor, .out = out, .left = TARGET_BYTES};
    put_path(&w, span_first(path, find_first_of(path, '?', '#')));
    *out_truncated = w.truncated;
}

void redact_query_names(const struct redactor *redactor, struct span path, struct outbuf *out, bool *out_truncated)
{
    struct writer w = {.redactor = redactor, .out = out, .left = NAMES_BYTES};
    struct span shown = span_first(path, span_find(path, '#'));
    struct span query = span_from(shown, span_find(shown, '?') + 1);
    for (bool first = true; query.len > 0;) {
        size_t end = span_find(query, '&');
        struct span pair = span_first(query, end);
        size_t equals = span_find(pair, '=');
        if (equals > 0 && equals < pair.len) {
            put_text(&w, first ? "" : "&");
            put_segment(&w, span_first(pair, equals));
            first = false;
        }
        query = span_from(query, end + 1);
    }
    *out_truncated = w.truncated;
}

/* Whether the authority of a target whose end is not known may be the beginning of user-info. */
static bool may_be_user_info(struct span raw)
{
    struct span rest = span_from(raw, authority_start(raw));
    size_t end = span_find(rest, '/');
    return end == rest.len || !is_plain_authority(span_first(rest, end));
}

void redact_unparsed(const struct redactor *redactor, struct span raw, bool whole, struct outbuf *out,
                     bool *out_truncated)
{
    struct writer w = {.redactor = redactor, .out = out, .left = UNPARSED_BYTES};
    size_t end = find_first_of(raw, '?', '#');
    size_t start = behind_last_at(raw);
    /* An '@' behind the '?' belongs to a query, or the '?' to a password: neither side is safe to show. */
    if (start == 0 && end == raw.len && end > 0 && !whole && may_be_user_info(raw))
        put_text(&w, "***");
    else if (start < end)
        put_path(&w, span_make(raw.data + start, end - start));
    *out_truncated = w.truncated;
}
