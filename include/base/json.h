/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: writes JSON (RFC 8259) into an outbuf without allocation, no spaces, keys in the order of the calls. Commas
 * are put by the writer. The output is always valid UTF-8 on one line: control characters, DEL, U+0080..U+009F, U+2028,
 * U+2029, `"` and `\` are escaped; a byte that is not part of valid UTF-8 becomes the six characters \u00NN preceded
 * by a backslash, that is `\\u00NN` in the JSON text, so that the text shows the byte and a reader cannot take it for
 * a code point.
 *
 *     struct json j = json_make(&out);
 *     json_open(&j, '{'); json_key(&j, "host"); json_span(&j, host); json_close(&j, '}');
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/outbuf.h"

struct json {
    struct outbuf *out;
    bool need_comma;
};

/* One value, which the calls below put together; `out` is borrowed, and its overflow says that not all of it fitted. */
struct json json_make(struct outbuf *out);
void json_open(struct json *j, char bracket);  /* '{' or '[' */
void json_close(struct json *j, char bracket); /* '}' or ']' */
/* The key of the next value: a literal of ours, not escaped. */
void json_key_bytes(struct json *j, const char *key, size_t len);
/* A literal of ours: not escaped, and its length is known where it stands. */
static inline void json_key(struct json *j, const char *key)
{
    json_key_bytes(j, key, strlen(key));
}
void json_span(struct json *j, struct span value);
/* What stands between the quotes of json_span(). */
void json_escape(struct outbuf *out, struct span value);
void json_text(struct json *j, const char *value);
void json_u64(struct json *j, uint64_t value);
void json_i64(struct json *j, int64_t value);
void json_bool(struct json *j, bool value);
void json_nothing(struct json *j); /* null */

/* ---- for whoever writes many short values: a word at a time ---- */

#define JSON_WORD sizeof(uint64_t)

/* All of these bytes stand for themselves between quotes. What borrows and carries between the bytes spoil lies
 * behind a byte that does not, so a word is never called plain wrongly. */
static inline bool json_word_is_plain(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
    uint64_t wrong = (word - ones * 0x20) | (word + ones) | word | (quote - ones) | (backslash - ones);
    return (wrong & ones * 0x80) == 0;
}

/* Copies JSON_WORD bytes; false: they are not all plain, and what was written there means nothing. */
static inline bool json_copy_plain_word(uint8_t *to, const uint8_t *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof word);
    memcpy(to, &word, sizeof word);
    return json_word_is_plain(word);
}

/* key and value at once */
static inline void json_key_span(struct json *j, const char *key, struct span value)
{
    json_key(j, key);
    json_span(j, value);
}

static inline void json_key_text(struct json *j, const char *key, const char *value)
{
    json_key(j, key);
    json_text(j, value);
}

static inline void json_key_u64(struct json *j, const char *key, uint64_t value)
{
    json_key(j, key);
    json_u64(j, value);
}

static inline void json_key_i64(struct json *j, const char *key, int64_t value)
{
    json_key(j, key);
    json_i64(j, value);
}

static inline void json_key_bool(struct json *j, const char *key, bool value)
{
    json_key(j, key);
    json_bool(j, value);
}

#endif
