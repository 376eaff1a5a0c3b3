/* SPDX-License-Identifier: Apache-2.0 */
/* The same hello in other segments and other records, and hellos at the edges of their limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../support/hello_build.h"
#include "base/outbuf.h"
#include "wire/hello.h"

#include <stdlib.h>

#define RAW_MAX 400000

static const struct hello_limits usual = {.raw_bytes = 65536, .message_bytes = 16384};
static uint8_t scratch[HELLO_SCRATCH_BYTES];
static uint8_t raw_bytes[RAW_MAX];
static uint8_t message_bytes[80000];

struct result {
    enum feed feed;
    enum reason reason;
    struct hello hello;
};

/* The scratch is spoiled between calls: it need not be kept. */
static struct result feed_steps(struct span raw, size_t first, size_t step, const struct hello_limits *limits)
{
    struct result r = {.reason = REASON_NONE};
    struct hello_parser parser = {0};
    size_t len = first;
    for (;;) {
        len = len < raw.len ? len : raw.len;
        r.feed = hello_feed(&parser, span_first(raw, len), limits, scratch, &r.hello, &r.reason);
        if (r.feed != FEED_MORE || len == raw.len)
            return r;
        memset(scratch, 0xee, 64);
        len += step;
    }
}

static void assert_same(const struct result *a, const struct result *b)
{
    assert_int_equal(a->feed, b->feed);
    assert_int_equal(a->reason, b->reason);
    if (a->feed != FEED_DONE)
        return;
    assert_int_equal(a->hello.sni, b->hello.sni);
    assert_true(hostname_equal(&a->hello.name, &b->hello.name));
    assert_int_equal(a->hello.ech, b->hello.ech);
    assert_int_equal(a->hello.legacy_version, b->hello.legacy_version);
    assert_int_equal(a->hello.highest_version, b->hello.highest_version);
    assert_int_equal(a->hello.raw_bytes, b->hello.raw_bytes);
    assert_int_equal(a->hello.message_bytes, b->hello.message_bytes);
    assert_true(span_equal(a->hello.alpn, b->hello.alpn));
}

/* T-16: every size of record, in every cut into two segments and byte by byte. */
static void any_split_gives_the_same(void **state)
{
    (void)state;
    struct hello_build spec = {.sni = "allowed.test", .alpn = "h2", .ech = true, .grease = true, .sni_last = true};
    static const size_t records[] = {0, 1, 2, 3, 4, 5, 7, 60, 100, 101};
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        spec.record_bytes = records[i];
        struct span raw = span_make(raw_bytes, hello_build(&spec, raw_bytes, RAW_MAX));
        struct result whole = feed_steps(raw, raw.len, 1, &usual);
        assert_int_equal(whole.feed, FEED_DONE);
        assert_string_equal(whole.hello.name.bytes, "allowed.test");
        assert_int_equal(whole.hello.raw_bytes, raw.len);
        assert_true(span_is(whole.hello.alpn, "\x02h2"));
        for (size_t cut = 0; cut < raw.len; cut++) {
            struct result two = feed_steps(raw, cut, raw.len, &usual);
            assert_same(&two, &whole);
        }
        struct result single = feed_steps(raw, 0, 1, &usual);
        assert_same(&single, &whole);
    }
}

/* T-21: a post-quantum share, two of them, in segments of 1,460 bytes. */
static void post_quantum(void **state)
{
    (void)state;
    struct hello_build spec = {.sni = "allowed.test", .alpn = "h2", .grease = true, .key_share_bytes = 1400};
    for (int i = 0; i < 2; i++) {
        struct span raw = span_make(raw_bytes, hello_build(&spec, raw_bytes, RAW_MAX));
        assert_true(raw.len > 1460);
        struct result r = feed_steps(raw, 1460, 1460, &usual);
        assert_int_equal(r.feed, FEED_DONE);
        assert_string_equal(r.hello.name.bytes, "allowed.test");
        spec.key_share_bytes = 2 * 1216;
    }
}

