/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that must not load: each row is one fault, with its code and the line where it is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cases.h"

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YAML_TEST_KEYS 300

#define REFUSE_ALL(rows) case_faults((rows), sizeof(rows) / sizeof(rows)[0])
#define FREE(keys)       "name: e\nconfig: {networking: {type: unrestricted}}\negress:\n  " keys "\n"

/* ---- YAML as a token stream ---- */

static void test_yaml(void **state)
{
    (void)state;
    static const struct policy_fault rows[] = {
  /* clang-format off */
        {"", "empty", 0},
        {"# nothing\n", "empty", 0},
        {"name: &a e\n", "anchor", 1},
        {"name: e\nx: [&a [1], *a]\n", "anchor", 2},
        {"name: e\nx: *a\n", "alias", 2},
        {"a: &x [1]\nb: [*x, *x]\n", "anchor", 1},
        {"name: e\n<<: {a: 1}\n", "merge_key", 2},
        {"name: !!str e\n", "tag", 1},
        {"name: e\nx: !!python/object a\n", "tag", 2},
        {"x: !!binary aGk=\n", "tag", 1},
        {"x: !!int \"443\"\n", "tag", 1},
        {"x: !own [1]\n", "tag", 1},
        {"%YAML 1.1\n---\nname: e\n", "directive", 1},
        {"%YAML 3.0\n---\nname: e\n", "syntax", 0},
        {"%TAG ! tag:x,2000:\n---\nname: e\n", "directive", 1},
        {"name: e\n---\nname: f\n", "second_document", 2},
        {"name: e\nname: f\n", "duplicate_key", 2},
        {"name: e\n\"name\": f\n", "duplicate_key", 2},
        {"name: e\n\"n\\x61me\": f\n", "duplicate_key", 2},
        {"\xef\xbb\xbfname: e\n", "encoding", 1},
        {"name: \xff\n", "encoding", 1},
        {"name: e\nx: \xc0\xae\n", "encoding", 2},
        {"name: \xed\xa0\x80\n", "encoding", 1},
        {"name: e\nx: \x01\n", "encoding", 2},
        {"name: e\nx: \x7f\n", "encoding", 2},
        {"name: e\nx: \xc2\x85y\n", "encoding", 2},
        {"name: e\nx: a\rb: c\n", "encoding", 2},
        {"name: \"a\\x00b\"\n", "control_character", 1},
        {"name: \"a\\e[0m\"\n", "control_character", 1},
        {"name: e\nconfig:\n\tnetworking: {}\n", "syntax", 3},
        {"name: [e\n", "syntax", 0},
        {"name: \"e\n", "syntax", 0},
        {"? [a, b]\n: c\n", "key", 0},
        {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n", "depth", 1},
        {"a:\n b:\n  c:\n   d:\n    e:\n     f:\n      g:\n       h:\n        i:\n         j:\n"
         "          k:\n           l:\n            m:\n             n:\n              o:\n               p:\n"
         "                q: 1\n",
         "depth", 17},
        {"x\n", "wrong_type", 1},
        {"- x\n", "wrong_type", 1},
  /* clang-format on */
    };
    REFUSE_ALL(rows);
}

/* A hundred thousand open brackets: refused at the seventeenth, in constant stack. */
static void test_bombs(void **state)
{
    (void)state;
    size_t len = 100000;
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, '[', len);
    text[len] = '\0';
    case_fault(text, "depth", 1);
    for (size_t i = 0; i + 4 <= len; i += 4)
        memcpy(text + i, "{a: ", 4);
    case_fault(text, "depth", 1);
    free(text);
    char keys[YAML_TEST_KEYS * 8 + 64];
    int at = 0;
    for (int i = 0; i < YAML_TEST_KEYS; i++)
        at += snprintf(keys + at, sizeof keys - (size_t)at, "k%d: 1\n", i);
    case_fault(keys, "too_many_keys", 257);
    len = (1u << 20) + 1;
    text = malloc(len + 1);
    assert_non_null(text);
    memset(text, '#', len);
    text[len] = '\0';
    case_fault(text, "too_big", 0);
    free(text);
}

/* ---- the frame ---- */

