/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/request.h"

#include <stdio.h>
#include <stdlib.h>

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                                \
    }
#define REST "\r\nHost: allowed.test\r\n\r\n"

static const struct request_limits limits = {.head_bytes = 65536, .target_bytes = 8192, .header_lines = 100};

struct row {
    const char *id;
    struct span raw;
    enum feed feed;
    enum reason reason; /* when FEED_BAD */
    const char *target; /* canonical, when there is one */
};

/* A CONNECT whose Host is right, so that only the target can be wrong. */
#define CONNECT_TO(target) BYTES("CONNECT " target " HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n")
#define TARGET_BAD         FEED_BAD, REASON_TARGET, NULL
#define SYNTAX_BAD         FEED_BAD, REASON_MALFORMED, NULL
#define FIELD_BAD          FEED_BAD, REASON_MALFORMED, "allowed.test:80"
#define GET_FIELD(field)   BYTES("GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n" field "\r\n\r\n")
#define GET_HOST(field)    BYTES("GET http://allowed.test/ HTTP/1.1\r\n" field "\r\n\r\n")

/* clang-format off */
static const struct row rows[] = {
    {"H-01", CONNECT_TO("allowed.test.:443"), FEED_DONE, REASON_NONE, "allowed.test:443"},
    {"H-03", CONNECT_TO("allowed..test:443"), TARGET_BAD},
    {"H-04", CONNECT_TO("[allowed.test]:443"), TARGET_BAD},
    {"H-06", CONNECT_TO("attacker.test\0.wild.test:443"), TARGET_BAD},
    {"H-07", CONNECT_TO("allowed%2etest:443"), TARGET_BAD},
    {"H-08 0x01", CONNECT_TO("\x01""allowed.test:443"), TARGET_BAD},
    {"H-08 tab", CONNECT_TO("allo\twed.test:443"), TARGET_BAD},
    {"H-08 DEL", CONNECT_TO("allowed.test\x7f:443"), TARGET_BAD},
    {"H-09 CRLF", BYTES("CONNECT allowed.test:443\r\nX-Y: z HTTP/1.1\r\n\r\n"), SYNTAX_BAD},
    {"H-09 CR", BYTES("CONNECT allowed.test\r:443 HTTP/1.1" REST), SYNTAX_BAD},
    {"H-09 LF", BYTES("CONNECT allowed.test\n:443 HTTP/1.1" REST), SYNTAX_BAD},
    {"H-10", CONNECT_TO("allowed.test denied.test:443"), SYNTAX_BAD},
    {"H-10", CONNECT_TO("allowed.test:443 denied.test:443"), SYNTAX_BAD},
    {"H-11", CONNECT_TO("u:p@allowed.test:443"), TARGET_BAD},
    {"H-11 GET", BYTES("GET http://allowed.test@denied.test/ HTTP/1.1" REST), TARGET_BAD},
    {"H-12", CONNECT_TO("allowed.test:443/x"), TARGET_BAD},
    {"H-13", BYTES("GET http://denied.test#@allowed.test/ HTTP/1.1" REST), TARGET_BAD},
    {"H-13 query", BYTES("GET http://allowed.test?x=http://denied.test/ HTTP/1.1" REST), FEED_DONE, REASON_NONE,
     "allowed.test:80"},
    {"H-14", BYTES("GET http://denied.test\\@allowed.test/ HTTP/1.1" REST), TARGET_BAD},
    {"H-16", CONNECT_TO("*.wild.test:443"), TARGET_BAD},
    {"H-17", CONNECT_TO("https://allowed.test:443"), TARGET_BAD},
    {"H-17", CONNECT_TO("/"), TARGET_BAD},
    {"H-17", CONNECT_TO("*"), TARGET_BAD},
    {"H-18", CONNECT_TO(":443"), TARGET_BAD},
    {"H-21", CONNECT_TO("b\xc3\xbc" "cher.wild.test:443"), TARGET_BAD},
    {"H-24", CONNECT_TO("allowed.test.1:443"), TARGET_BAD},
    {"H-27", BYTES("GET http:allowed.test/ HTTP/1.1" REST), TARGET_BAD},
    {"H-27", BYTES("GET admin HTTP/1.1" REST), TARGET_BAD},
    {"H-27", BYTES("GET * HTTP/1.1" REST), TARGET_BAD},
    {"H-27 origin form", BYTES("GET //allowed.test/ HTTP/1.1" REST), FEED_DONE, REASON_NONE, NULL},
    {"H-28", BYTES("GET https://allowed.test/ HTTP/1.1" REST), TARGET_BAD},
    {"H-28 case", BYTES("GET HTTP://Allowed.Test/ HTTP/1.1" REST), FEED_DONE, REASON_NONE, "allowed.test:80"},
    {"H-29", BYTES("GET http://allowed.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n"), FEED_BAD, REASON_MISMATCH, "allowed.test:80"},
    {"H-29 port", GET_HOST("Host: allowed.test:81"), FEED_BAD, REASON_MISMATCH, "allowed.test:80"},
    {"H-30 two", GET_HOST("Host: allowed.test\r\nHost: denied.test"), FIELD_BAD},
    {"H-30 same twice", GET_HOST("Host: allowed.test\r\nHOST: allowed.test"), FIELD_BAD},
    {"H-30 one empty", GET_HOST("Host:\r\nHost: allowed.test"), FIELD_BAD},
    {"H-30 missing", GET_HOST("X: y"), FIELD_BAD},
    {"H-30 missing in 1.0", BYTES("GET http://allowed.test/ HTTP/1.0\r\n\r\n"), FEED_DONE, REASON_NONE, "allowed.test:80"},
    {"H-30 empty", GET_HOST("Host:"), FIELD_BAD},
    {"H-30 user-info", GET_HOST("Host: u@allowed.test"), FIELD_BAD},
    {"H-30 path", GET_HOST("Host: allowed.test/x"), FIELD_BAD},
    {"H-30 space", GET_HOST("Host : allowed.test"), FIELD_BAD},
    {"H-31", BYTES("CONNECT allowed.test:443 HTTP/1.1\r\nHost: denied.test:443\r\n\r\n"), FEED_BAD, REASON_MISMATCH, "allowed.test:443"},
    {"H-31 no port", BYTES("CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test\r\n\r\n"), FEED_DONE, REASON_NONE,
     "allowed.test:443"},
    {"Host spelled otherwise", BYTES("CONNECT allowed.test:443 HTTP/1.1\r\nhOsT:\tALLOWED.test. \t\r\n\r\n"), FEED_DONE,
     REASON_NONE, "allowed.test:443"},
    {"clients.md 2", BYTES("CONNECT allowed.test:443 HTTP/1.0\r\n\r\n"), FEED_DONE, REASON_NONE, "allowed.test:443"},
    {"1.0 with wrong Host", BYTES("CONNECT allowed.test:443 HTTP/1.0\r\nHost: denied.test\r\n\r\n"), FEED_BAD, REASON_MISMATCH, "allowed.test:443"},
    {"P-01", CONNECT_TO("allowed.test"), TARGET_BAD},
    {"P-02", CONNECT_TO("allowed.test:65979"), TARGET_BAD},
    {"P-03", CONNECT_TO("allowed.test:0443"), TARGET_BAD},
    {"P-03 tab", CONNECT_TO("allowed.test:443\t"), TARGET_BAD},
    {"P-04", CONNECT_TO("allowed.test:0"), TARGET_BAD},
    {"P-05", CONNECT_TO("allowed.test:443:80"), TARGET_BAD},
    {"P-09", BYTES("GET http://allowed.test:80/ HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n"), FEED_BAD, REASON_MISMATCH, "allowed.test:80"},
    {"P-09 absent", BYTES("GET http://allowed.test:8080/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n"), FEED_DONE, REASON_NONE,
     "allowed.test:8080"},
    {"A-01", BYTES("CONNECT 11.22.33.44:443 HTTP/1.1\r\nHost: 11.22.33.44:443\r\n\r\n"), FEED_DONE, REASON_NONE, "11.22.33.44:443"},
    {"A-02", CONNECT_TO("0x7f000001:443"), TARGET_BAD},
    {"A-07", BYTES("CONNECT [::127.0.0.1]:443 HTTP/1.1\r\nHost: [::127.0.0.1]:443\r\n\r\n"), FEED_DONE, REASON_NONE, "[::127.0.0.1]:443"},
    {"S-14", GET_FIELD("Transfer_Encoding: chunked"), FIELD_BAD},
    {"S-14", GET_FIELD("content_length: 5"), FIELD_BAD},
    {"S-14", GET_FIELD("Content.Length: 5"), FIELD_BAD},
    {"S-14 others pass", GET_FIELD("Proxy_Authorization: x\r\nConnection_: y"), FEED_DONE, REASON_NONE, "allowed.test:80"},
    {"framing is not judged here", GET_FIELD("Content-Length: 5\r\nTransfer-Encoding: chunked"), FEED_DONE, REASON_NONE,
     "allowed.test:80"},
    {"CONNECT with a length", BYTES("CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 0\r\n\r\n"),
     FEED_BAD, REASON_MALFORMED, "allowed.test:443"},
    {"CONNECT with a coding", BYTES("CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: chunked\r\n\r\n"),
     FEED_BAD, REASON_MALFORMED, "allowed.test:443"},
    {"S-17 0.9", BYTES("GET http://allowed.test/\r\n"), FEED_BAD, REASON_VERSION, NULL},
    {"S-17 1.0 with Host", BYTES("GET http://allowed.test/ HTTP/1.0" REST), FEED_DONE, REASON_NONE, "allowed.test:80"},
    {"S-18 one", BYTES("\r\nGET http://allowed.test/ HTTP/1.1" REST), FEED_DONE, REASON_NONE, "allowed.test:80"},
    {"S-18 two", BYTES("\r\n\r\nGET http://allowed.test/ HTTP/1.1" REST), FEED_DONE, REASON_NONE, "allowed.test:80"},
    {"S-18 three", BYTES("\r\n\r\n\r\nGET http://allowed.test/ HTTP/1.1" REST), SYNTAX_BAD},
    {"S-18 LF", BYTES("\nGET http://allowed.test/ HTTP/1.1" REST), SYNTAX_BAD},
    {"S-25", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), FEED_BAD, REASON_VERSION, NULL},
    {"version 1.2", BYTES("GET http://allowed.test/ HTTP/1.2" REST), FEED_BAD, REASON_VERSION, NULL},
    {"version 1.10", BYTES("GET http://allowed.test/ HTTP/1.10" REST), FEED_BAD, REASON_VERSION, NULL},
    {"version in lower case", BYTES("GET http://allowed.test/ http/1.1" REST), SYNTAX_BAD},
    {"version with text", BYTES("GET http://allowed.test/ HTTP/1.1x" REST), SYNTAX_BAD},
    {"version empty", BYTES("GET http://allowed.test/ " REST), SYNTAX_BAD},
    {"space behind the version", BYTES("GET http://allowed.test/ HTTP/1.1 " REST), SYNTAX_BAD},
    {"two spaces", BYTES("GET  http://allowed.test/ HTTP/1.1" REST), SYNTAX_BAD},
    {"no target", BYTES("GET\r\n\r\n"), SYNTAX_BAD},
    {"space first", BYTES(" GET http://allowed.test/ HTTP/1.1" REST), SYNTAX_BAD},
    {"S-30 unknown", BYTES("FOO http://allowed.test/ HTTP/1.1" REST), FEED_DONE, REASON_NONE, "allowed.test:80"},
    {"S-30 quote", BYTES("G\"ET http://allowed.test/ HTTP/1.1" REST), SYNTAX_BAD},
    {"S-30 control", BYTES("G\x01T http://allowed.test/ HTTP/1.1" REST), SYNTAX_BAD},
    {"S-06 folded", GET_FIELD("X: a\r\n b"), FIELD_BAD},
    {"folded first", BYTES("GET http://allowed.test/ HTTP/1.1\r\n Host: allowed.test\r\n\r\n"), FIELD_BAD},
    {"S-06 0x0b", GET_FIELD("X: a\x0b"), FIELD_BAD},
    {"NUL in a value", GET_FIELD("X: a\0b"), FIELD_BAD},
    {"bare CR in a value", GET_FIELD("X: a\rb"), FIELD_BAD},
    {"CR and LF apart", GET_FIELD("X: a\rb\nY: c"), FIELD_BAD},
    {"bare LF in a value", GET_FIELD("X: a\nY: b"), FIELD_BAD},
    {"field without colon", GET_FIELD("X"), FIELD_BAD},
    {"field without name", GET_FIELD(": x"), FIELD_BAD},
    {"0xff in a name", GET_FIELD("X\xff: x"), FIELD_BAD},
    {"obs-text in a value", GET_FIELD("X: \xff\x80"), FEED_DONE, REASON_NONE, "allowed.test:80"},
    {"LF at the end", BYTES("GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\n\n"), FIELD_BAD},
    {"control byte in a path", BYTES("GET http://allowed.test/a\x01 HTTP/1.1" REST), TARGET_BAD},
    {"UTF-8 in a path", BYTES("GET http://allowed.test/\xc3\xbc HTTP/1.1" REST), TARGET_BAD},
    {"fragment in origin form", BYTES("GET /why#x HTTP/1.1" REST), TARGET_BAD},
    {"origin form, any Host", BYTES("GET /why HTTP/1.1\r\nHost: \r\n\r\n"), FEED_DONE, REASON_NONE, NULL},
    {"origin form, two Hosts", BYTES("GET /why HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), SYNTAX_BAD},
    {"TLS on the HTTP port", BYTES("\x16\x03\x01\x00\xee\x01"), SYNTAX_BAD},
    {"SOCKS on the HTTP parser", BYTES("\x05\x01"), SYNTAX_BAD},
    {"half a head", BYTES("GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r"), FEED_MORE, REASON_NONE, NULL},
    {"nothing", BYTES(""), FEED_MORE, REASON_NONE, NULL},
};
/* clang-format on */

struct result {
    enum feed feed;
    enum reason reason;
    struct request request;
};

/* Feeds `cuts` growing starts of the bytes, each in an exact copy of its own: the buffer may move between two calls,
 * and a read behind its end shows under a sanitizer. */
static void feed_cut(struct span raw, size_t first, size_t step, struct result *out)
{
    static uint8_t *kept; /* facts borrow the last copy */
    struct request_parser parser = {0};
    memset(out, 0, sizeof *out);
    size_t len = first;
    for (;;) {
        len = len < raw.len ? len : raw.len;
        uint8_t *copy = malloc(len == 0 ? 1 : len);
        assert_non_null(copy);
        if (len > 0)
            memcpy(copy, raw.data, len);
        free(kept);
        kept = copy;
        out->feed = request_feed(&parser, span_make(copy, len), &limits, &out->request, &out->reason);
        if (out->feed != FEED_MORE || len == raw.len)
            return;
        len += step;
    }
}

/* Facts as text, so that two results can be compared when their buffers differ. */
static void print_facts(const struct result *r, char *out, size_t cap)
{
    char target[TARGET_TEXT_MAX];
    char host[TARGET_TEXT_MAX];
    const struct request *q = &r->request;
    target_format(&q->target, target);
    target_format(&q->host, host);
    int len = snprintf(out, cap, "%d %d | %d %.*s %d %d %.*s %s %.*s | %d %d %s | %zu", r->feed, r->reason, q->method,
                       (int)q->method_text.len, (const char *)q->method_text.data, q->form, q->minor,
                       (int)q->raw_target.len, (const char *)q->raw_target.data, target, (int)q->path.len,
                       (const char *)q->path.data, q->has_host, q->host_has_port, host, q->head_bytes);
    for (size_t i = 0; i < q->header_count && len > 0 && (size_t)len < cap; i++)
        len += snprintf(out + len, cap - (size_t)len, " [%.*s=%.*s]", (int)q->headers[i].name.len,
                        (const char *)q->headers[i].name.data, (int)q->headers[i].value.len,
                        (const char *)q->headers[i].value.data);
}

static void reads_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct result r;
        feed_cut(row->raw, row->raw.len, 1, &r);
        if (r.feed != row->feed)
            fail_msg("%s, row %zu: feed %d, want %d", row->id, i, r.feed, row->feed);
        if (r.feed == FEED_BAD && r.reason != row->reason)
            fail_msg("%s, row %zu: %s, want %s", row->id, i, reason_row(r.reason)->name, reason_row(row->reason)->name);
        if (r.feed == FEED_MORE)
            continue;
        char text[TARGET_TEXT_MAX];
        target_format(&r.request.target, text);
        if (!span_is(span_text(text), row->target == NULL ? "" : row->target))
            fail_msg("%s, row %zu: target '%s'", row->id, i, text);
        assert_int_equal(r.request.head_bytes, r.feed == FEED_DONE ? row->raw.len : 0);
    }
}

