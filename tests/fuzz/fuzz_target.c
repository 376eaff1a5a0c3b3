/* SPDX-License-Identifier: Apache-2.0 */
/* Each form of a target: what parses, prints and parses again is the same; addresses and prefixes likewise. */
#include "fuzz_check.h"

#include "base/outbuf.h"
#include "wire/redact.h"
#include "wire/target.h"

static void check_target(const struct target *t)
{
    char text[TARGET_TEXT_MAX];
    size_t len = target_format(t, text);
    CHECK(len == strlen(text) && len < TARGET_TEXT_MAX && t->port != 0);
    struct target again;
    CHECK(target_parse_authority(span_make(text, len), &again) == ERR_NONE);
    CHECK(target_same_host(t, &again) && t->port == again.port);
    CHECK(memcmp(t, &again, sizeof again) == 0);
    char host[TARGET_TEXT_MAX];
    CHECK(target_format_host(t, host) < len);
}

static void check_address(struct span raw)
{
    struct ipaddr addr;
    if (ipaddr_parse(raw, &addr) == ERR_NONE) {
        char text[IPADDR_TEXT_MAX];
        struct ipaddr again;
        size_t len = ipaddr_format(&addr, text);
        CHECK(ipaddr_parse(span_make(text, len), &again) == ERR_NONE);
        CHECK(ipaddr_equal(&addr, &again));
        struct sockaddr_storage storage;
        uint16_t port = 0;
        ipaddr_to_sockaddr(&addr, 443, &storage);
        CHECK(ipaddr_from_sockaddr((const struct sockaddr *)&storage, &again, &port) == ERR_NONE);
        CHECK(ipaddr_equal(&addr, &again) && port == 443);
    }
    struct prefix p;
    if (prefix_parse(raw, &p) == ERR_NONE) {
        CHECK(prefix_contains(&p, &p.addr) && prefix_covers(&p, &p));
        struct prefix all = {.addr = {.family = p.addr.family}};
        CHECK(prefix_covers(&all, &p));
    }
}

/* Nothing that may be a secret is shown, and nothing grows above its bound. */
static void check_redaction(struct span raw)
{
    static const struct redactor redactor;
    uint8_t bytes[REDACT_TARGET_MAX];
    bool truncated = false;
    struct outbuf out = outbuf_make(bytes, REDACT_TARGET_MAX - 1);
    redact_target(&redactor, raw, &out, &truncated);
    CHECK(!out.overflow);
    struct span shown = outbuf_written(&out);
    CHECK(span_find(shown, '#') == shown.len);
    out = outbuf_make(bytes, REDACT_TARGET_MAX - 1);
    redact_path(&redactor, raw, &out, &truncated);
    CHECK(!out.overflow);
    shown = outbuf_written(&out);
    CHECK(span_find(shown, '#') == shown.len && span_find(shown, '?') == shown.len);
    out = outbuf_make(bytes, REDACT_NAMES_MAX - 1);
    redact_query_names(&redactor, raw, &out, &truncated);
    CHECK(!out.overflow && span_find(outbuf_written(&out), '=') == out.len);
    out = outbuf_make(bytes, 64);
    redact_unparsed(&redactor, raw, raw.len % 2 == 0, &out, &truncated);
    CHECK(!out.overflow);
    shown = outbuf_written(&out);
    CHECK(span_find(shown, '#') == shown.len && span_find(shown, '?') == shown.len &&
          span_find(shown, '@') == shown.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span raw = span_make(data, size);
    struct target t;
    struct span path;
    bool has_port;
    if (target_parse_authority(raw, &t) == ERR_NONE) {
        check_target(&t);
        struct target host;
        CHECK(target_parse_host(raw, 1, &host, &has_port) == ERR_NONE && has_port);
        CHECK(memcmp(&t, &host, sizeof t) == 0);
    }
    if (target_parse_host(raw, 80, &t, &has_port) == ERR_NONE) {
        check_target(&t);
        CHECK(has_port || t.port == 80);
    }
    if (target_parse_absolute(raw, &t, &path) == ERR_NONE) {
        check_target(&t);
        CHECK(path.len == 0 || path.data[0] == '/' || path.data[0] == '?');
        CHECK(path.len == 0 || path.data + path.len == raw.data + raw.len);
    }
    check_address(raw);
    check_redaction(raw);
    return 0;
}
