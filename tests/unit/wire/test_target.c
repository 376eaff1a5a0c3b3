/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/target.h"

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                                \
    }

struct row {
    const char *id;
    struct span raw;
    const char *canonical; /* NULL: refused */
};

/* clang-format off */
static const struct row authorities[] = {
    {"plain", BYTES("allowed.test:443"), "allowed.test:443"},
    {"H-01", BYTES("Allowed.Test.:443"), "allowed.test:443"},
    {"H-03", BYTES("allowed.test..:443"), NULL},
    {"H-03", BYTES(".:443"), NULL},
    {"H-04 name in brackets", BYTES("[denied.test]:443"), NULL},
    {"H-04 twice", BYTES("[[denied.test]]:443"), NULL},
    {"H-04 address twice", BYTES("[[::1]]:443"), NULL},
    {"IPv4 in brackets", BYTES("[11.22.33.44]:443"), NULL},
    {"bracket left open", BYTES("[::1:443"), NULL},
    {"empty brackets", BYTES("[]:443"), NULL},
    {"text behind the bracket", BYTES("[::1]x:443"), NULL},
    {"zone", BYTES("[fe80::1%25lo]:443"), NULL},
    {"H-11", BYTES("u:p@allowed.test:443"), NULL},
    {"H-11", BYTES("denied.test:443@allowed.test:443"), NULL},
    {"H-11", BYTES("allowed.test@denied.test:443"), NULL},
    {"H-12", BYTES("allowed.test:443/"), NULL},
    {"H-12", BYTES("allowed.test:443/x"), NULL},
    {"H-17", BYTES("https://allowed.test:443"), NULL},
    {"H-17", BYTES("http://allowed.test:443"), NULL},
    {"H-17", BYTES("/"), NULL},
    {"H-17", BYTES("*"), NULL},
    {"H-18", BYTES(":443"), NULL},
    {"H-18", BYTES(":"), NULL},
    {"empty", BYTES(""), NULL},
    {"H-34", BYTES("denied.test:443.wild.test:443"), NULL},
    {"H-34", BYTES("allowed.test:443:denied.test:443"), NULL},
    {"P-01", BYTES("allowed.test"), NULL},
    {"P-01", BYTES("allowed.test:"), NULL},
    {"P-02", BYTES("allowed.test:65535"), "allowed.test:65535"},
    {"P-02", BYTES("allowed.test:65536"), NULL},
    {"P-02", BYTES("allowed.test:65979"), NULL},
    {"P-02", BYTES("allowed.test:4294967739"), NULL},
    {"P-02", BYTES("allowed.test:18446744073709552059"), NULL},
    {"P-02 many digits", BYTES("allowed.test:4444444444444444444444444444444444444444444444444444444444444443"), NULL},
    {"P-03", BYTES("allowed.test:0443"), NULL},
    {"P-03", BYTES("allowed.test:00000443"), NULL},
    {"P-03", BYTES("allowed.test:+443"), NULL},
    {"P-03", BYTES("allowed.test:-443"), NULL},
    {"P-03", BYTES("allowed.test: 443"), NULL},
    {"P-03", BYTES("allowed.test:443\t"), NULL},
    {"P-03", BYTES("allowed.test:0x1bb"), NULL},
    {"P-03", BYTES("allowed.test:4_43"), NULL},
    {"P-03", BYTES("allowed.test:https"), NULL},
    {"P-03", BYTES("allowed.test:\xef\xbc\x94\xef\xbc\x94\xef\xbc\x93"), NULL},
    {"P-03", BYTES("allowed.test:443.0"), NULL},
    {"P-04", BYTES("allowed.test:0"), NULL},
    {"P-05", BYTES("allowed.test:443:80"), NULL},
    {"P-05", BYTES("[2001:db8:1::5]:443:80"), NULL},
    {"A-01", BYTES("11.22.33.44:443"), "11.22.33.44:443"},
    {"A-02", BYTES("0177.0.0.1:443"), NULL},
    {"A-03", BYTES("127.0.0.1.:443"), NULL},
    {"A-03", BYTES("127.1:443"), NULL},
    {"A-05", BYTES("127\xe3\x80\x82" "0.0.1:443"), NULL},
    {"A-07", BYTES("[::127.0.0.1]:443"), "[::127.0.0.1]:443"},
    {"A-07", BYTES("[::ffff:0:127.0.0.1]:443"), "[::ffff:0:7f00:1]:443"},
    {"A-08", BYTES("11.22.33.044:443"), NULL},
    {"A-08", BYTES("185999660:443"), NULL},
    {"A-08", BYTES("[::ffff:11.22.33.44]:443"), "[::ffff:11.22.33.44]:443"},
    {"IPv6", BYTES("[2001:db8:1::5]:443"), "[2001:db8:1::5]:443"},
    {"IPv6 upper case", BYTES("[2001:DB8:1::5]:443"), NULL},
    {"IPv6 without brackets", BYTES("::1:443"), NULL},
    {"NUL", BYTES("allowed.test\0:443"), NULL},
};