static void test_frame(void **state)
{
    (void)state;
    static const struct policy_fault rows[] = {
  /* clang-format off */
        {"config: {networking: {type: limited}}\n", "missing_key", 0},
        {"name: e\n", "networking_type", 0},
        {"name: e\nconfig: {type: cloud}\n", "networking_type", 0},
        {"name: e\nconfig: {type: self_hosted}\n", "networking_type", 0},
        {"name: e\nconfig: {networking: {}}\n", "networking_type", 2},
        {"name: e\nconfig:\n  networking:\n", "null", 3},
        {"name: e\nconfig: {networking: {type: null}}\n", "null", 2},
        {"name: e\nconfig: {networking: {type: open}}\n", "wrong_type", 2},
        {"name: e\nconfig: {networking: {type: Limited}}\n", "wrong_type", 2},
        {"name: e\nconfig: {networking: [limited]}\n", "wrong_type", 2},
        {"name: e\nconfig: {type: moon, networking: {type: limited}}\n", "wrong_type", 2},
        {"name: -\nconfig: {networking: {type: limited}}\n", "", 0},
        {"name: \"-\"\nconfig: {networking: {type: limited}}\n", "name", 1},
        {"name: \"\"\nconfig: {networking: {type: limited}}\n", "name", 1},
        {"name: 12\nconfig: {networking: {type: limited}}\n", "wrong_type", 1},
        {"name: no\nconfig: {networking: {type: limited}}\n", "wrong_type", 1},
        {"name: e\nconfig: {networking: {type: limited, alowed_hosts: []}}\n", "unknown_key", 2},
        {"name: e\nconfig: {networking: {type: limited, denied_hosts: []}}\n", "unknown_key", 2},
        {"name: e\nconfig: {networking: {type: limited}}\negress: {hots: []}\n", "unknown_key", 3},
        {"name: e\nconfig: {networking: {type: limited}}\negress:\n", "null", 3},
        {"name: e\nconfig: {networking: {type: limited}}\negress: []\n", "wrong_type", 3},
        {"name: e\nconfig: {networking: {type: unrestricted, allowed_hosts: [a.test]}}\n", "unrestricted", 2},
        {"name: e\nconfig: {networking: {type: unrestricted, allowed_hosts: []}}\n", "unrestricted", 2},
        {"name: e\nconfig: {networking: {type: unrestricted, allow_mcp_servers: false}}\n", "unrestricted", 2},
        {"name: e\nconfig: {networking: {type: unrestricted, allow_package_managers: true}}\n", "unrestricted", 2},
        {"name: e\nconfig:\n  networking: {type: limited}\n  packages: {pip: [x]}\n", "packages", 4},
        {FREE("host_patterns: {allow: [a]}"), "unrestricted", 4},
        {FREE("allowed_host_files: [x]"), "unrestricted", 4},
  /* clang-format on */
    };
    /* the seventh row from here on: a lone '-' is a list to YAML */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct diag diag;
        if (rows[i].code[0] != '\0') {
            case_fault(rows[i].text, rows[i].code, rows[i].line);
            continue;
        }
        case_refuse(rows[i].text, &diag);
        diag_clear(&diag);
    }
}

static void test_booleans(void **state)
{
    (void)state;
    static const char *const words[] = {"on",       "off", "yes", "no",   "True",   "TRUE",
                                        "\"true\"", "1",   "~",   "null", "[true]", "y"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "name: e\nconfig:\n  networking: {type: limited, allow_mcp_servers: %s}\n",
                 words[i]);
        case_fault(text, i == 8 || i == 9 ? "null" : "wrong_type", 3);
    }
    case_fault("name: e\nconfig:\n  networking: {type: limited, allow_mcp_servers: }\n", "null", 3);
}

/* Two hundred and fifty-five groups, and a pattern of 64 kB. */
static void test_big_patterns(void **state)
{
    (void)state;
    size_t len = 64 * 1024;
    char *text = malloc(len + 256);
    assert_non_null(text);
    int at =
        snprintf(text, 256, "name: e\nconfig: {networking: {type: limited}}\negress:\n  host_patterns: {allow: ['");
    memset(text + at, 'a', len);
    memcpy(text + at + len, "']}\n", 5);
    case_fault(text, "pattern", 4);
    memset(text + at, '(', 255);
    memset(text + at + 255, 'a', 1);
    memset(text + at + 256, ')', 255);
    memcpy(text + at + 511, "']}\n", 5);
    case_fault(text, "pattern", 4);
    free(text);
}

