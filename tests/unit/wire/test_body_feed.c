/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/body.h"

#include <stdlib.h>

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                                \
    }
struct result {
    enum feed feed;
    bool too_big;
    size_t used;
    char payload[512];
    size_t payload_len;
    struct body body;
};

/* Pieces of `step` bytes after a first one, each in an exact copy; what is not used comes again with the next. */
static void decode(struct body body, struct span in, size_t first, size_t step, struct result *out)
{
    memset(out, 0, sizeof *out);
    out->body = body;
    out->feed = FEED_MORE;
    size_t end = first;
    for (;;) {
        end = end < in.len ? end : in.len;
        size_t len = end - out->used;
        uint8_t *copy = malloc(len == 0 ? 1 : len);
        assert_non_null(copy);
        if (len > 0)
            memcpy(copy, in.data + out->used, len);
        size_t used;
        struct span payload;
        out->feed = body_feed(&out->body, span_make(copy, len), &used, &payload, &out->too_big);
        assert_true(used <= len && (used > 0 || len == 0 || out->feed != FEED_MORE));
        assert_true(out->payload_len + payload.len <= sizeof out->payload);
        if (payload.len > 0)
            memcpy(out->payload + out->payload_len, payload.data, payload.len);
        out->payload_len += payload.len;
        out->used += used;
        free(copy);
        if (out->feed != FEED_MORE || (end == in.len && used == len))
            return;
        if (out->used == end)
            end += step;
    }
}

struct chunk_row {
    const char *id;
    struct span raw;
    enum feed feed;
    const char *payload; /* up to the end or the error */
    size_t rest;         /* bytes behind the end of the message */
};

#define BAD(raw) BYTES(raw), FEED_BAD, "", 0
#define X16      "xxxxxxxxxxxxxxxx"
#define X240     X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16

