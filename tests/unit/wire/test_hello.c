/* SPDX-License-Identifier: Apache-2.0 */
/* ClientHellos that are told from one another by what they say. Splits and sizes: test_hello_split.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../support/hello_build.h"
#include "wire/hello.h"

#include <stdlib.h>

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                                \
    }
#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

static const struct hello_limits limits = {.raw_bytes = 65536, .message_bytes = 16384};
static uint8_t scratch[HELLO_SCRATCH_BYTES];

/* An exact copy, so that a read behind the end shows. It is kept for the facts that borrow it. */
static enum feed feed(struct span raw, struct hello *out, enum reason *out_reason)
{
    static uint8_t *copy;
    free(copy);
    copy = malloc(raw.len == 0 ? 1 : raw.len);
    assert_non_null(copy);
    if (raw.len > 0)
        memcpy(copy, raw.data, raw.len);
    struct hello_parser parser = {0};
    *out_reason = REASON_NONE;
    return hello_feed(&parser, span_make(copy, raw.len), &limits, scratch, out, out_reason);
}

static enum reason verdict(struct span raw)
{
    struct hello hello;
    enum reason reason;
    enum feed result = feed(raw, &hello, &reason);
    assert_true(result != FEED_MORE);
    return result == FEED_DONE ? REASON_NONE : reason;
}

static enum reason verdict_of(const struct hello_build *spec)
{
    static uint8_t bytes[80000];
    return verdict(span_make(bytes, hello_build(spec, bytes, sizeof bytes)));
}

/* T-01 */
static void facts(void **state)
{
    (void)state;
    struct hello_build spec = {.sni = "ALLOWED.test", .alpn = "h2", .ech = true, .grease = true};
    uint8_t bytes[1024];
    size_t len = hello_build(&spec, bytes, sizeof bytes);
    bytes[len] = 0x14; /* the beginning of another record is none of ours */
    struct hello hello;
    enum reason reason;
    assert_int_equal(feed(span_make(bytes, len + 1), &hello, &reason), FEED_DONE);
    assert_int_equal(hello.sni, SNI_PRESENT);
    assert_string_equal(hello.name.bytes, "allowed.test");
    assert_true(hello.ech);
    assert_int_equal(hello.legacy_version, 0x0303);
    assert_int_equal(hello.highest_version, 0x0304);
    assert_true(span_is(hello.alpn, "\x02h2"));
    assert_int_equal(hello.raw_bytes, len);
    assert_int_equal(hello.message_bytes, len - 5);
}

static void facts_of_an_old_hello(void **state)
{
    (void)state;
    struct hello_build spec = {.sni = "allowed.test", .tls12 = true};
    uint8_t bytes[1024];
    struct hello hello;
    enum reason reason;
    assert_int_equal(feed(span_make(bytes, hello_build(&spec, bytes, sizeof bytes)), &hello, &reason), FEED_DONE);
    assert_int_equal(hello.highest_version, 0x0303);
    assert_false(hello.ech);
    assert_int_equal(hello.alpn.len, 0);
    spec = (struct hello_build){.no_extensions = true}; /* T-04 */
    assert_int_equal(feed(span_make(bytes, hello_build(&spec, bytes, sizeof bytes)), &hello, &reason), FEED_DONE);
    assert_int_equal(hello.sni, SNI_NONE);
    assert_int_equal(hello.name.len, 0);
    spec = (struct hello_build){.alpn = "http/1.1"}; /* T-04 */
    assert_int_equal(feed(span_make(bytes, hello_build(&spec, bytes, sizeof bytes)), &hello, &reason), FEED_DONE);
    assert_int_equal(hello.sni, SNI_NONE);
}

/* T-34: draft ESNI too */
static void draft_esni_is_ech(void **state)
{
    (void)state;
    struct hello_build spec = {.sni = "allowed.test", .extra = BYTES("\xff\xce\x00\x01x")};
    uint8_t bytes[1024];
    struct hello hello;
    enum reason reason;
    assert_int_equal(feed(span_make(bytes, hello_build(&spec, bytes, sizeof bytes)), &hello, &reason), FEED_DONE);
    assert_true(hello.ech);
    /* The numbers of later drafts, and their neighbours. */
    for (unsigned type = 0xfe00; type <= 0xffff; type++) {
        const uint8_t extension[] = {(uint8_t)(type >> 8), (uint8_t)type, 0, 1, 'x'};
        spec.extra = span_make(extension, sizeof extension);
        assert_int_equal(feed(span_make(bytes, hello_build(&spec, bytes, sizeof bytes)), &hello, &reason), FEED_DONE);
        assert_int_equal(hello.ech, (type >= 0xfe08 && type <= 0xfe0d) || type == 0xff02 || type == 0xffce);
    }
}