static void any_split_gives_the_same(void **state)
{
    (void)state;
    static char whole[8192];
    static char cut[8192];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct result r;
        feed_cut(rows[i].raw, rows[i].raw.len, 1, &r);
        print_facts(&r, whole, sizeof whole);
        for (size_t at = 0; at <= rows[i].raw.len; at++) {
            feed_cut(rows[i].raw, at, rows[i].raw.len, &r); /* two pieces */
            print_facts(&r, cut, sizeof cut);
            if (strcmp(whole, cut) != 0)
                fail_msg("%s cut at %zu: %s, want %s", rows[i].id, at, cut, whole);
        }
        feed_cut(rows[i].raw, 0, 1, &r); /* one byte at a time */
        print_facts(&r, cut, sizeof cut);
        assert_string_equal(cut, whole);
    }
}

/* H-08, all of them: whatever the byte, never a target. CR, LF and SP end the token and make the line malformed. */
static void no_control_byte_in_a_target(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte <= 0x20; byte++) {
        char raw[] = "CONNECT all?wed.test:443 HTTP/1.1\r\nHost: allowed.test\r\n\r\n";
        raw[11] = (char)byte;
        struct result r;
        feed_cut(span_make(raw, sizeof raw - 1), sizeof raw, 1, &r);
        assert_int_equal(r.feed, FEED_BAD);
        bool ends = byte == '\r' || byte == '\n' || byte == ' ';
        assert_int_equal(r.reason, ends ? REASON_MALFORMED : REASON_TARGET);
        if (!ends)
            assert_int_equal(r.request.raw_target.len, 16); /* the record shows it whole */
    }
}