/* T-20, with the usual limit and with the widest */
static void padded(void **state)
{
    (void)state;
    static const struct hello_limits wide = {.raw_bytes = 400000, .message_bytes = HELLO_SCRATCH_BYTES};
    static const size_t sizes[] = {8192, 16383, 16384, 16385, 20000, 65535};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t record = 0; record <= 1000; record += 250) {
            struct hello_build spec = {.sni = "allowed.test", .pad_to = sizes[i], .record_bytes = record};
            struct span raw = span_make(raw_bytes, hello_build(&spec, raw_bytes, RAW_MAX));
            struct result r = feed_steps(raw, raw.len, 1, &usual);
            struct result slow = feed_steps(raw, 0, 1, &usual);
            assert_same(&slow, &r);
            assert_int_equal(r.feed, sizes[i] <= 16384 ? FEED_DONE : FEED_BAD);
            assert_int_equal(r.reason, sizes[i] <= 16384 ? REASON_NONE : REASON_HELLO_BIG);
            r = feed_steps(raw, 0, 1, &wide);
            assert_int_equal(r.feed, FEED_DONE);
            assert_int_equal(r.hello.message_bytes, sizes[i]);
        }
}

static struct span records_of(struct span message, size_t record_bytes)
{
    return span_make(raw_bytes, hello_build_records(message, record_bytes, raw_bytes, RAW_MAX));
}

/* The limit on raw bytes, at its edge: 10,000 message bytes in records of 5 bytes are 20,000 raw ones. */
static void raw_limit(void **state)
{
    (void)state;
    struct hello_build spec = {.sni = "allowed.test", .pad_to = 10000, .record_bytes = 5};
    struct span raw = span_make(raw_bytes, hello_build(&spec, raw_bytes, RAW_MAX));
    assert_int_equal(raw.len, 20000);
    struct hello_limits limits = {.raw_bytes = 20000, .message_bytes = 16384};
    assert_int_equal(feed_steps(raw, 0, 1, &limits).feed, FEED_DONE);
    limits.raw_bytes = 19999;
    struct result r = feed_steps(raw, 0, 1, &limits);
    assert_int_equal(r.feed, FEED_BAD);
    assert_int_equal(r.reason, REASON_HELLO_BIG);
    struct result whole = feed_steps(raw, raw.len, 1, &limits);
    assert_same(&whole, &r);
}

/* T-19: said at once, with nothing of the claimed bytes there. */
static void claimed_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\x16\x03\x01\x40\x01",                                     5 },
        {"\x16\x03\x01\xff\xff",                                     5 },
        {"\x16\x03\x01\x00\x04\x01\xff\xff\xff",                     9 },
        {"\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x03\xff\xff\xff", 14},
        {"\x16\x03\x01\x40\x00\x01\x00\x3f\xfd",                     9 }, /* one byte above 16 KiB */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct span raw = span_make(cases[i].bytes, cases[i].len);
        struct result r = feed_steps(raw, 0, 1, &usual);
        assert_int_equal(r.feed, FEED_BAD);
        assert_int_equal(r.reason, REASON_HELLO_BIG);
        assert_int_equal(feed_steps(span_first(raw, raw.len - 1), 0, 1, &usual).feed, FEED_MORE);
    }
    struct span most = span_make("\x16\x03\x01\x40\x00\x01\x00\x3f\xfc", 9);
    assert_int_equal(feed_steps(most, 9, 1, &usual).feed, FEED_MORE);
}

/* T-17: the first record alone would be a good hello, the message is another one. */
static void only_the_whole_message_counts(void **state)
{
    (void)state;
    static const uint8_t second[] = {0, 0, 0, 11, 0, 9, 0, 0, 6, 'b', '.', 't', 'e', 's', 't'};
    struct hello_build spec = {
        .sni = "allowed.test", .extra = {second, sizeof second}
    };
    size_t len = hello_build_message(&spec, message_bytes, sizeof message_bytes);
    struct span raw = records_of(span_make(message_bytes, len), len - sizeof second);
    struct result r = feed_steps(raw, 0, 1, &usual);
    assert_int_equal(r.feed, FEED_BAD);
    assert_int_equal(r.reason, REASON_HELLO);
    assert_int_equal(feed_steps(span_first(raw, raw.len - 1), 0, 1, &usual).feed, FEED_MORE);
}

/* A good hello cut in two records with something put between them. */
static enum reason with_between(uint8_t type, struct span payload)
{
    struct hello_build spec = {.sni = "allowed.test"};
    size_t len = hello_build_message(&spec, message_bytes, sizeof message_bytes);
    struct span message = span_make(message_bytes, len);
    size_t at = hello_build_record(22, span_first(message, 50), raw_bytes, RAW_MAX);
    at += hello_build_record(type, payload, raw_bytes + at, RAW_MAX - at);
    at += hello_build_record(22, span_from(message, 50), raw_bytes + at, RAW_MAX - at);
    struct result whole = feed_steps(span_make(raw_bytes, at), at, 1, &usual);
    struct result slow = feed_steps(span_make(raw_bytes, at), 0, 1, &usual);
    assert_same(&slow, &whole);
    return whole.feed == FEED_DONE ? REASON_NONE : whole.reason;
}

