/* SPDX-License-Identifier: Apache-2.0 */
/* Where the payload lies in a stream of bytes, one state a byte of framing (RFC 9112 7.1). */
#include "wire/body.h"

#include "base/text.h"
#include "fields.h"

/* A chunked body begins in the first one: zero, as in a fresh struct. */
enum state {
    STATE_SIZE,      /* digits of a chunk's size */
    STATE_EXT_START, /* behind ';' */
    STATE_EXT_NAME,
    STATE_EXT_EQUALS, /* behind '=' */
    STATE_EXT_VALUE,
    STATE_EXT_QUOTED,
    STATE_EXT_ESCAPE,   /* behind '\' in a quoted string */
    STATE_EXT_UNQUOTED, /* behind the closing quote */
    STATE_SIZE_LF,
    STATE_DATA,
    STATE_DATA_CR,
    STATE_DATA_LF,
    STATE_TRAILER, /* first byte of a trailer line, or the last CRLF */
    STATE_TRAILER_NAME,
    STATE_TRAILER_VALUE,
    STATE_TRAILER_LF,
    STATE_LAST_LF,
    STATE_DONE,
    STATE_BAD,
    STATE_BIG, /* bad, by a bound on trailers */
};

static enum state expect(uint8_t c, char wanted, enum state next)
{
    return c == (uint8_t)wanted ? next : STATE_BAD;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = text_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What may follow a complete part of the line. */
static enum state part_end(uint8_t c)
{
    return c == ';' ? STATE_EXT_START : expect(c, '\r', STATE_SIZE_LF);
}

static enum state on_size(struct body *body, uint8_t c)
{
    int digit = hex_digit(c);
    if (digit < 0)
        return body->line > 0 ? part_end(c) : STATE_BAD;
    if (body->line == BODY_CHUNK_DIGITS_MAX)
        return STATE_BAD;
    body->left = body->left << 4 | (uint64_t)digit;
    return body->left > BODY_CHUNK_MAX ? STATE_BAD : STATE_SIZE;
}

/* RFC 9112 7.1.1 without its "bad white space", which two servers in a row may read in two ways. */
static enum state on_ext_start(struct body *body, uint8_t c)
{
    (void)body;
    return field_is_token(c) ? STATE_EXT_NAME : STATE_BAD;
}

static enum state on_ext_name(struct body *body, uint8_t c)
{
    (void)body;
    if (field_is_token(c))
        return STATE_EXT_NAME;
    return c == '=' ? STATE_EXT_EQUALS : part_end(c);
}

static enum state on_ext_equals(struct body *body, uint8_t c)
{
    (void)body;
    return field_is_token(c) ? STATE_EXT_VALUE : expect(c, '"', STATE_EXT_QUOTED);
}

static enum state on_ext_value(struct body *body, uint8_t c)
{
    (void)body;
    return field_is_token(c) ? STATE_EXT_VALUE : part_end(c);
}

static bool is_quotable(uint8_t c)
{
    return c >= 0x20 && c != 0x7f;
}

/* RFC 9110 5.6.4 without the tab: no control byte has business here. */
static enum state on_ext_quoted(struct body *body, uint8_t c)
{
    (void)body;
    if (c == '"')
        return STATE_EXT_UNQUOTED;
    if (c == '\\')
        return STATE_EXT_ESCAPE;
    return is_quotable(c) ? STATE_EXT_QUOTED : STATE_BAD;
}

static enum state on_ext_escape(struct body *body, uint8_t c)
{
    (void)body;
    return is_quotable(c) ? STATE_EXT_QUOTED : STATE_BAD;
}

static enum state on_ext_unquoted(struct body *body, uint8_t c)
{
    (void)body;
    return part_end(c);
}

static enum state on_size_lf(struct body *body, uint8_t c)
{
    return expect(c, '\n', body->left == 0 ? STATE_TRAILER : STATE_DATA);
}

static enum state on_data_cr(struct body *body, uint8_t c)
{
    (void)body;
    return expect(c, '\r', STATE_DATA_LF);
}

static enum state on_data_lf(struct body *body, uint8_t c)
{
    body->line = 0;
    return expect(c, '\n', STATE_SIZE);
}

static enum state on_trailer(struct body *body, uint8_t c)
{
    if (c == '\r')
        return STATE_LAST_LF;
    if (body->trailer_lines == BODY_TRAILER_LINES_MAX)
        return STATE_BIG;
    body->trailer_lines++;
    return field_is_token(c) ? STATE_TRAILER_NAME : STATE_BAD;
}

static enum state on_trailer_name(struct body *body, uint8_t c)
{
    (void)body;
    return field_is_token(c) ? STATE_TRAILER_NAME : expect(c, ':', STATE_TRAILER_VALUE);
}

static enum state on_trailer_value(struct body *body, uint8_t c)
{
    (void)body;
    return field_is_value(c) ? STATE_TRAILER_VALUE : expect(c, '\r', STATE_TRAILER_LF);
}

static enum state on_trailer_lf(struct body *body, uint8_t c)
{
    (void)body;
    return expect(c, '\n', STATE_TRAILER);
}

static enum state on_last_lf(struct body *body, uint8_t c)
{
    (void)body;
    return expect(c, '\n', STATE_DONE);
}

static enum state frame_byte(struct body *body, uint8_t c)
{
    static enum state (*const on[])(struct body *, uint8_t) = {
        [STATE_SIZE] = on_size,
        [STATE_EXT_START] = on_ext_start,
        [STATE_EXT_NAME] = on_ext_name,
        [STATE_EXT_EQUALS] = on_ext_equals,
        [STATE_EXT_VALUE] = on_ext_value,
        [STATE_EXT_QUOTED] = on_ext_quoted,
        [STATE_EXT_ESCAPE] = on_ext_escape,
        [STATE_EXT_UNQUOTED] = on_ext_unquoted,
        [STATE_SIZE_LF] = on_size_lf,
        [STATE_DATA_CR] = on_data_cr,
        [STATE_DATA_LF] = on_data_lf,
        [STATE_TRAILER] = on_trailer,
        [STATE_TRAILER_NAME] = on_trailer_name,
        [STATE_TRAILER_VALUE] = on_trailer_value,
        [STATE_TRAILER_LF] = on_trailer_lf,
        [STATE_LAST_LF] = on_last_lf,
    };
    enum state next = on[body->state](body, c);
    /* Bounds are counted in one place, of the line that goes on and of the whole trailer section. */
    if (next <= STATE_EXT_UNQUOTED && body->state <= STATE_EXT_UNQUOTED && body->line++ == BODY_CHUNK_LINE_MAX)
        return STATE_BAD;
    if (body->state >= STATE_TRAILER && body->trailer_bytes++ == BODY_TRAILER_BYTES_MAX)
        return STATE_BIG;
    return next;
}

/* As much payload as there is, from `in` on. */
static struct span take(struct body *body, struct span in)
{
    struct span payload = body->kind == BODY_UNTIL_CLOSE || in.len < body->left ? in : span_first(in, body->left);
    if (body->kind != BODY_UNTIL_CLOSE)
        body->left -= payload.len;
    body->payload += payload.len;
    return payload;
}

static enum feed chunked_feed(struct body *body, struct span in, size_t *out_used, struct span *out_payload)
{
    size_t at = 0;
    while (at < in.len && body->state < STATE_DONE) {
        if (body->state == STATE_DATA) {
            *out_payload = take(body, span_from(in, at));
            at += out_payload->len;
            if (body->left == 0)
                body->state = STATE_DATA_CR;
            break;
        }
        body->state = (uint8_t)frame_byte(body, in.data[at]);
        if (body->state <= STATE_DONE)
            at++; /* else the byte that was wrong is the first that is not used */
    }
    *out_used = at;
    if (body->state == STATE_DONE)
        return FEED_DONE;
    return body->state > STATE_DONE ? FEED_BAD : FEED_MORE;
}

enum feed body_feed(struct body *body, struct span in, size_t *out_used, struct span *out_payload, bool *out_too_big)
{
    *out_used = 0;
    *out_payload = span_make(NULL, 0);
    *out_too_big = false;
    if (body->kind == BODY_NONE)
        return FEED_DONE;
    if (body->kind == BODY_CHUNKED) {
        enum feed feed = chunked_feed(body, in, out_used, out_payload);
        *out_too_big = body->state == STATE_BIG;
        return feed;
    }
    *out_payload = take(body, in);
    *out_used = out_payload->len;
    return body_may_end(body) && body->kind == BODY_LENGTH ? FEED_DONE : FEED_MORE;
}

bool body_may_end(const struct body *body)
{
    switch (body->kind) {
    case BODY_LENGTH:
        return body->left == 0;
    case BODY_CHUNKED:
        return body->state == STATE_DONE;
    case BODY_NONE:
    case BODY_UNTIL_CLOSE:
        break;
    }
    return true;
}