static void facts_of_a_whole_head(void **state)
{
    (void)state;
    static const char raw[] = "POST http://Allowed.test:80/a?b=c HTTP/1.1\r\n"
                              "host: allowed.test:80\r\nUser-Agent: \t x y \t\r\nEmpty:\r\nX:1\r\n\r\nBODY";
    struct result r;
    feed_cut(span_make(raw, sizeof raw - 1), 3, 7, &r);
    assert_int_equal(r.feed, FEED_DONE);
    const struct request *q = &r.request;
    assert_int_equal(q->method, METHOD_POST);
    assert_int_equal(q->form, FORM_ABSOLUTE);
    assert_int_equal(q->minor, 1);
    assert_true(span_is(q->method_text, "POST"));
    assert_true(span_is(q->raw_target, "http://Allowed.test:80/a?b=c"));
    assert_true(span_is(q->path, "/a?b=c"));
    assert_true(q->has_host);
    assert_true(q->host_has_port);
    assert_int_equal(q->head_bytes, sizeof raw - 1 - 4);
    assert_int_equal(q->header_count, 4);
    assert_true(span_is(request_header(q, "USER-agent")->value, "x y"));
    assert_int_equal(request_header(q, "empty")->value.len, 0);
    assert_true(span_is(request_header(q, "x")->value, "1"));
    assert_null(request_header(q, "y"));
}