struct absolute_row {
    const char *id;
    struct span raw;
    const char *canonical;
    const char *path;
};

static const struct absolute_row absolutes[] = {
    {"plain", BYTES("http://allowed.test/"), "allowed.test:80", "/"},
    {"port", BYTES("http://allowed.test:8080/a/b?c=d"), "allowed.test:8080", "/a/b?c=d"},
    {"no path", BYTES("http://allowed.test"), "allowed.test:80", ""},
    {"H-13 query without path", BYTES("http://allowed.test?x=http://denied.test/"), "allowed.test:80",
     "?x=http://denied.test/"},
    {"H-28 case", BYTES("HTTP://Allowed.Test/"), "allowed.test:80", "/"},
    {"@ in the path", BYTES("http://allowed.test/@scope/p"), "allowed.test:80", "/@scope/p"},
    {"IPv6", BYTES("http://[2001:db8:1::5]:81/"), "[2001:db8:1::5]:81", "/"},
    {"H-11", BYTES("http://allowed.test@denied.test/"), NULL, NULL},
    {"H-11", BYTES("http://a@b@allowed.test/"), NULL, NULL},
    {"H-13", BYTES("http://denied.test#@allowed.test/"), NULL, NULL},
    {"fragment", BYTES("http://allowed.test/a#b"), NULL, NULL},
    {"H-14", BYTES("http://denied.test\\@allowed.test/"), NULL, NULL},
    {"H-14", BYTES("http:\\\\allowed.test\\"), NULL, NULL},
    {"H-18", BYTES("http:///x"), NULL, NULL},
    {"H-18", BYTES("http://:80/"), NULL, NULL},
    {"H-27", BYTES("http:allowed.test/"), NULL, NULL},
    {"H-27", BYTES("http:/allowed.test/"), NULL, NULL},
    {"H-27", BYTES("//allowed.test/"), NULL, NULL},
    {"H-27", BYTES("allowed.test/"), NULL, NULL},
    {"H-27", BYTES("admin"), NULL, NULL},
    {"H-27", BYTES("*"), NULL, NULL},
    {"H-27", BYTES("http://"), NULL, NULL},
    {"H-28", BYTES("ftp://allowed.test/"), NULL, NULL},
    {"H-28", BYTES("urn:x"), NULL, NULL},
    {"H-28", BYTES("file:///etc/passwd"), NULL, NULL},
    {"H-28", BYTES("ws://allowed.test/"), NULL, NULL},
    {"H-28", BYTES("https://allowed.test/"), NULL, NULL},
    {"H-28", BYTES("javascript:alert(1)"), NULL, NULL},
    {"empty port", BYTES("http://allowed.test:/"), NULL, NULL},
    {"P-04", BYTES("http://allowed.test:0/"), NULL, NULL},
    {"empty", BYTES(""), NULL, NULL},
};

struct host_row {
    struct span raw;
    const char *canonical; /* with default port 80 */
    bool has_port;
};

static const struct host_row hosts[] = {
    {BYTES("allowed.test"), "allowed.test:80", false},
    {BYTES("ALLOWED.test."), "allowed.test:80", false},
    {BYTES("allowed.test:80"), "allowed.test:80", true},
    {BYTES("allowed.test:81"), "allowed.test:81", true},
    {BYTES("[::1]"), "[::1]:80", false},
    {BYTES("[::1]:443"), "[::1]:443", true},
    {BYTES("11.22.33.44"), "11.22.33.44:80", false},
    {BYTES("allowed.test:"), NULL, false},
    {BYTES(""), NULL, false},
    {BYTES("::1"), NULL, false},
    {BYTES("u@allowed.test"), NULL, false},
    {BYTES("allowed.test/x"), NULL, false},
    {BYTES("allowed.test, denied.test"), NULL, false},
};
/* clang-format on */

