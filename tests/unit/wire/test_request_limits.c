/* SPDX-License-Identifier: Apache-2.0 */
/* Large heads: each limit at its edge, in one piece and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/outbuf.h"
#include "wire/request.h"

#define HEAD_MAX (64 * 1024)

static const struct request_limits limits = {.head_bytes = HEAD_MAX, .target_bytes = 8192, .header_lines = 100};
static uint8_t bytes[1 << 21];
static struct request request;

static void fill(struct outbuf *o, char c, size_t count)
{
    for (size_t i = 0; i < count; i++)
        outbuf_char(o, c);
}

/* Whole and byte by byte must agree; gives the reason, REASON_NONE for a head that is done. */
static enum reason judge(struct span raw)
{
    enum reason whole = REASON_NONE;
    enum reason single = REASON_NONE;
    struct request_parser parser = {0};
    enum feed feed = request_feed(&parser, raw, &limits, &request, &whole);
    struct request_parser slow = {0};
    enum feed slow_feed = FEED_MORE;
    for (size_t len = 0; len <= raw.len && slow_feed == FEED_MORE; len++)
        slow_feed = request_feed(&slow, span_first(raw, len), &limits, &request, &single);
    assert_int_equal(feed, slow_feed);
    assert_int_equal(whole, single);
    assert_int_equal(parser.scanned, slow.scanned);
    assert_true(feed != FEED_MORE);
    return feed == FEED_DONE ? REASON_NONE : whole;
}

/* S-31 */
static void targets(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        enum reason reason;
    } cases[] = {
        {8192,      REASON_NONE},
        {8193,      REASON_URI },
        {64 * 1024, REASON_URI },
        {1 << 20,   REASON_URI }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outbuf o = outbuf_make(bytes, sizeof bytes);
        outbuf_text(&o, "GET http://allowed.test/");
        fill(&o, 'a', cases[i].len - 20);
        outbuf_text(&o, " HTTP/1.0\r\n\r\n");
        assert_false(o.overflow);
        assert_int_equal(judge(outbuf_written(&o)), cases[i].reason);
        if (cases[i].reason == REASON_URI)
            assert_int_equal(request.raw_target.len, 8192);
    }
}

static void head_bytes(void **state)
{
    (void)state;
    for (size_t extra = 0; extra <= 1; extra++) {
        struct outbuf o = outbuf_make(bytes, sizeof bytes);
        outbuf_text(&o, "GET / HTTP/1.0\r\nX: ");
        fill(&o, 'v', HEAD_MAX + extra - o.len - 4);
        outbuf_text(&o, "\r\n\r\n");
        assert_int_equal(o.len, HEAD_MAX + extra);
        assert_int_equal(judge(outbuf_written(&o)), extra == 0 ? REASON_NONE : REASON_HEAD);
    }
}

static void header_lines(void **state)
{
    (void)state;
    static const size_t counts[] = {100, 101, 10000};
    for (size_t i = 0; i < 3; i++) {
        struct outbuf o = outbuf_make(bytes, sizeof bytes);
        outbuf_text(&o, "GET / HTTP/1.0\r\n");
        for (size_t n = 0; n < counts[i]; n++)
            outbuf_text(&o, "a:b\r\n");
        outbuf_text(&o, "\r\n");
        assert_int_equal(judge(outbuf_written(&o)), i == 0 ? REASON_NONE : REASON_HEAD);
        if (i == 0)
            assert_int_equal(request.header_count, 100);
    }
}

/* S-31: 256 KiB of one-byte headers; S-18: 10,000 empty lines; S-30: a method of 10 kB. */
static void floods(void **state)
{
    (void)state;
    struct outbuf o = outbuf_make(bytes, sizeof bytes);
    outbuf_text(&o, "GET / HTTP/1.0\r\n");
    while (o.len < 256 * 1024)
        outbuf_text(&o, "a:\r\n");
    assert_int_equal(judge(outbuf_written(&o)), REASON_HEAD);
    o = outbuf_make(bytes, sizeof bytes);
    for (size_t i = 0; i < 10000; i++)
        outbuf_text(&o, "\r\n");
    assert_int_equal(judge(outbuf_written(&o)), REASON_MALFORMED);
    o = outbuf_make(bytes, sizeof bytes);
    fill(&o, 'M', 10 * 1024);
    outbuf_text(&o, " / HTTP/1.0\r\n\r\n");
    assert_int_equal(judge(outbuf_written(&o)), REASON_NONE);
    assert_int_equal(request.method, METHOD_UNKNOWN);
    o = outbuf_make(bytes, sizeof bytes);
    fill(&o, 'M', HEAD_MAX + 1);
    assert_int_equal(judge(outbuf_written(&o)), REASON_HEAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets),
        cmocka_unit_test(head_bytes),
        cmocka_unit_test(header_lines),
        cmocka_unit_test(floods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