struct sni_row {
    const char *id;
    const char *sni;
    enum reason reason;
};

/* clang-format off */
static const struct sni_row names[] = {
    {"T-01", "allowed.test", REASON_NONE},
    {"T-10", "203.0.113.9", REASON_HELLO},
    {"T-10", "[::1]", REASON_HELLO},
    {"T-10", "::1", REASON_HELLO},
    {"T-10", "127.1", REASON_HELLO},
    {"T-10", "2130706433", REASON_HELLO},
    {"T-10", "0x7f000001", REASON_HELLO},
    {"T-11", "allowed.test.", REASON_HELLO},
    {"T-11", ".", REASON_HELLO},
    {"T-11", ".allowed.test", REASON_HELLO},
    {"T-11", "allowed..test", REASON_HELLO},
    {"T-11", "*.wild.test", REASON_HELLO},
    {"T-11 as H-20", "foo_bar.wild.test", REASON_NONE},
    {"T-11 hyphen", "-a.wild.test", REASON_HELLO},
    {"T-12 space", "allowed .test", REASON_HELLO},
    {"T-12 header", "allowed.test\nHost: x", REASON_HELLO},
    {"T-12 escape", "\x1b[2Jallowed.test", REASON_HELLO},
    {"T-12 UTF-8", "b\xc3\xbc" "cher.test", REASON_HELLO},
    {"T-12 port", "allowed.test:443", REASON_HELLO},
    {"T-13 label 63", L63 ".test", REASON_NONE},
    {"T-13 label 64", "x" L63 ".test", REASON_HELLO},
    {"T-13 name 253", L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi", REASON_NONE},
    {"T-13 name 254", L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghij", REASON_HELLO},
};

struct raw_row {
    const char *id;
    struct span data;
    enum reason reason;
};

/* Data of the server_name extension. */
static const struct raw_row server_names[] = {
    {"control", BYTES("\x00\x09\x00\x00\x06" "a.test"), REASON_NONE},
    {"T-05 list of 0", BYTES("\x00\x00"), REASON_HELLO},
    {"T-05 name of 0", BYTES("\x00\x03\x00\x00\x00"), REASON_HELLO},
    {"T-08 other type first", BYTES("\x00\x0d\x01\x00\x01" "x" "\x00\x00\x06" "a.test"), REASON_HELLO},
    {"T-08 other type behind", BYTES("\x00\x0d\x00\x00\x06" "a.test" "\x01\x00\x01" "x"), REASON_HELLO},
    {"T-08 other type alone", BYTES("\x00\x09\x01\x00\x06" "a.test"), REASON_HELLO},
    {"two names", BYTES("\x00\x12\x00\x00\x06" "a.test" "\x00\x00\x06" "b.test"), REASON_HELLO},
    {"T-09 name too long", BYTES("\x00\x09\x00\xff\xff" "a.test"), REASON_HELLO},
    {"T-09 list too long", BYTES("\x00\x0a\x00\x00\x06" "a.test"), REASON_HELLO},
    {"T-09 list too short", BYTES("\x00\x08\x00\x00\x06" "a.test"), REASON_HELLO},
    {"T-09 trailing byte", BYTES("\x00\x09\x00\x00\x06" "a.test" "x"), REASON_HELLO},
    {"T-09 half a length", BYTES("\x00"), REASON_HELLO},
    {"T-12 NUL", BYTES("\x00\x0b\x00\x00\x08" "a.test\0x"), REASON_HELLO},
    {"T-12 NUL at the end", BYTES("\x00\x0a\x00\x00\x07" "a.test\0"), REASON_HELLO},
};

/* Whole extensions beside a good SNI. */
static const struct raw_row extras[] = {
    {"control", BYTES("\x12\x34\x00\x00"), REASON_NONE},
    {"T-07 second server_name", BYTES("\x00\x00\x00\x0b\x00\x09\x00\x00\x06" "b.test"), REASON_HELLO},
    {"T-07 empty second server_name", BYTES("\x00\x00\x00\x00"), REASON_HELLO},
    {"T-07 unknown twice", BYTES("\x12\x34\x00\x00\x12\x34\x00\x00"), REASON_HELLO},
    {"T-07 versions twice", BYTES("\x00\x2b\x00\x03\x02\x03\x04"), REASON_HELLO},
    {"T-09 past the block", BYTES("\x12\x34\x00\x01"), REASON_HELLO},
    {"T-09 half a header", BYTES("\x12\x34\x00"), REASON_HELLO},
    {"T-37 ssh", BYTES("\x00\x10\x00\x06\x00\x04\x03ssh"), REASON_NONE},
    {"T-37 empty list", BYTES("\x00\x10\x00\x02\x00\x00"), REASON_HELLO},
    {"T-37 empty name", BYTES("\x00\x10\x00\x03\x00\x01\x00"), REASON_HELLO},
    {"T-37 name past the list", BYTES("\x00\x10\x00\x04\x00\x02\x05h"), REASON_HELLO},
    {"T-37 no list", BYTES("\x00\x10\x00\x00"), REASON_HELLO},
    {"T-24 GREASE", BYTES("\x0a\x0a\x00\x00\xda\xda\x00\x01\x00"), REASON_NONE},
    {"empty ECH", BYTES("\xfe\x0d\x00\x00"), REASON_NONE},
};
/* clang-format on */

static void checks_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct hello_build spec = {.sni = names[i].sni};
        if (verdict_of(&spec) != names[i].reason)
            fail_msg("%s: '%s'", names[i].id, names[i].sni);
    }
}

