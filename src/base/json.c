/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

struct json json_make(struct outbuf *out)
{
    return (struct json){.out = out, .need_comma = false};
}

static void before_value(struct json *j)
{
    if (j->need_comma)
        outbuf_char(j->out, ',');
    j->need_comma = true;
}

void json_open(struct json *j, char bracket)
{
    before_value(j);
    outbuf_char(j->out, bracket);
    j->need_comma = false;
}

void json_close(struct json *j, char bracket)
{
    outbuf_char(j->out, bracket);
    j->need_comma = true;
}

/* One check and one place for all of it: keys are most of a record's pieces. */
void json_key_bytes(struct json *j, const char *key, size_t len)
{
    size_t comma = j->need_comma ? 1 : 0;
    uint8_t *at = outbuf_room(j->out, comma + len + 3);
    j->need_comma = false;
    if (at == NULL)
        return;
    at[0] = ',';
    at += comma;
    *at++ = '"';
    memcpy(at, key, len);
    memcpy(at + len, "\":", 2);
}

static bool is_tail(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the well-formed UTF-8 sequence (RFC 3629 section 4) of more than one byte at the start of s, or 0. The
 * bounds on the second byte keep out overlong forms, surrogates and everything above U+10FFFF. */
static size_t utf8_sequence(struct span s, uint32_t *out_code)
{
    uint8_t lead = s.data[0];
    size_t len = lead >= 0xc2 && lead <= 0xdf   ? 2
                 : lead >= 0xe0 && lead <= 0xef ? 3
                 : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                : 0;
    if (len == 0 || s.len < len)
        return 0;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (s.data[1] < low || s.data[1] > high)
        return 0;
    uint32_t code = lead & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (!is_tail(s.data[i]))
            return 0;
        code = code << 6 | (s.data[i] & 0x3fu);
    }
    *out_code = code;
    return len;
}

static void put_escape(struct outbuf *o, const char *prefix, uint32_t code)
{
    uint8_t raw[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    outbuf_text(o, prefix);
    outbuf_hex(o, span_make(raw, 2));
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* One unit that is not plain ASCII, at the start of s; gives the number of bytes it covers. */
static size_t put_special(struct outbuf *o, struct span s)
{
    uint8_t c = s.data[0];
    if (c == '"' || c == '\\') {
        char pair[2] = {'\\', (char)c};
        outbuf_bytes(o, pair, 2);
        return 1;
    }
    if (c < 0x80) {
        put_escape(o, "\\u", c);
        return 1;
    }
    uint32_t code = 0;
    size_t len = utf8_sequence(s, &code);
    if (len == 0) {
        put_escape(o, "\\\\u", c);
        return 1;
    }
    if (code < 0xa0 || code == 0x2028 || code == 0x2029)
        put_escape(o, "\\u", code);
    else
        outbuf_bytes(o, s.data, len);
    return len;
}

/* How many bytes from the start are plain. */
static size_t plain_run(struct span s)
{
    size_t run = 0;
    for (uint64_t word; run + sizeof word <= s.len; run += sizeof word) {
        memcpy(&word, s.data + run, sizeof word);
        if (!json_word_is_plain(word))
            break;
    }
    while (run < s.len && is_plain(s.data[run]))
        run++;
    return run;
}

static void put_value(struct outbuf *o, struct span value, size_t plain)
{
    size_t at = 0;
    while (at < value.len) {
        outbuf_bytes(o, value.data + at, plain);
        at += plain;
        if (at < value.len)
            at += put_special(o, span_from(value, at));
        plain = plain_run(span_from(value, at));
    }
}

void json_escape(struct outbuf *out, struct span value)
{
    put_value(out, value, plain_run(value));
}

void json_span(struct json *j, struct span value)
{
    before_value(j);
    size_t plain = plain_run(value);
    if (plain < value.len) {
        outbuf_char(j->out, '"');
        put_value(j->out, value, plain);
        outbuf_char(j->out, '"');
        return;
    }
    uint8_t *at = outbuf_room(j->out, value.len + 2);
    if (at == NULL)
        return;
    at[0] = '"';
    if (value.len > 0)
        memcpy(at + 1, value.data, value.len);
    at[value.len + 1] = '"';
}

void json_text(struct json *j, const char *value)
{
    json_span(j, span_text(value));
}

void json_u64(struct json *j, uint64_t value)
{
    before_value(j);
    outbuf_u64(j->out, value);
}

void json_i64(struct json *j, int64_t value)
{
    before_value(j);
    outbuf_i64(j->out, value);
}

void json_bool(struct json *j, bool value)
{
    before_value(j);
    outbuf_text(j->out, value ? "true" : "false");
}

void json_nothing(struct json *j)
{
    before_value(j);
    outbuf_text(j->out, "null");
}
