/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/hostname.h"

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                                \
    }
#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

struct row {
    const char *id;
    struct span raw;
    const char *canonical; /* NULL: refused */
};

/* clang-format off */
static const struct row rows[] = {
    {"plain", BYTES("allowed.test"), "allowed.test"},
    {"H-01", BYTES("allowed.test."), "allowed.test"},
    {"H-35 case", BYTES("ALLOWED.Test"), "allowed.test"},
    {"H-35 case and dot", BYTES("aLLoWeD.tEST."), "allowed.test"},
    {"H-03 two dots", BYTES("allowed.test.."), NULL},
    {"H-03 leading dot", BYTES(".allowed.test"), NULL},
    {"H-03 inner dots", BYTES("allowed..test"), NULL},
    {"H-03 dot", BYTES("."), NULL},
    {"H-03 dots", BYTES(".."), NULL},
    {"H-04 brackets", BYTES("[denied.test]"), NULL},
    {"H-06 NUL", BYTES("attacker.test\0.wild.test"), NULL},
    {"H-06 NUL at the end", BYTES("allowed.test\0"), NULL},
    {"H-07 %00", BYTES("attacker.test%00.wild.test"), NULL},
    {"H-07 %2e", BYTES("allowed%2etest"), NULL},
    {"H-07 %61", BYTES("%61llowed.test"), NULL},
    {"H-09", BYTES("a\r\nHost: b"), NULL},
    {"H-11", BYTES("allowed.test@denied.test"), NULL},
    {"H-11 leading", BYTES("@allowed.test"), NULL},
    {"H-12", BYTES("allowed.test/../denied.test"), NULL},
    {"H-13 #", BYTES("denied.test#.wild.test"), NULL},
    {"H-13 ?", BYTES("denied.test?.wild.test"), NULL},
    {"H-14", BYTES("denied.test\\.wild.test"), NULL},
    {"H-16 *.", BYTES("*.wild.test"), NULL},
    {"H-16 *", BYTES("*"), NULL},
    {"H-16 inner *", BYTES("a*b.wild.test"), NULL},
    {"H-16 quotes", BYTES("\"allowed.test\""), NULL},
    {"H-16 ;", BYTES("allowed.test;x"), NULL},
    {"H-16 backtick", BYTES("`id`.wild.test"), NULL},
    {"H-16 $", BYTES("$x.wild.test"), NULL},
    {"H-16 {", BYTES("{a}.wild.test"), NULL},
    {"H-18", BYTES(""), NULL},
    {"H-20 underscore", BYTES("foo_bar.wild.test"), "foo_bar.wild.test"},
    {"H-20 _dmarc", BYTES("_dmarc.wild.test"), "_dmarc.wild.test"},
    {"H-20 leading hyphen", BYTES("-a.wild.test"), NULL},
    {"H-20 trailing hyphen", BYTES("a-.wild.test"), NULL},
    {"H-20 last label", BYTES("wild.test-"), NULL},
    {"H-20 last label, dot", BYTES("wild.test-."), NULL},
    {"H-20 hyphens inside", BYTES("r3---sn.wild.test"), "r3---sn.wild.test"},
    {"H-21 UTF-8", BYTES("b\xc3\xbc" "cher.wild.test"), NULL},
    {"H-21 Latin-1", BYTES("b\xfc" "cher.wild.test"), NULL},
    {"H-21 overlong", BYTES("a\xc0\xae" "b.test"), NULL},
    {"H-21 0xff", BYTES("\xff"), NULL},
    {"H-22 U+3002", BYTES("denied\xe3\x80\x82test"), NULL},
    {"H-22 U+FF0E", BYTES("allowed\xef\xbc\x8etest"), NULL},
    {"H-22 U+FF61", BYTES("allowed\xef\xbd\xa1test"), NULL},
    {"H-22 enclosed", BYTES("\xe2\x93\x90llowed.test"), NULL},
    {"H-22 soft hyphen", BYTES("allo\xc2\xadwed.test"), NULL},
    {"H-22 sharp s", BYTES("stra\xc3\x9f" "e.test"), NULL},
    {"H-23", BYTES("xn--bcher-kva.wild.test"), "xn--bcher-kva.wild.test"},
    {"H-23 empty", BYTES("xn--.wild.test"), NULL}, /* ends with a hyphen */
    {"H-23 0x80", BYTES("xn--a\x80.wild.test"), NULL},
    {"H-23 nines", BYTES("xn--99999999999.wild.test"), "xn--99999999999.wild.test"},
    {"H-24 .1", BYTES("allowed.test.1"), NULL},
    {"H-24 .1.", BYTES("allowed.test.1."), NULL},
    {"H-24 .0x7f", BYTES("foo.0x7f"), NULL},
    {"H-24 .0X7F", BYTES("foo.0X7F"), NULL},
    {"H-24 .0x", BYTES("foo.0x"), NULL},
    {"H-24 1.2.3", BYTES("1.2.3"), NULL},
    {"H-24 1.2.3.4.5", BYTES("1.2.3.4.5"), NULL},
    {"H-24 .08", BYTES("wild.test.08"), NULL},
    {"H-24 not a number", BYTES("foo.0xg"), "foo.0xg"},
    {"H-24 not a number", BYTES("foo.1a"), "foo.1a"},
    {"H-24 not a number", BYTES("foo.x7f"), "foo.x7f"},
    {"H-24 0x in front", BYTES("0x7f.test"), "0x7f.test"},
    {"H-25", BYTES("localhost"), "localhost"},
    {"H-26", BYTES("intranet"), "intranet"},
    {"H-34", BYTES("denied.test:443.wild.test"), NULL},
    {"A-02 dword", BYTES("2130706433"), NULL},
    {"A-02 hex", BYTES("0x7f000001"), NULL},
    {"A-02 hex quad", BYTES("0xA9.0xFE.0xA9.0xFE"), NULL},
    {"A-02 octal", BYTES("017700000001"), NULL},
    {"A-02 0o", BYTES("0o177.0.0.1"), NULL},
    {"A-03 quad", BYTES("127.0.0.1"), NULL},
    {"A-03 quad with dot", BYTES("127.0.0.1."), NULL},
    {"A-03 short", BYTES("127.1."), NULL},
    {"A-03 zero", BYTES("0"), NULL},
    {"A-04", BYTES("0x41414141A9FEA9FE"), NULL},
    {"A-05", BYTES("\xe2\x91\xa0.\xe2\x93\xaa.test"), NULL},
    {"A-26", BYTES("169.254.169.254.wild.test"), "169.254.169.254.wild.test"},
    {"X-02", BYTES("::ffff:7f00:1"), NULL},
    {"label 63", BYTES(L63 ".test"), L63 ".test"},
    {"label 64", BYTES(L63 "l.test"), NULL},
    {"253", BYTES(L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi"),
     L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi"},
    {"253 and dot", BYTES(L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi."),
     L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi"},
    {"254", BYTES(L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghij"), NULL},
};
/* clang-format on */

static void reads_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hostname name;
        memset(&name, 0x55, sizeof name);
        enum err err = hostname_parse(rows[i].raw, &name);
        if (rows[i].canonical == NULL) {
            if (err != ERR_INVALID || name.len != 0x55 || name.bytes[0] != 0x55)
                fail_msg("%s, row %zu: not refused, or output touched", rows[i].id, i);
            continue;
        }
        if (err != ERR_NONE || !span_is(hostname_span(&name), rows[i].canonical) || name.bytes[name.len] != '\0')
            fail_msg("%s, row %zu: refused or another name", rows[i].id, i);
    }
}

/* H-08: and every other byte that may not stand in a name, in three places of it. */
static void refuses_every_other_byte(void **state)
{
    (void)state;
    unsigned accepted = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        char start[] = "?llowed.test";
        char middle[] = "all?wed.test";
        char end[] = "allowed.tes?";
        start[0] = middle[3] = end[11] = (char)byte;
        struct hostname name;
        unsigned here = 0;
        here += hostname_parse(span_make(start, 12), &name) == ERR_NONE;
        here += hostname_parse(span_make(middle, 12), &name) == ERR_NONE;
        here += hostname_parse(span_make(end, 12), &name) == ERR_NONE;
        bool alnum = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
        unsigned want = alnum || byte == '_' ? 3 : byte == '-' ? 1 : byte == '.' ? 2 : 0;
        if (here != want)
            fail_msg("byte 0x%02x: accepted in %u places, want %u", byte, here, want);
        accepted += here;
    }
    assert_int_equal(accepted, 63 * 3 + 1 + 2);
}

static struct hostname parsed(const char *text)
{
    struct hostname name;
    assert_int_equal(hostname_parse(span_text(text), &name), ERR_NONE);
    return name;
}

static void equality_is_of_the_canonical_form(void **state)
{
    (void)state;
    struct hostname a = parsed("Allowed.TEST.");
    struct hostname b = parsed("allowed.test");
    struct hostname c = parsed("allowed.tes");
    assert_true(hostname_equal(&a, &b));
    assert_memory_equal(&a, &b, sizeof a);
    assert_false(hostname_equal(&b, &c));
}

static void below_is_by_whole_labels(void **state)
{
    (void)state;
    struct span wild = span_text("wild.test");
    struct hostname name = parsed("a.wild.test");
    assert_true(hostname_is_below(&name, wild));
    name = parsed("a.b.c.wild.test"); /* W-04 */
    assert_true(hostname_is_below(&name, wild));
    name = parsed("wild.test"); /* W-02 */
    assert_false(hostname_is_below(&name, wild));
    name = parsed("evilwild.test"); /* W-01 */
    assert_false(hostname_is_below(&name, wild));
    name = parsed("wild.test.attacker.test");
    assert_false(hostname_is_below(&name, wild));
    name = parsed("d.test");
    assert_false(hostname_is_below(&name, wild));
    assert_false(hostname_is_below(&name, span_text("")));
    /* 46 bytes, the code of a dot: a read in front of the bytes would find one in the length. */
    name = parsed("abcdefghijklmnopqrstuvwxyzabcdefghijklmno.test");
    assert_int_equal(name.len, '.');
    assert_false(hostname_is_below(&name, hostname_span(&name)));
}

static void parses_in_place(void **state)
{
    (void)state;
    struct hostname name = parsed("allowed.test");
    assert_int_equal(hostname_parse(hostname_span(&name), &name), ERR_NONE);
    assert_string_equal(name.bytes, "allowed.test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rows),
        cmocka_unit_test(refuses_every_other_byte),
        cmocka_unit_test(equality_is_of_the_canonical_form),
        cmocka_unit_test(below_is_by_whole_labels),
        cmocka_unit_test(parses_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
