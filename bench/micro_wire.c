/* SPDX-License-Identifier: Apache-2.0 */
#include "micro.h"
#include "talk.h"

#include "wire/dnsmsg.h"
#include "wire/hello.h"
#include "wire/reply.h"
#include "wire/request.h"

static const char name_text[] = "files.cdn.Example-Host.test";

static bool name_check(void)
{
    struct hostname name;
    return hostname_parse(span_text(name_text), &name) == ERR_NONE && name.len == sizeof name_text - 1;
}

static void name_row(uint64_t times)
{
    struct hostname name;
    for (uint64_t i = 0; i < times; i++) {
        enum err err = hostname_parse(span_make(name_text, sizeof name_text - 1), &name);
        keep(&name);
        keep(&err);
    }
}

static const char short_head[] = "CONNECT n1.bench.test:443 HTTP/1.1\r\nHost: n1.bench.test:443\r\n"
                                 "User-Agent: curl/7.88.1\r\nProxy-Connection: Keep-Alive\r\n\r\n";
static const char long_head[] =
    "GET http://n1.bench.test/simple/some-package/?format=json&page=2 HTTP/1.1\r\nHost: n1.bench.test\r\n"
    "Accept: application/json, text/html;q=0.1\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "User-Agent: installer/24.0 (linux; x86_64) with a long description of everything it runs on\r\n"
    "Accept-Language: en\r\nCache-Control: max-age=0\r\nIf-None-Match: \"0123456789abcdef\"\r\n"
    "Cookie: a=1; b=2; c=0123456789abcdef0123456789abcdef\r\nConnection: keep-alive\r\n\r\n";

static enum feed head_feed(const char *head, size_t len, struct request *request)
{
    static const struct request_limits limits = {.head_bytes = 65536, .target_bytes = 8192, .header_lines = 100};
    struct request_parser parser = {0};
    enum reason reason = 0;
    return request_feed(&parser, span_make(head, len), &limits, request, &reason);
}

static bool head_check(void)
{
    static struct request request;
    bool good = head_feed(short_head, sizeof short_head - 1, &request) == FEED_DONE && request.header_count == 3;
    return good && head_feed(long_head, sizeof long_head - 1, &request) == FEED_DONE && request.header_count == 9;
}

static void short_head_row(uint64_t times)
{
    static struct request request;
    for (uint64_t i = 0; i < times; i++) {
        enum feed feed = head_feed(short_head, sizeof short_head - 1, &request);
        keep(&feed);
    }
}

static void long_head_row(uint64_t times)
{
    static struct request request;
    for (uint64_t i = 0; i < times; i++) {
        enum feed feed = head_feed(long_head, sizeof long_head - 1, &request);
        keep(&feed);
    }
}

static enum feed hello_once(const uint8_t *bytes, struct hello *hello)
{
    static const struct hello_limits limits = {.raw_bytes = 65536, .message_bytes = 16384};
    static uint8_t scratch[HELLO_SCRATCH_BYTES];
    struct hello_parser parser = {0};
    enum reason reason = 0;
    return hello_feed(&parser, span_make(bytes, HELLO_BYTES), &limits, scratch, hello, &reason);
}

static bool hello_check(void)
{
    uint8_t bytes[HELLO_BYTES];
    struct hello hello;
    hello_make(bytes, "n1.bench.test");
    return hello_once(bytes, &hello) == FEED_DONE && hello.sni == SNI_PRESENT && !hello.ech &&
           span_is(hostname_span(&hello.name), "n1.bench.test") && hello.highest_version == 0x0304;
}

static void hello_row(uint64_t times)
{
    uint8_t bytes[HELLO_BYTES];
    struct hello hello;
    hello_make(bytes, "n1.bench.test");
    for (uint64_t i = 0; i < times; i++) {
        enum feed feed = hello_once(bytes, &hello);
        keep(&feed);
        keep(&hello);
    }
}

/* A query of ours, and the answer to it with four addresses. */
static size_t dns_message(struct hostname *name, uint8_t *message, size_t cap)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1};
    static const uint8_t case_bits[32];
    if (hostname_parse(span_text("files.cdn.example-host.test"), name) != ERR_NONE)
        return 0;
    struct outbuf out = outbuf_make(message, cap);
    dnsmsg_query(&out, 4711, name, DNS_TYPE_A, case_bits);
    size_t end = 12 + (size_t)name->len + 2 + 4; /* without what a query may carry behind its question */
    out.len = end;
    message[2] |= 0x80;
    message[7] = 4;
    message[11] = 0;
    for (int i = 0; i < 4; i++)
        outbuf_bytes(&out, record, sizeof record);
    return out.overflow ? 0 : out.len;
}

static bool dns_check(void)
{
    struct hostname name;
    uint8_t message[512];
    struct dns_addresses addresses;
    size_t len = dns_message(&name, message, sizeof message);
    dnsmsg_answer(span_make(message, len), &name, DNS_TYPE_A, &addresses);
    return len > 0 && addresses.result == DNS_OK && addresses.count == 4 && addresses.ttl_s == 300;
}

static void dns_row(uint64_t times)
{
    struct hostname name;
    uint8_t message[512];
    struct dns_addresses addresses;
    size_t len = dns_message(&name, message, sizeof message);
    for (uint64_t i = 0; i < times; i++) {
        dnsmsg_answer(span_make(message, len), &name, DNS_TYPE_A, &addresses);
        keep(&addresses);
    }
}

static void refusal_row(uint64_t times)
{
    struct target target;
    uint8_t buffer[REPLY_MAX];
    if (target_parse_authority(span_text("files.cdn.example-host.test:443"), &target) != ERR_NONE)
        return;
    const struct refusal refusal = {.reason = REASON_HOST,
                                    .minor = 1,
                                    .target = &target,
                                    .environment = span_text("bench"),
                                    .rule = span_text("default"),
                                    .request_id = span_text("0123456789abcdef0123456789abcdef")};
    for (uint64_t i = 0; i < times; i++) {
        struct outbuf out = outbuf_make(buffer, sizeof buffer);
        reply_refusal(&out, &refusal);
        keep(buffer);
    }
}

const struct micro micro_wire[] = {
    {"wire: host name",                   name_row,       name_check },
    {"wire: CONNECT head, 3 fields",      short_head_row, head_check },
    {"wire: GET head, 9 fields",          long_head_row,  head_check },
    {"wire: ClientHello, 517 bytes",      hello_row,      hello_check},
    {"wire: DNS answer with 4 addresses", dns_row,        dns_check  },
    {"wire: refusal, head and JSON",      refusal_row,    NULL       },
};
const size_t micro_wire_count = sizeof micro_wire / sizeof micro_wire[0];