/* One fault does not hide the others, and each has a place and a fix. */
static void test_many(void **state)
{
    (void)state;
    struct diag diag;
    case_refuse("name: e\n"
                "config:\n"
                "  networking:\n"
                "    type: limited\n"
                "    alow_mcp_servers: true\n"
                "    allowed_hosts: [ok.test, no, \"*.com\"]\n"
                "egress:\n"
                "  ports: {connect: [0443]}\n"
                "  limits: {idel: 5s}\n"
                "  blocked_port: [25]\n",
                &diag);
    assert_int_equal(diag.errors, 6);
    assert_true(case_found(&diag, "unknown_key", 5) && case_found(&diag, "wrong_type", 6) &&
                case_found(&diag, "public_suffix", 6));
    assert_true(case_found(&diag, "wrong_type", 8) && case_found(&diag, "unknown_key", 9) &&
                case_found(&diag, "unknown_key", 10));
    for (size_t i = 0; i < diag.count; i++) {
        assert_string_equal(diag.items[i].file, "case.yaml");
        assert_true(diag.items[i].column > 0);
        assert_true(diag.items[i].fix[0] != '\0');
        if (diag.items[i].line == 5)
            assert_string_equal(diag.items[i].fix, "did you mean 'allow_mcp_servers'?");
        if (diag.items[i].line == 9)
            assert_string_equal(diag.items[i].fix, "did you mean 'idle'?");
        if (diag.items[i].line == 10)
            assert_string_equal(diag.items[i].fix, "did you mean 'blocked_ports'?");
        if (diag.items[i].line == 10)
            assert_int_equal(diag.items[i].column, 3);
    }
    diag_clear(&diag);
}

/* More findings than are kept are counted. */
static void test_flood(void **state)
{
    (void)state;
    struct diag diag;
    char text[16384];
    int at = snprintf(text, sizeof text, "name: e\nconfig:\n  networking:\n    type: limited\n    allowed_hosts:\n");
    for (int i = 0; i < 500; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "    - \"a b%d\"\n", i);
    case_refuse(text, &diag);
    assert_int_equal(diag.count, DIAG_MAX);
    assert_int_equal(diag.errors, 500);
    diag_clear(&diag);
}

/* Printable text is looked at eight bytes at a time: a byte that may not stand in a policy is found wherever it lies. */
static void test_each_byte(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool may_stand = byte == '\t' || byte == '\n' || (byte >= 0x20 && byte < 0x7f);
        for (unsigned at = 0; at < 17; at++) {
            char text[] = "# 0123456789abcdefgh\nname: e\nconfig: {networking: {type: limited}}\n#";
            struct policy *policy = NULL;
            struct diag diag;
            diag_init(&diag);
            text[2 + at] = (char)byte;
            if (byte == '\n')
                text[3 + at] = '#'; /* what follows is the next line */
            enum err err =
                policy_load_text("e.yaml", span_make(text, sizeof text - 1), span_make(NULL, 0), &diag, &policy);
            assert_int_equal(err, may_stand ? ERR_NONE : ERR_INVALID);
            if (!may_stand) {
                assert_string_equal(diag.items[0].code, "encoding");
                assert_int_equal(diag.items[0].line, 1);
                assert_int_equal(diag.items[0].column, 3 + at);
            }
            policy_unref(policy);
            diag_clear(&diag);
        }
    }
}

/* What a file says stands in a message escaped: no line of a report can be forged. */
static void test_escaping(void **state)
{
    (void)state;
    struct diag diag;
    case_refuse("name: e\nconfig: {networking: {type: limited, allowed_hosts: [\"a\\nb\"]}}\n", &diag);
    for (size_t i = 0; i < diag.count; i++) {
        assert_null(strchr(diag.items[i].message, '\n'));
        assert_non_null(strstr(diag.items[i].message, "a\\x0ab"));
    }
    diag_clear(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml),     cmocka_unit_test(test_bombs),        cmocka_unit_test(test_frame),
        cmocka_unit_test(test_booleans), cmocka_unit_test(test_big_patterns), cmocka_unit_test(test_many),
        cmocka_unit_test(test_flood),    cmocka_unit_test(test_escaping),     cmocka_unit_test(test_each_byte),
    };
    return cmocka_run_group_tests_name("policy: what does not load", tests, NULL, NULL);
}
