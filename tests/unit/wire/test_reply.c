/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/reply.h"

#include <stdlib.h>

#define ID  "0123456789abcdef0123456789abcdef"
#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

static char text[REPLY_MAX + 1];

static struct target target_of(const char *authority)
{
    struct target t;
    assert_int_equal(target_parse_authority(span_text(authority), &t), ERR_NONE);
    return t;
}

/* The whole answer as a C string. */
static const char *say(const struct refusal *refusal)
{
    struct outbuf out = outbuf_make(text, REPLY_MAX);
    reply_refusal(&out, refusal);
    assert_false(out.overflow);
    text[out.len] = '\0';
    return text;
}

static size_t phrase_len(const char *answer)
{
    const char *start = answer + strlen("HTTP/1.1 403 ");
    return (size_t)(strchr(start, '\r') - start);
}

static void a_policy_refusal_in_full(void **state)
{
    (void)state;
    struct target t = target_of("attacker.test:443");
    struct refusal refusal = {.reason = REASON_HOST,
                              .minor = 1,
                              .target = &t,
                              .environment = span_text("env-a"),
                              .rule = span_text("default"),
                              .request_id = span_text(ID),
                              .hint = span_text("Ask #net for \"attacker\".")};
    static const char body[] =
        "{\"error\":\"policy: this host is not allowed: attacker.test. This is policy and permanent, not a network "
        "fault: trying again or another way is pointless. Ask #net for \\\"attacker\\\".\","
        "\"reason\":\"host_not_allowed\",\"host\":\"attacker.test\",\"port\":443,\"environment\":\"env-a\","
        "\"rule\":\"default\",\"request_id\":\"" ID "\",\"hint\":\"Ask #net for \\\"attacker\\\".\",\"retry\":false}\n";
    static const char head[] = "HTTP/1.1 403 policy: this host is not allowed: attacker.test (request " ID ")\r\n"
                               "Proxy-Status: sallyport; error=http_request_denied; details=\"host_not_allowed\"\r\n"
                               "X-Sallyport-Reason: host_not_allowed\r\n"
                               "Content-Type: application/json\r\n"
                               "Content-Length: 380\r\n"
                               "Cache-Control: no-store\r\n"
                               "Connection: close\r\n\r\n";
    assert_int_equal(sizeof body - 1, 380);
    const char *answer = say(&refusal);
    assert_true(strncmp(answer, head, sizeof head - 1) == 0);
    assert_string_equal(answer + sizeof head - 1, body);
    refusal.head_only = true;
    assert_string_equal(say(&refusal), head);
}

static void nothing_known_is_null(void **state)
{
    (void)state;
    struct refusal refusal = {.reason = REASON_MALFORMED};
    const char *answer = say(&refusal);
    assert_non_null(strstr(answer, "HTTP/1.1 400 the request is malformed\r\n"));
    assert_non_null(strstr(answer, "\"host\":null,\"port\":null,\"environment\":null,\"rule\":null,\"request_id\":null,"
                                   "\"hint\":\"Ask the operator of this proxy and give the request id.\","
                                   "\"retry\":false}\n"));
    assert_non_null(strstr(answer, "This is not a policy decision; the same request will fail again."));
    assert_null(strstr(answer, "policy:"));
}

static void passing_trouble_says_so(void **state)
{
    (void)state;
    struct refusal refusal = {.reason = REASON_RATE, .retry_after_s = 7};
    const char *answer = say(&refusal);
    assert_non_null(strstr(answer, "HTTP/1.1 429 "));
    assert_non_null(strstr(answer, "\r\nRetry-After: 7\r\n"));
    assert_non_null(strstr(answer, "trying again later can help"));
    assert_non_null(strstr(answer, "\"retry\":true"));
}