/* clang-format off */
static const struct chunk_row chunks[] = {
    {"empty", BYTES("0\r\n\r\n"), FEED_DONE, "", 0},
    {"one", BYTES("5\r\nhello\r\n0\r\n\r\n"), FEED_DONE, "hello", 0},
    {"two", BYTES("5\r\nhello\r\nA\r\n, my world\r\n0\r\n\r\n"), FEED_DONE, "hello, my world", 0},
    {"lower case", BYTES("a\r\n0123456789\r\n0\r\n\r\n"), FEED_DONE, "0123456789", 0},
    {"sixteen digits", BYTES("0000000000000003\r\nabc\r\n0000\r\n\r\n"), FEED_DONE, "abc", 0},
    {"payload like framing", BYTES("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"), FEED_DONE, "\r\n0\r\n\r\n", 0},
    {"next message", BYTES("1\r\na\r\n0\r\n\r\nGET"), FEED_DONE, "a", 3},
    {"not yet", BYTES("5\r\nhel"), FEED_MORE, "hel", 0},
    {"not yet", BYTES("5\r\nhello\r\n0\r\n\r"), FEED_MORE, "hello", 0},
    {"nothing", BYTES(""), FEED_MORE, "", 0},
    {"great size", BYTES("4000000000000000\r\nab"), FEED_MORE, "ab", 0},
    {"S-08", BAD("0x5\r\nhello\r\n0\r\n\r\n")},
    {"S-08", BAD("+5\r\nhello\r\n0\r\n\r\n")},
    {"S-08", BAD("-0\r\n\r\n")},
    {"S-08", BAD(" 5\r\nhello\r\n0\r\n\r\n")},
    {"S-08", BAD("5 \r\nhello\r\n0\r\n\r\n")},
    {"S-08", BAD("5\t\r\nhello\r\n0\r\n\r\n")},
    {"S-08", BAD("0_2e\r\n")},
    {"S-08 empty", BAD("\r\nhello\r\n0\r\n\r\n")},
    {"S-08 empty, nothing behind it", BAD("\r\n\r\n")},
    {"S-08 empty with an extension", BAD(";a\r\n\r\n")},
    {"S-08", BAD("g\r\n")},
    {"S-08", BAD("1these-bytes\r\n")},
    {"S-08", BAD("FFFFFFFFFFFFFFFF\r\n")},
    {"S-08", BAD("ffffffff00000001\r\n")},
    {"S-08", BAD("7fffffffffffffff\r\n")},
    {"S-08 2^63", BAD("8000000000000000\r\n")},
    {"S-08 2^62+1", BAD("4000000000000001\r\n")},
    {"S-08 17 digits", BAD("00000000000000005\r\nhello\r\n0\r\n\r\n")},
    {"S-08 17 digits", BAD("10000000000000005\r\nhello\r\n0\r\n\r\n")},
    {"S-08 NUL", BAD("5\0\r\nhello\r\n0\r\n\r\n")},
    {"S-08 LF", BAD("5\nhello\r\n0\r\n\r\n")},
    {"S-08 CR", BAD("5\rhello\r\n0\r\n\r\n")},
    {"S-08 CR CR LF", BAD("5\r\r\nhello\r\n0\r\n\r\n")},
    {"S-08 quoted", BAD("\"5\"\r\nhello\r\n0\r\n\r\n")},
    {"S-09", BYTES("5;a=b\r\nhello\r\n0;c\r\n\r\n"), FEED_DONE, "hello", 0},
    {"S-09", BYTES("5;a;b=c;d=\"e;\\\"\x80 =\"\r\nhello\r\n0\r\n\r\n"), FEED_DONE, "hello", 0},
    {"S-09", BYTES("5;a=\"\"\r\nhello\r\n0\r\n\r\n"), FEED_DONE, "hello", 0},
    {"S-09", BAD("5\r\r;a\r\nhello\r\n0\r\n\r\n")},
    {"S-09 LF", BAD("5;a\nhello\r\n0\r\n\r\n")},
    {"S-09 LF", BAD("5;a=b\n\r\nhello\r\n0\r\n\r\n")},
    {"S-09 NUL", BAD("5;a\0b\r\nhello\r\n0\r\n\r\n")},
    {"S-09 NUL", BAD("5;a=\"\0\"\r\nhello\r\n0\r\n\r\n")},
    {"S-09 quoted CRLF", BAD("5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n")},
    {"S-09 quoted LF", BAD("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n")},
    {"S-09 quoted tab", BAD("5;a=\"\t\"\r\nhello\r\n0\r\n\r\n")},
    {"S-09 escaped CR", BAD("5;a=\"\\\r\n\"\r\nhello\r\n0\r\n\r\n")},
    {"S-09 unquoted rest", BAD("5;a=\"b\"c\r\nhello\r\n0\r\n\r\n")},
    {"S-09 no name", BAD("5;\r\nhello\r\n0\r\n\r\n")},
    {"S-09 no name", BAD("5;=b\r\nhello\r\n0\r\n\r\n")},
    {"S-09 no value", BAD("5;a=\r\nhello\r\n0\r\n\r\n")},
    {"S-09 two", BAD("5;;a\r\nhello\r\n0\r\n\r\n")},
    {"S-09 space", BAD("5 ;a\r\nhello\r\n0\r\n\r\n")},
    {"S-09 space", BAD("5; a\r\nhello\r\n0\r\n\r\n")},
    {"S-09 space", BAD("5;a =b\r\nhello\r\n0\r\n\r\n")},
    {"S-09 end", BAD("5;a b\r\nhello\r\n0\r\n\r\n")},
    {"S-09 256 bytes", BYTES("5;" X240 "12345678901234\r\nhello\r\n0\r\n\r\n"), FEED_DONE, "hello", 0},
    {"S-09 257 bytes", BAD("5;" X240 "123456789012345\r\nhello\r\n0\r\n\r\n")},
    {"chunk too long", BYTES("5\r\nhello!\r\n0\r\n\r\n"), FEED_BAD, "hello", 0},
    {"chunk too short", BYTES("5\r\nhell\r\n0\r\n\r\n"), FEED_BAD, "hell\r", 0},
    {"LF behind a chunk", BYTES("5\r\nhello\n0\r\n\r\n"), FEED_BAD, "hello", 0},
    {"CR behind a chunk", BYTES("5\r\nhello\r0\r\n\r\n"), FEED_BAD, "hello", 0},
    {"nothing behind a chunk", BYTES("5\r\nhello0\r\n\r\n"), FEED_BAD, "hello", 0},
    {"S-11", BYTES("1\r\na\r\n0\r\nX: y\r\n\r\n"), FEED_DONE, "a", 0},
    {"S-11", BYTES("1\r\na\r\n0\r\nContent-Length: 5\r\nHost: denied.test\r\nAuthorization: x\r\n\r\nabc"), FEED_DONE, "a", 3},
    {"S-11 folded", BAD("0\r\nX: y\r\n z\r\n\r\n")},
    {"S-11 no colon", BAD("0\r\nX\r\n\r\n")},
    {"S-11 no name", BAD("0\r\n: x\r\n\r\n")},
    {"S-11 space", BAD("0\r\nX : x\r\n\r\n")},
    {"S-11 LF", BAD("0\r\nX: x\n\r\n")},
    {"S-11 NUL", BAD("0\r\nX: \0\r\n\r\n")},
    {"S-11 CR", BAD("0\r\nX: x\rY: z\r\n\r\n")},
    {"LF at the end", BAD("0\r\n\n")},
    {"LF after the last chunk", BAD("0\n\r\n")},
    {"next message at once", BAD("0\r\nGET http://denied.test/ HTTP/1.1\r\n\r\n")},
};
/* clang-format on */