static void checks_server_name_lengths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof server_names / sizeof server_names[0]; i++) {
        struct hello_build spec = {.server_name = server_names[i].data};
        if (verdict_of(&spec) != server_names[i].reason)
            fail_msg("%s", server_names[i].id);
    }
    struct hello_build empty = {.extra = BYTES("\x00\x00\x00\x00")}; /* T-05: extension of length 0 */
    assert_int_equal(verdict_of(&empty), REASON_HELLO);
}

static void checks_extensions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof extras / sizeof extras[0]; i++) {
        struct hello_build spec = {.sni = "allowed.test", .extra = extras[i].data};
        if (verdict_of(&spec) != extras[i].reason)
            fail_msg("%s", extras[i].id);
    }
    struct hello_build versions = {.sni = "a.test", .tls12 = true, .extra = BYTES("\x00\x2b\x00\x04\x03\x03\x04\x03")};
    assert_int_equal(verdict_of(&versions), REASON_HELLO); /* odd list */
    versions.extra = span_make("\x00\x2b\x00\x01\x00", 5);
    assert_int_equal(verdict_of(&versions), REASON_HELLO); /* empty list */
}

/* T-09 in the fixed part: one byte of a good hello changed at a time. */
static void checks_the_fixed_part(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        size_t at; /* in the record */
        uint8_t value;
        enum reason reason;
    } cases[] = {
        {"legacy version 2.x",        9,  2,    REASON_HELLO  },
        {"legacy version 3.0",        10, 0,    REASON_NONE   },
        {"session id 33",             43, 33,   REASON_HELLO  },
        {"session id 255",            43, 255,  REASON_HELLO  },
        {"odd ciphers",               77, 5,    REASON_HELLO  },
        {"ciphers past the end",      76, 0xff, REASON_HELLO  },
        {"no compression",            84, 0,    REASON_HELLO  },
        {"compressions past the end", 84, 0xff, REASON_HELLO  },
        {"block short",               87, 3,    REASON_HELLO  },
        {"block long",                86, 1,    REASON_HELLO  },
        {"message short",             8,  60,   REASON_HELLO  },
        {"record version 3.0",        2,  0,    REASON_NONE   },
        {"record version 3.4",        2,  4,    REASON_NONE   },
        {"record version 2.x",        1,  2,    REASON_NOT_TLS},
        {"T-26 HelloRequest",         5,  0,    REASON_HELLO  },
        {"T-26 ServerHello",          5,  2,    REASON_HELLO  },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hello_build spec = {.sni = "allowed.test"};
        uint8_t bytes[512];
        size_t len = hello_build(&spec, bytes, sizeof bytes);
        bytes[cases[i].at] = cases[i].value;
        if (verdict(span_make(bytes, len)) != cases[i].reason)
            fail_msg("%s", cases[i].id);
    }
}