static void special_fields_stand_only_where_they_belong(void **state)
{
    (void)state;
    for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++) {
        const struct reason_row *row = reason_row((enum reason)r);
        if (row->http_status < 400)
            continue;
        struct refusal refusal = {.reason = (enum reason)r, .allow = span_text("GET, HEAD")};
        const char *answer = say(&refusal);
        bool asks = strstr(answer, "\r\nProxy-Authenticate: Basic realm=\"sallyport\"\r\n") != NULL;
        bool allows = strstr(answer, "\r\nAllow: GET, HEAD\r\n") != NULL;
        assert_true(asks == (row->http_status == 407));
        assert_true(allows == (row->http_status == 405));
        assert_null(strstr(answer, "Retry-After"));
    }
    struct refusal forged = {.reason = REASON_METHOD, .allow = span_text("GET\r\nX: y")};
    assert_null(strstr(say(&forged), "Allow:"));
}

static void proxy_errors_fit(void **state)
{
    (void)state;
    static const struct {
        enum reason reason;
        const char *text;
    } cases[] = {
        {REASON_DNS,          "error=dns_error; details=\"dns_failed\""},
        {REASON_DNS_TIME,     "error=dns_timeout;"                     },
        {REASON_CONNECT,      "error=connection_refused;"              },
        {REASON_CONNECT_TIME, "error=connection_timeout;"              },
        {REASON_ADDRESS,      "error=destination_ip_prohibited;"       },
        {REASON_LITERAL,      "error=destination_ip_prohibited;"       },
        {REASON_LIMIT,        "error=connection_limit_reached;"        },
        {REASON_AUDIT,        "error=proxy_internal_error;"            },
        {REASON_LOOP,         "error=proxy_loop_detected;"             },
        {REASON_TARGET,       "error=http_request_error;"              },
        {REASON_DENIED,       "error=http_request_denied;"             },
        {REASON_UPSTREAM,     "error=http_protocol_error;"             },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct refusal refusal = {.reason = cases[i].reason};
        assert_non_null(strstr(say(&refusal), cases[i].text));
    }
}

/* Every reason with the longest name: sentence and id stay whole, the name is cut in its middle. */
static void long_hosts_are_cut_in_the_middle(void **state)
{
    (void)state;
    struct target t = target_of("start." L63 "." L63 "." L63 ".end.test:443");
    for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++) {
        const struct reason_row *row = reason_row((enum reason)r);
        if (row->http_status < 400)
            continue;
        struct refusal refusal = {.reason = (enum reason)r, .target = &t, .request_id = span_text(ID)};
        const char *answer = say(&refusal);
        size_t len = phrase_len(answer);
        assert_true(len <= 120);
        const char *phrase = answer + strlen("HTTP/1.1 403 ");
        assert_true(strncmp(phrase, row->sentence, strlen(row->sentence)) == 0);
        assert_true(strncmp(phrase + len - 43, " (request " ID ")", 43) == 0);
    }
    struct refusal refusal = {.reason = REASON_HOST, .target = &t, .request_id = span_text(ID)};
    assert_non_null(strstr(say(&refusal), "not allowed: start.abcdefghijklmn..."));
    assert_int_equal(phrase_len(text), 120);
    assert_non_null(strstr(text, "...abcdefghijk.end.test (request "));
    refusal.reason = REASON_PORT;
    assert_non_null(strstr(say(&refusal), "end.test:443 (request ")); /* here the port is the matter */
}

static void phrases_are_printable_ascii(void **state)
{
    (void)state;
    struct target t = target_of("[2001:db8:1::5]:443");
    struct refusal refusal = {.reason = REASON_LITERAL, .target = &t, .request_id = span_text("\r\nX: y")};
    const char *answer = say(&refusal);
    for (size_t i = 0; i < phrase_len(answer); i++)
        assert_true(answer[13 + i] >= 0x20 && answer[13 + i] < 0x7f);
    assert_null(strstr(answer, "X: y")); /* no id at all rather than a forged line */
    assert_non_null(strstr(answer, "\"host\":\"2001:db8:1::5\",\"port\":443"));
}

