/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/response.h"

#include <stdlib.h>

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                                \
    }
#define OK(fields) BYTES("HTTP/1.1 200 OK\r\n" fields "\r\n")

static const struct request_limits limits = {.head_bytes = 4096, .target_bytes = 100, .header_lines = 5};

struct row {
    const char *what;
    struct span raw;
    enum feed feed;
    uint8_t minor;
    uint16_t status;
    const char *phrase;
    size_t header_count;
};

/* clang-format off */
static const struct row rows[] = {
    {"plain", OK(""), FEED_DONE, 1, 200, "OK", 0},
    {"1.0", BYTES("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n"), FEED_DONE, 0, 404, "Not Found", 1},
    {"no phrase", BYTES("HTTP/1.1 204 \r\n\r\n"), FEED_DONE, 1, 204, "", 0},
    {"obs-text in the phrase", BYTES("HTTP/1.1 200 \xc3\xa9t\xe9\r\n\r\n"), FEED_DONE, 1, 200, "\xc3\xa9t\xe9", 0},
    {"first and last status", BYTES("HTTP/1.1 100 \r\n\r\n"), FEED_DONE, 1, 100, "", 0},
    {"first and last status", BYTES("HTTP/1.1 599 x\r\n\r\n"), FEED_DONE, 1, 599, "x", 0},
    {"five lines", OK("a:1\r\nb:2\r\nc:3\r\nd:4\r\ne:5\r\n"), FEED_DONE, 1, 200, "OK", 5},
    {"six lines", OK("a:1\r\nb:2\r\nc:3\r\nd:4\r\ne:5\r\nf:6\r\n"), FEED_BAD, 0, 0, "", 0},
    {"empty value", OK("A:\r\n"), FEED_DONE, 1, 200, "OK", 1},
    {"half", BYTES("HTTP/1.1 200 OK\r\nA: b\r\n\r"), FEED_MORE, 0, 0, "", 0},
    {"nothing", BYTES(""), FEED_MORE, 0, 0, "", 0},
    {"half of the version", BYTES("HTTP/"), FEED_MORE, 0, 0, "", 0},
    {"no phrase and no space", BYTES("HTTP/1.1 200\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"status below", BYTES("HTTP/1.1 099 x\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"status above", BYTES("HTTP/1.1 600 x\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"status of two digits", BYTES("HTTP/1.1 20 xx\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"status of four digits", BYTES("HTTP/1.1 2000 x\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"status with a sign", BYTES("HTTP/1.1 +20 x\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"status in letters", BYTES("HTTP/1.1 2OO x\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"two spaces", BYTES("HTTP/1.1  200 x\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"tab", BYTES("HTTP/1.1\t200 x\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"1.2", BYTES("HTTP/1.2 200 OK\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"2.0", BYTES("HTTP/2.0 200 OK\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"lower case", BYTES("http/1.1 200 OK\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"another protocol, no line end", BYTES("SSH-2.0-x"), FEED_BAD, 0, 0, "", 0},
    {"TLS", BYTES("\x16\x03\x01"), FEED_BAD, 0, 0, "", 0},
    {"ICY", BYTES("ICY 200 OK\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"empty line first", BYTES("\r\nHTTP/1.1 200 OK\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"LF alone", BYTES("HTTP/1.1 200 OK\nA: b\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"LF alone at the end", BYTES("HTTP/1.1 200 OK\r\nA: b\r\n\n"), FEED_BAD, 0, 0, "", 0},
    {"CR in the phrase", BYTES("HTTP/1.1 200 O\rK\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"CR in a value", OK("A: b\rContent-Length: 5\r\n"), FEED_BAD, 0, 0, "", 0},
    {"CR before CRLF", OK("A: b\r\r\n"), FEED_BAD, 0, 0, "", 0},
    {"NUL in the phrase", BYTES("HTTP/1.1 200 O\0K\r\n\r\n"), FEED_BAD, 0, 0, "", 0},
    {"NUL in a value", OK("A: b\0c\r\n"), FEED_BAD, 0, 0, "", 0},
    {"DEL in a value", OK("A: b\x7f\r\n"), FEED_BAD, 0, 0, "", 0},
    {"NUL in a name", OK("A\0: b\r\n"), FEED_BAD, 0, 0, "", 0},
    {"folded", OK("A: b\r\n c\r\n"), FEED_BAD, 0, 0, "", 0},
    {"folded with a tab", OK("A: b\r\n\tTransfer-Encoding: chunked\r\n"), FEED_BAD, 0, 0, "", 0},
    {"space before the colon", OK("Content-Length : 5\r\n"), FEED_BAD, 0, 0, "", 0},
    {"no colon", OK("A\r\n"), FEED_BAD, 0, 0, "", 0},
    {"no name", OK(": a\r\n"), FEED_BAD, 0, 0, "", 0},
    {"S-14", OK("Content_Length: 5\r\n"), FEED_BAD, 0, 0, "", 0},
    {"S-14", OK("Transfer.Encoding: chunked\r\n"), FEED_BAD, 0, 0, "", 0},
    {"S-14", OK("Transfer-Encoding_: chunked\r\n"), FEED_BAD, 0, 0, "", 0},
    {"S-14 others pass here", OK("Connection_: x\r\n"), FEED_DONE, 1, 200, "OK", 1},
};
/* clang-format on */

/* Growing starts, each in a copy of its own. */
static enum feed feed_cut(struct span raw, size_t first, size_t step, struct response *out)
{
    static uint8_t *kept; /* facts borrow the last copy */
    struct response_parser parser = {0};
    memset(out, 0, sizeof *out);
    for (size_t len = first;; len += step) {
        len = len < raw.len ? len : raw.len;
        uint8_t *copy = malloc(len == 0 ? 1 : len);
        assert_non_null(copy);
        if (len > 0)
            memcpy(copy, raw.data, len);
        free(kept);
        kept = copy;
        enum feed feed = response_feed(&parser, span_make(copy, len), &limits, out);
        if (feed != FEED_MORE || len == raw.len)
            return feed;
    }
}

static void check_row(const struct row *row, size_t first, size_t step)
{
    struct response r;
    enum feed feed = feed_cut(row->raw, first, step, &r);
    if (feed != row->feed)
        fail_msg("%s from %zu by %zu: feed %d, want %d", row->what, first, step, feed, row->feed);
    if (feed != FEED_DONE)
        return;
    assert_int_equal(r.minor, row->minor);
    assert_int_equal(r.status, row->status);
    assert_true(span_is(r.phrase, row->phrase));
    assert_int_equal(r.header_count, row->header_count);
    assert_int_equal(r.head_bytes, row->raw.len);
}

static void rows_in_any_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t at = 0; at <= rows[i].raw.len; at++)
            check_row(&rows[i], at, rows[i].raw.len + 1);
        check_row(&rows[i], 0, 1);
    }
}

static void facts_of_a_whole_head(void **state)
{
    (void)state;
    static const char raw[] = "HTTP/1.1 200 all is well\r\nContent-Length: 4\r\nX-Y:\t a b \t\r\n\r\nBODY";
    struct response r;
    assert_int_equal(feed_cut(span_make(raw, sizeof raw - 1), 3, 50, &r), FEED_DONE);
    assert_int_equal(r.head_bytes, sizeof raw - 1 - 4);
    assert_int_equal(r.header_count, 2);
    assert_true(span_is(r.headers[0].name, "Content-Length"));
    assert_true(span_is(response_header(&r, "content-LENGTH")->value, "4"));
    assert_true(span_is(response_header(&r, "x-y")->value, "a b"));
    assert_null(response_header(&r, "x"));
}

/* A head of exactly the limit is taken with a body behind it; one byte more is not, line end or none. */
static void head_limit(void **state)
{
    (void)state;
    static char raw[5000];
    static const char begin[] = "HTTP/1.1 200 OK\r\nA: ";
    struct response r;
    for (size_t over = 0; over < 2; over++) {
        size_t head = limits.head_bytes + over;
        memset(raw, 'a', sizeof raw);
        memcpy(raw, begin, sizeof begin - 1);
        memcpy(raw + head - 4, "\r\n\r\n", 4);
        enum feed want = over == 0 ? FEED_DONE : FEED_BAD;
        assert_int_equal(feed_cut(span_make(raw, sizeof raw), sizeof raw, 1, &r), want);
        assert_int_equal(feed_cut(span_make(raw, sizeof raw), 4000, 1, &r), want);
        assert_int_equal(r.head_bytes, over == 0 ? head : 0);
    }
    memset(raw + sizeof begin - 1, 'a', sizeof raw - sizeof begin + 1);
    assert_int_equal(feed_cut(span_make(raw, limits.head_bytes), 1, 1000, &r), FEED_MORE);
    assert_int_equal(feed_cut(span_make(raw, limits.head_bytes + 1), 1, 1000, &r), FEED_BAD);
}

/* Each control byte, in the phrase, a name and a value. */
static void no_control_byte(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 0x20; byte++) {
        char raw[] = "HTTP/1.1 200 OK?\r\nN?a: v?\r\n\r\n";
        static const size_t places[] = {15, 19, 24};
        for (size_t i = 0; i < 3; i++) {
            char one[sizeof raw];
            memcpy(one, raw, sizeof raw);
            for (size_t k = 0; k < 3; k++)
                one[places[k]] = k == i ? (char)byte : 'x';
            struct response r;
            bool tab_in_text = byte == '\t' && i != 1;
            assert_int_equal(feed_cut(span_make(one, sizeof one - 1), sizeof one, 1, &r),
                             tab_in_text ? FEED_DONE : FEED_BAD);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_in_any_split),
        cmocka_unit_test(facts_of_a_whole_head),
        cmocka_unit_test(head_limit),
        cmocka_unit_test(no_control_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