static void check_chunks(const struct chunk_row *row, size_t first, size_t step)
{
    struct result r;
    decode((struct body){.kind = BODY_CHUNKED}, row->raw, first, step, &r);
    if (r.feed != row->feed || r.too_big)
        fail_msg("%s '%.20s' from %zu by %zu: feed %d, want %d", row->id, (const char *)row->raw.data, first, step,
                 r.feed, row->feed);
    if (!span_is(span_make(r.payload, r.payload_len), row->payload))
        fail_msg("%s from %zu by %zu: payload '%.*s'", row->id, first, step, (int)r.payload_len, r.payload);
    assert_int_equal(r.body.payload, r.payload_len);
    assert_int_equal(body_may_end(&r.body), row->feed == FEED_DONE);
    if (row->feed == FEED_DONE)
        assert_int_equal(r.used, row->raw.len - row->rest);
}

static void chunks_in_any_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        size_t len = chunks[i].raw.len;
        for (size_t at = 0; at <= len; at++)
            check_chunks(&chunks[i], at, len + 1);
        check_chunks(&chunks[i], 0, 1);
        check_chunks(&chunks[i], 0, 3);
    }
}

static void a_bad_body_stays_bad(void **state)
{
    (void)state;
    struct result r;
    struct span payload;
    size_t used;
    bool too_big;
    decode((struct body){.kind = BODY_CHUNKED}, span_text("5\r\nhello!"), 100, 1, &r);
    assert_int_equal(r.feed, FEED_BAD);
    assert_int_equal(r.used, 8); /* the wrong byte is not done with */
    assert_int_equal(body_feed(&r.body, span_text("\r\n0\r\n\r\n"), &used, &payload, &too_big), FEED_BAD);
    assert_int_equal(used, 0);
    assert_false(body_may_end(&r.body));
}

static void other_kinds(void **state)
{
    (void)state;
    struct result r;
    for (size_t step = 1; step < 8; step++) {
        decode((struct body){.kind = BODY_LENGTH, .left = 5}, span_text("hello!!"), 0, step, &r);
        assert_int_equal(r.feed, FEED_DONE);
        assert_int_equal(r.used, 5);
        assert_true(span_is(span_make(r.payload, r.payload_len), "hello"));
        decode((struct body){.kind = BODY_LENGTH, .left = 8}, span_text("hello!!"), 0, step, &r);
        assert_int_equal(r.feed, FEED_MORE);
        assert_int_equal(r.body.left, 1);
        assert_false(body_may_end(&r.body));
        decode((struct body){.kind = BODY_UNTIL_CLOSE}, span_text("hello!!"), 0, step, &r);
        assert_int_equal(r.feed, FEED_MORE);
        assert_int_equal(r.payload_len, 7);
        assert_true(body_may_end(&r.body));
        decode((struct body){.kind = BODY_NONE}, span_text("GET"), step, step, &r);
        assert_int_equal(r.feed, FEED_DONE);
        assert_int_equal(r.used, 0);
    }
    decode((struct body){.kind = BODY_LENGTH}, span_text(""), 0, 1, &r);
    assert_int_equal(r.feed, FEED_DONE);
}