static void any_input_fits(void **state)
{
    (void)state;
    static uint8_t junk[100000];
    memset(junk, 0xff, sizeof junk);
    struct span big = span_make(junk, sizeof junk);
    struct target t =
        target_of("s." L63 "." L63 "." L63 ".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefg:443");
    static uint8_t quotes[1000];
    memset(quotes, '"', sizeof quotes);
    static uint8_t letters[100000];
    memset(letters, 'x', sizeof letters);
    const struct span fills[] = {big, span_make(quotes, sizeof quotes), span_make(letters, sizeof letters)};
    for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++)
        for (size_t f = 0; f < 3; f++) {
            if (reason_row((enum reason)r)->http_status < 400)
                continue;
            struct refusal refusal = {.reason = (enum reason)r,
                                      .target = &t,
                                      .environment = fills[f],
                                      .rule = fills[f],
                                      .request_id = span_text(ID),
                                      .hint = fills[f],
                                      .retry_after_s = UINT32_MAX,
                                      .allow = span_first(span_make(letters, 128), 128)};
            const char *answer = say(&refusal);
            const char *body = strstr(answer, "\r\n\r\n") + 4;
            const char *length = strstr(answer, "Content-Length: ") + strlen("Content-Length: ");
            assert_int_equal(strtoul(length, NULL, 10), strlen(body));
        }
}

/* S-34 */
static void established_has_no_length(void **state)
{
    (void)state;
    struct outbuf out = outbuf_make(text, REPLY_MAX);
    reply_established(&out);
    assert_true(span_is(outbuf_written(&out), "HTTP/1.1 200 Connection established\r\n\r\n"));
}

static void pages(void **state)
{
    (void)state;
    struct outbuf out = outbuf_make(text, REPLY_MAX);
    reply_page(&out, 404, "text/plain", span_text("no\n"), false);
    assert_true(span_is(outbuf_written(&out),
                        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
                        "Cache-Control: no-store\r\nConnection: close\r\n\r\nno\n"));
    out = outbuf_make(text, REPLY_MAX);
    reply_page(&out, 200, "text/plain", span_text("yes"), true);
    assert_true(span_is(outbuf_written(&out), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
                                              "Cache-Control: no-store\r\nConnection: close\r\n\r\n"));
}

static void alerts(void **state)
{
    (void)state;
    struct outbuf out = outbuf_make(text, REPLY_MAX);
    reply_alert(&out, 112);
    assert_true(span_equal(outbuf_written(&out), span_make("\x15\x03\x03\x00\x02\x02\x70", 7)));
}

static void reasons_are_found_by_name(void **state)
{
    (void)state;
    assert_int_equal(reason_by_name(span_text("host_not_allowed")), REASON_HOST);
    assert_int_equal(reason_by_name(span_text("policy_error")), REASON_CONFIG);
    assert_int_equal(reason_by_name(span_text("HOST_NOT_ALLOWED")), REASON_NONE);
    assert_int_equal(reason_by_name(span_text("")), REASON_NONE);
    for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++) {
        const struct reason_row *row = reason_row((enum reason)r);
        assert_int_equal(reason_by_name(span_text(row->name)), r); /* names are unique */
        /* semantics.md 6: retry for these statuses alone */
        if (row->http_status != 0)
            assert_true(row->retry == (row->http_status == 429 || row->http_status == 502 || row->http_status == 503 ||
                                       row->http_status == 504));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_refusal_in_full),
        cmocka_unit_test(nothing_known_is_null),
        cmocka_unit_test(passing_trouble_says_so),
        cmocka_unit_test(special_fields_stand_only_where_they_belong),
        cmocka_unit_test(proxy_errors_fit),
        cmocka_unit_test(long_hosts_are_cut_in_the_middle),
        cmocka_unit_test(phrases_are_printable_ascii),
        cmocka_unit_test(any_input_fits),
        cmocka_unit_test(established_has_no_length),
        cmocka_unit_test(pages),
        cmocka_unit_test(alerts),
        cmocka_unit_test(reasons_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
