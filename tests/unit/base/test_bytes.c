/* SPDX-License-Identifier: Apache-2.0 */
/* span, cursor and outbuf: the three ways to touch bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "base/outbuf.h"
#include "base/span.h"

static void span_compares(void **state)
{
    (void)state;
    struct span abc = span_text("abc");
    assert_true(span_equal(abc, span_text("abc")));
    assert_false(span_equal(abc, span_text("abd")));
    assert_false(span_equal(abc, span_text("ab")));
    assert_true(span_equal(span_make(NULL, 0), span_text("")));
    assert_true(span_equal_fold(span_text("Content-LENGTH"), span_text("content-length")));
    assert_false(span_equal_fold(span_text("a["), span_text("A{"))); /* folding is for letters alone */
    assert_false(span_equal_fold(span_text("\xc4"), span_text("\xe4")));
    assert_true(span_is(abc, "abc"));
    assert_false(span_is(span_make("abc\0", 4), "abc"));
    assert_int_equal(span_text(NULL).len, 0);
}

static void span_cuts(void **state)
{
    (void)state;
    struct span abc = span_text("abc");
    assert_true(span_is(span_from(abc, 1), "bc"));
    assert_int_equal(span_from(abc, 3).len, 0);
    assert_int_equal(span_from(abc, 100).len, 0);
    assert_true(span_is(span_first(abc, 2), "ab"));
    assert_true(span_is(span_first(abc, 100), "abc"));
    assert_int_equal(span_find(abc, 'c'), 2);
    assert_int_equal(span_find(abc, 'x'), 3);
    assert_int_equal(span_find(span_make(NULL, 0), 'x'), 0);
}

static void cursor_reads_big_endian(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};
    struct cursor c = cursor_make(span_make(bytes, sizeof bytes));
    assert_int_equal(cursor_u8(&c), 0x01);
    assert_int_equal(cursor_u16(&c), 0x0203);
    assert_int_equal(cursor_u24(&c), 0x040506);
    assert_int_equal(cursor_u32(&c), 0x0708090a);
    assert_true(cursor_u64(&c) == 0x0b0c0d0e0f101112ull);
    assert_true(cursor_done(&c));
    assert_int_equal(cursor_u8(&c), 0);
    assert_false(cursor_done(&c));
}

static void cursor_error_is_sticky(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {1, 2, 3};
    struct cursor c = cursor_make(span_make(bytes, sizeof bytes));
    assert_int_equal(cursor_u32(&c), 0);
    assert_true(c.failed);
    assert_int_equal(cursor_u8(&c), 0); /* though a byte was there */
    assert_int_equal(cursor_take(&c, 0).len, 0);
    assert_false(cursor_done(&c));
}

static void cursor_blocks_are_bounded(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {2, 0xaa, 0xbb, 0, 1, 0xcc, 0, 0, 2, 0xdd, 0xee};
    struct cursor c = cursor_make(span_make(bytes, sizeof bytes));
    struct cursor one = cursor_block8(&c);
    assert_int_equal(cursor_u16(&one), 0xaabb);
    assert_true(cursor_done(&one));
    assert_int_equal(cursor_u8(&one), 0);
    assert_true(one.failed);
    assert_false(c.failed); /* an inner failure stays inside */
    struct cursor two = cursor_block16(&c);
    assert_false(cursor_done(&two)); /* not fully read */
    assert_int_equal(cursor_u8(&two), 0xcc);
    struct cursor three = cursor_block24(&c);
    assert_int_equal(cursor_u16(&three), 0xddee);
    assert_true(cursor_done(&c));
}

static void cursor_block_past_the_end_fails_both(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {4, 1, 2, 3};
    struct cursor c = cursor_make(span_make(bytes, sizeof bytes));
    struct cursor inner = cursor_block8(&c);
    assert_true(c.failed);
    assert_true(inner.failed);
    assert_int_equal(inner.rest.len, 0);
}

static void outbuf_writes(void **state)
{
    (void)state;
    uint8_t data[64];
    struct outbuf o = outbuf_make(data, sizeof data);
    outbuf_text(&o, "a=");
    outbuf_u64(&o, UINT64_MAX);
    outbuf_char(&o, ' ');
    outbuf_i64(&o, INT64_MIN);
    outbuf_char(&o, ' ');
    outbuf_hex(&o, span_make("\x00\xfe", 2));
    assert_true(span_is(outbuf_written(&o), "a=18446744073709551615 -9223372036854775808 00fe"));
    o = outbuf_make(data, sizeof data);
    outbuf_u8(&o, 1);
    outbuf_be16(&o, 0x0203);
    outbuf_be32(&o, 0x04050607);
    outbuf_be64(&o, 0x08090a0b0c0d0e0full);
    assert_int_equal(o.len, 15);
    for (size_t i = 0; i < o.len; i++)
        assert_int_equal(data[i], i + 1);
}

static void outbuf_overflow_is_sticky_and_whole(void **state)
{
    (void)state;
    uint8_t data[4] = {0};
    struct outbuf o = outbuf_make(data, sizeof data);
    outbuf_text(&o, "abc");
    outbuf_text(&o, "de");
    assert_true(o.overflow);
    assert_int_equal(o.len, 3);
    outbuf_char(&o, 'x'); /* there would be room, but the text before it is missing */
    assert_int_equal(o.len, 3);
    o = outbuf_make(data, 2);
    outbuf_i64(&o, -12);
    assert_true(o.overflow);
    assert_int_equal(o.len, 0);
    o = outbuf_make(data, 3);
    outbuf_hex(&o, span_text("ab"));
    assert_true(o.overflow);
    assert_int_equal(o.len, 0);
    o = outbuf_make(NULL, 0);
    outbuf_text(&o, "");
    assert_false(o.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(span_compares),
        cmocka_unit_test(span_cuts),
        cmocka_unit_test(cursor_reads_big_endian),
        cmocka_unit_test(cursor_error_is_sticky),
        cmocka_unit_test(cursor_blocks_are_bounded),
        cmocka_unit_test(cursor_block_past_the_end_fails_both),
        cmocka_unit_test(outbuf_writes),
        cmocka_unit_test(outbuf_overflow_is_sticky_and_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