/* T-18 */
static void nothing_stands_between_fragments(void **state)
{
    (void)state;
    assert_int_equal(with_between(22, span_make(NULL, 0)), REASON_HELLO);
    assert_int_equal(with_between(20, span_text("\x01")), REASON_HELLO);
    assert_int_equal(with_between(21, span_make("\x01\x00", 2)), REASON_HELLO);
    assert_int_equal(with_between(23, span_text("x")), REASON_HELLO);
}

/* T-26, T-09: bytes behind the message in its own record; in records of their own they are early data or such. */
static void what_follows_the_message(void **state)
{
    (void)state;
    struct hello_build spec = {.sni = "allowed.test"};
    size_t one = hello_build_message(&spec, message_bytes, sizeof message_bytes);
    spec.sni = "denied.test";
    size_t two = hello_build_message(&spec, message_bytes + one, sizeof message_bytes - one);
    struct span both = span_make(message_bytes, one + two);
    struct result r = feed_steps(records_of(both, 0), 0, 1, &usual);
    assert_int_equal(r.feed, FEED_BAD);
    assert_int_equal(r.reason, REASON_HELLO);
    r = feed_steps(records_of(span_first(both, one + 1), 0), 0, 1, &usual);
    assert_int_equal(r.reason, REASON_HELLO);
    /* its last byte and a foreign one share the second record */
    r = feed_steps(records_of(span_first(both, one + 1), one - 1), 0, 1, &usual);
    assert_int_equal(r.reason, REASON_HELLO);
    /* the second message begins a record of its own */
    struct span raw = records_of(both, one);
    r = feed_steps(raw, raw.len, 1, &usual);
    assert_int_equal(r.feed, FEED_DONE);
    assert_int_equal(r.hello.raw_bytes, 5 + one);
    assert_string_equal(r.hello.name.bytes, "allowed.test");
}

/* T-24: 100 unknown extensions; 2,000 of them; 2,001 with one type twice. */
static void many_extensions(void **state)
{
    (void)state;
    static uint8_t extra[4 * 2001];
    static const size_t counts[] = {100, 2000, 2001};
    for (size_t i = 0; i < 3; i++) {
        struct outbuf o = outbuf_make(extra, sizeof extra);
        for (size_t n = 0; n < counts[i]; n++) {
            outbuf_be16(&o, (uint16_t)(n == 2000 ? 0x1000 : 0x1000 + n));
            outbuf_be16(&o, 0);
        }
        struct hello_build spec = {
            .sni = "allowed.test", .grease = true, .sni_last = true, .extra = outbuf_written(&o)};
        struct span raw = span_make(raw_bytes, hello_build(&spec, raw_bytes, RAW_MAX));
        struct result r = feed_steps(raw, 0, 1, &usual);
        assert_int_equal(r.feed, i < 2 ? FEED_DONE : FEED_BAD);
        assert_int_equal(r.reason, i < 2 ? REASON_NONE : REASON_HELLO);
    }
}

/* T-13: a name of 16 kB does not fit the message; 15 kB fit, and are no name. */
static void huge_names(void **state)
{
    (void)state;
    static char name[16384 + 1];
    memset(name, 'a', sizeof name - 1);
    struct hello_build spec = {.sni = name};
    struct span raw = span_make(raw_bytes, hello_build(&spec, raw_bytes, RAW_MAX));
    assert_int_equal(feed_steps(raw, raw.len, 1, &usual).reason, REASON_HELLO_BIG);
    name[15000] = '\0';
    raw = span_make(raw_bytes, hello_build(&spec, raw_bytes, RAW_MAX));
    assert_int_equal(feed_steps(raw, raw.len, 1, &usual).reason, REASON_HELLO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_gives_the_same),
        cmocka_unit_test(post_quantum),
        cmocka_unit_test(padded),
        cmocka_unit_test(raw_limit),
        cmocka_unit_test(claimed_lengths),
        cmocka_unit_test(only_the_whole_message_counts),
        cmocka_unit_test(nothing_stands_between_fragments),
        cmocka_unit_test(what_follows_the_message),
        cmocka_unit_test(many_extensions),
        cmocka_unit_test(huge_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