static void paths(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        const char *path;
        enum request_form form;
    } cases[] = {
        {"GET http://allowed.test HTTP/1.0\r\n\r\n",    "/",      FORM_ABSOLUTE },
        {"GET http://allowed.test/?q HTTP/1.0\r\n\r\n", "/?q",    FORM_ABSOLUTE },
        {"GET http://allowed.test?q HTTP/1.0\r\n\r\n",  "?q",     FORM_ABSOLUTE },
        {"GET / HTTP/1.0\r\n\r\n",                      "/",      FORM_ORIGIN   },
        {"GET /why?x HTTP/1.0\r\n\r\n",                 "/why?x", FORM_ORIGIN   },
        {"CONNECT allowed.test:443 HTTP/1.0\r\n\r\n",   "",       FORM_AUTHORITY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct result r;
        feed_cut(span_text(cases[i].raw), 1000, 1, &r);
        assert_int_equal(r.feed, FEED_DONE);
        assert_true(span_is(r.request.path, cases[i].path));
        assert_int_equal(r.request.form, cases[i].form);
    }
}

static void methods_are_case_sensitive(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        enum method method;
    } cases[] = {
        {"GET / HTTP/1.0\r\n\r\n",     METHOD_GET    },
        {"get / HTTP/1.0\r\n\r\n",     METHOD_UNKNOWN},
        {"TRACE / HTTP/1.0\r\n\r\n",   METHOD_TRACE  },
        {"TRACK / HTTP/1.0\r\n\r\n",   METHOD_TRACK  },
        {"DEBUG / HTTP/1.0\r\n\r\n",   METHOD_DEBUG  },
        {"OPTIONS / HTTP/1.0\r\n\r\n", METHOD_OPTIONS},
        {"GETT / HTTP/1.0\r\n\r\n",    METHOD_UNKNOWN},
        {"G / HTTP/1.0\r\n\r\n",       METHOD_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct result r;
        feed_cut(span_text(cases[i].raw), 1000, 1, &r);
        assert_int_equal(r.feed, FEED_DONE);
        assert_int_equal(r.request.method, cases[i].method);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rows),
        cmocka_unit_test(any_split_gives_the_same),
        cmocka_unit_test(no_control_byte_in_a_target),
        cmocka_unit_test(facts_of_a_whole_head),
        cmocka_unit_test(paths),
        cmocka_unit_test(methods_are_case_sensitive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