static void check(const char *id, enum err err, const struct target *t, const char *canonical)
{
    char text[TARGET_TEXT_MAX];
    if ((err == ERR_NONE) != (canonical != NULL))
        fail_msg("%s: err %s, want %s", id, err_text(err), canonical == NULL ? "a refusal" : canonical);
    if (canonical == NULL)
        return;
    assert_int_equal(target_format(t, text), strlen(canonical));
    assert_string_equal(text, canonical);
}

static void reads_authorities(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof authorities / sizeof authorities[0]; i++) {
        struct target t;
        memset(&t, 0x55, sizeof t);
        enum err err = target_parse_authority(authorities[i].raw, &t);
        check(authorities[i].id, err, &t, authorities[i].canonical);
        assert_true(err == ERR_NONE || t.port == 0x5555);
    }
}

static void reads_absolute_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof absolutes / sizeof absolutes[0]; i++) {
        struct target t;
        struct span path = span_text("untouched");
        memset(&t, 0x55, sizeof t);
        enum err err = target_parse_absolute(absolutes[i].raw, &t, &path);
        check(absolutes[i].id, err, &t, absolutes[i].canonical);
        if (!span_is(path, err == ERR_NONE ? absolutes[i].path : "untouched"))
            fail_msg("%s: another path", absolutes[i].id);
        assert_true(err == ERR_NONE || t.port == 0x5555);
    }
}

static void reads_hosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct target t;
        bool has_port = !hosts[i].has_port;
        enum err err = target_parse_host(hosts[i].raw, 80, &t, &has_port);
        check("host", err, &t, hosts[i].canonical);
        assert_true(has_port == (err == ERR_NONE ? hosts[i].has_port : !hosts[i].has_port));
    }
}

/* H-35: one value, whatever the spelling. */
static void spellings_are_one_value(void **state)
{
    (void)state;
    static const char *const same[] = {"allowed.test:443", "ALLOWED.TEST:443", "Allowed.Test.:443",
                                       "allowed.test.:443"};
    struct target first;
    assert_int_equal(target_parse_authority(span_text(same[0]), &first), ERR_NONE);
    for (size_t i = 1; i < sizeof same / sizeof same[0]; i++) {
        struct target t;
        assert_int_equal(target_parse_authority(span_text(same[i]), &t), ERR_NONE);
        assert_memory_equal(&t, &first, sizeof t);
        assert_true(target_same_host(&t, &first));
    }
}

static struct target parsed(const char *text)
{
    struct target t;
    assert_int_equal(target_parse_authority(span_text(text), &t), ERR_NONE);
    return t;
}

static void same_host_ignores_the_port(void **state)
{
    (void)state;
    struct target a = parsed("allowed.test:443");
    struct target b = parsed("allowed.test:80");
    struct target c = parsed("11.22.33.44:80");
    struct target d = parsed("[::ffff:11.22.33.44]:80");
    struct target none = {0};
    assert_true(target_same_host(&a, &b));
    assert_false(target_same_host(&a, &c));
    assert_false(target_same_host(&c, &d));
    assert_true(target_same_host(&c, &c));
    assert_false(target_same_host(&none, &none));
}

static void formats(void **state)
{
    (void)state;
    char text[TARGET_TEXT_MAX];
    struct target t = parsed("[2001:db8:1::5]:443");
    assert_int_equal(target_format_host(&t, text), 13);
    assert_string_equal(text, "2001:db8:1::5");
    t = parsed("a.test:1");
    assert_int_equal(target_format_host(&t, text), 6);
    assert_string_equal(text, "a.test");
    struct target none = {0};
    assert_int_equal(target_format(&none, text), 0);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_authorities),
        cmocka_unit_test(reads_absolute_forms),
        cmocka_unit_test(reads_hosts),
        cmocka_unit_test(spellings_are_one_value),
        cmocka_unit_test(same_host_ignores_the_port),
        cmocka_unit_test(formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