static enum feed feed_trailers(size_t lines, size_t value_len, bool *out_too_big)
{
    static char text[BODY_TRAILER_BYTES_MAX + 4096];
    struct body body = {.kind = BODY_CHUNKED};
    struct outbuf out = outbuf_make(text, sizeof text);
    outbuf_text(&out, "0\r\n");
    for (size_t i = 0; i < lines; i++) {
        outbuf_text(&out, "X:");
        for (size_t k = 0; k < value_len; k++)
            outbuf_char(&out, 'v');
        outbuf_text(&out, "\r\n");
    }
    outbuf_text(&out, "\r\n");
    assert_false(out.overflow);
    size_t used;
    struct span payload;
    return body_feed(&body, outbuf_written(&out), &used, &payload, out_too_big);
}

/* S-11: bounded in lines and in bytes; above it is REASON_HEAD, which *too_big says. */
static void trailers_are_bounded(void **state)
{
    (void)state;
    bool too_big;
    assert_int_equal(feed_trailers(BODY_TRAILER_LINES_MAX, 1, &too_big), FEED_DONE);
    assert_false(too_big);
    assert_int_equal(feed_trailers(BODY_TRAILER_LINES_MAX + 1, 1, &too_big), FEED_BAD);
    assert_true(too_big);
    assert_int_equal(feed_trailers(1000, 1, &too_big), FEED_BAD);
    assert_true(too_big);
    assert_int_equal(feed_trailers(1, BODY_TRAILER_BYTES_MAX - 6, &too_big), FEED_DONE);
    assert_false(too_big);
    assert_int_equal(feed_trailers(1, BODY_TRAILER_BYTES_MAX - 5, &too_big), FEED_BAD);
    assert_true(too_big);
}

/* S-32: a million chunks of a byte, in one call each and in bounded memory. */
static void a_million_chunks(void **state)
{
    (void)state;
    struct body body = {.kind = BODY_CHUNKED};
    size_t used;
    struct span payload;
    bool too_big;
    for (unsigned i = 0; i < 1000000; i++) {
        assert_int_equal(body_feed(&body, span_text(i == 0 ? "1\r\nx" : "\r\n1\r\nx"), &used, &payload, &too_big),
                         FEED_MORE);
        assert_int_equal(payload.len, 1);
    }
    assert_int_equal(body_feed(&body, span_text("\r\n0\r\n\r\n"), &used, &payload, &too_big), FEED_DONE);
    assert_int_equal(body.payload, 1000000);
}

static void own_chunks(void **state)
{
    (void)state;
    char text[128];
    struct outbuf out = outbuf_make(text, sizeof text);
    body_chunk_begin(&out, 1);
    body_chunk_begin(&out, 16);
    body_chunk_begin(&out, 65535);
    body_chunk_begin(&out, (size_t)1 << 62);
    body_chunk_end(&out);
    body_last_chunk(&out);
    assert_true(span_is(outbuf_written(&out), "1\r\n10\r\nffff\r\n4000000000000000\r\n\r\n0\r\n\r\n"));
    out = outbuf_make(text, BODY_CHUNK_BEGIN_MAX);
    body_chunk_begin(&out, SIZE_MAX);
    assert_false(out.overflow);
    out = outbuf_make(text, BODY_LAST_CHUNK_BYTES);
    body_last_chunk(&out);
    assert_false(out.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_in_any_split),  cmocka_unit_test(a_bad_body_stays_bad), cmocka_unit_test(other_kinds),
        cmocka_unit_test(trailers_are_bounded), cmocka_unit_test(a_million_chunks),     cmocka_unit_test(own_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