/* A message whose lengths all agree, so that only the rule on one of them can refuse it. */
static enum reason consistent(size_t session, size_t ciphers, size_t compressions)
{
    uint8_t message[512] = {1, 0, 0, (uint8_t)(38 + session + ciphers + compressions), 3, 3};
    uint8_t record[512];
    size_t at = 4 + 2 + 32;
    message[at] = (uint8_t)session;
    at += 1 + session;
    message[at + 1] = (uint8_t)ciphers;
    at += 2 + ciphers;
    message[at] = (uint8_t)compressions;
    at += 1 + compressions;
    return verdict(span_make(record, hello_build_record(22, span_make(message, at), record, sizeof record)));
}

/* T-09 */
static void checks_counts_of_the_fixed_part(void **state)
{
    (void)state;
    assert_int_equal(consistent(0, 2, 1), REASON_NONE);
    assert_int_equal(consistent(32, 4, 2), REASON_NONE);
    assert_int_equal(consistent(33, 4, 1), REASON_HELLO);
    assert_int_equal(consistent(32, 5, 1), REASON_HELLO);
    assert_int_equal(consistent(32, 0, 1), REASON_HELLO);
    assert_int_equal(consistent(32, 4, 0), REASON_HELLO);
}

/* Every byte of the message's structure raised or lowered by one must never be read past the end. */
static void survives_every_changed_byte(void **state)
{
    (void)state;
    struct hello_build spec = {.sni = "allowed.test", .alpn = "h2", .ech = true, .grease = true};
    uint8_t bytes[512];
    size_t len = hello_build(&spec, bytes, sizeof bytes);
    unsigned refused = 0;
    for (size_t i = 0; i < len; i++)
        for (int change = -1; change <= 1; change += 2) {
            uint8_t before = bytes[i];
            bytes[i] = (uint8_t)(before + change);
            struct hello hello;
            enum reason reason;
            refused += feed(span_make(bytes, len), &hello, &reason) == FEED_BAD;
            bytes[i] = before;
        }
    assert_true(refused > 40);
    assert_int_equal(verdict(span_make(bytes, len)), REASON_NONE);
}

static void what_is_not_tls(void **state)
{
    (void)state;
    static const struct raw_row rows[] = {
        {"T-23 SSLv2",              BYTES("\x80\x2e\x01\x03\x01\x00"),     REASON_NOT_TLS},
        {"T-25 alert",              BYTES("\x15\x03\x01\x00\x02\x02\x28"), REASON_NOT_TLS},
        {"T-25 change_cipher_spec", BYTES("\x14\x03\x03\x00\x01\x01"),     REASON_NOT_TLS},
        {"T-25 application data",   BYTES("\x17\x03\x03\x00\x01\x01"),     REASON_NOT_TLS},
        {"T-25 heartbeat",          BYTES("\x18\x03\x03\x00\x01\x01"),     REASON_NOT_TLS},
        {"T-27 SSH",                BYTES("SSH-2.0-OpenSSH\r\n"),          REASON_NOT_TLS},
        {"T-27 HTTP",               BYTES("GET / HTTP/1.1\r\n"),           REASON_NOT_TLS},
        {"T-27 HTTP/2",             BYTES("PRI * HTTP/2.0\r\n"),           REASON_NOT_TLS},
        {"T-27 SMTP",               BYTES("EHLO x\r\n"),                   REASON_NOT_TLS},
        {"T-27 SOCKS",              BYTES("\x05\x01\x00"),                 REASON_NOT_TLS},
        {"T-27 DTLS",               BYTES("\x16\xfe\xff\x00\x00"),         REASON_NOT_TLS},
        {"T-27 one byte",           BYTES("S"),                            REASON_NOT_TLS},
        {"T-18 empty first",        BYTES("\x16\x03\x01\x00\x00"),         REASON_HELLO  },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (verdict(rows[i].data) != rows[i].reason)
            fail_msg("%s", rows[i].id);
    struct hello hello;
    enum reason reason;
    assert_int_equal(feed(span_make("\x16", 1), &hello, &reason), FEED_MORE);
    assert_int_equal(feed(span_make("", 0), &hello, &reason), FEED_MORE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts),
        cmocka_unit_test(facts_of_an_old_hello),
        cmocka_unit_test(draft_esni_is_ech),
        cmocka_unit_test(checks_names),
        cmocka_unit_test(checks_server_name_lengths),
        cmocka_unit_test(checks_extensions),
        cmocka_unit_test(checks_the_fixed_part),
        cmocka_unit_test(checks_counts_of_the_fixed_part),
        cmocka_unit_test(survives_every_changed_byte),
        cmocka_unit_test(what_is_not_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
