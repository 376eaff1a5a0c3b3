/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/target.h"

#include "base/assert.h"
#include "base/outbuf.h"
#include "base/text.h"

/* An authority cut into its two halves; nothing in them is checked yet. */
struct halves {
    struct span host;
    struct span port;
    bool bracketed;
    bool has_port;
};

/* The port begins at the first colon outside of brackets. A second colon is then part of the port and fails there. */
static enum err split(struct span raw, struct halves *out)
{
    struct halves h = {.bracketed = raw.len > 0 && raw.data[0] == '['};
    struct span rest;
    if (h.bracketed) {
        size_t close = span_find(raw, ']');
        if (close == raw.len)
            return ERR_INVALID;
        h.host = span_make(raw.data + 1, close - 1);
        rest = span_from(raw, close + 1);
        if (rest.len > 0 && rest.data[0] != ':')
            return ERR_INVALID;
    } else {
        size_t colon = span_find(raw, ':');
        h.host = span_first(raw, colon);
        rest = span_from(raw, colon);
    }
    h.has_port = rest.len > 0;
    h.port = span_from(rest, 1);
    *out = h;
    return ERR_NONE;
}

static enum err parse_host(const struct halves *h, struct target *out)
{
    struct ipaddr addr;
    if (ipaddr_parse(h->host, &addr) == ERR_NONE) {
        if (h->bracketed != (addr.family == 6))
            return ERR_INVALID;
        out->kind = TARGET_ADDRESS;
        out->addr = addr;
        return ERR_NONE;
    }
    if (h->bracketed || hostname_parse(h->host, &out->name) != ERR_NONE)
        return ERR_INVALID;
    out->kind = TARGET_NAME;
    return ERR_NONE;
}

enum err target_parse_host(struct span raw, uint16_t default_port, struct target *out, bool *out_has_port)
{
    struct halves h;
    struct target target;
    memset(&target, 0, sizeof target); /* all of it, so that equal targets have equal bytes */
    uint64_t port = default_port;
    if (split(raw, &h) != ERR_NONE || parse_host(&h, &target) != ERR_NONE)
        return ERR_INVALID;
    if (h.has_port && text_u64(h.port, UINT16_MAX, &port) != ERR_NONE)
        return ERR_INVALID;
    if (port == 0)
        return ERR_INVALID;
    target.port = (uint16_t)port;
    *out = target;
    *out_has_port = h.has_port;
    return ERR_NONE;
}

enum err target_parse_authority(struct span raw, struct target *out)
{
    struct target target;
    bool has_port = false;
    /* Any default does: it is never used. */
    if (target_parse_host(raw, 1, &target, &has_port) != ERR_NONE || !has_port)
        return ERR_INVALID;
    *out = target;
    return ERR_NONE;
}

/* Length of the authority (RFC 3986 3.2), which a path or a query ends. */
static size_t authority_len(struct span s)
{
    size_t slash = span_find(s, '/');
    return span_find(span_first(s, slash), '?');
}

enum err target_parse_absolute(struct span raw, struct target *out, struct span *out_path)
{
    static const char scheme[] = "http://";
    size_t len = sizeof scheme - 1;
    if (!span_equal_fold(span_first(raw, len), span_text(scheme)))
        return ERR_INVALID;
    if (span_find(raw, '#') != raw.len)
        return ERR_INVALID;
    struct span rest = span_from(raw, len);
    size_t end = authority_len(rest);
    bool has_port;
    enum err err = target_parse_host(span_first(rest, end), 80, out, &has_port);
    if (err == ERR_NONE)
        *out_path = span_from(rest, end);
    return err;
}

bool target_same_host(const struct target *a, const struct target *b)
{
    if (a->kind != b->kind || a->kind == TARGET_NONE)
        return false;
    return a->kind == TARGET_NAME ? hostname_equal(&a->name, &b->name) : ipaddr_equal(&a->addr, &b->addr);
}

enum brackets { BRACKETS_NO, BRACKETS_IPV6 };

static void put_host(struct outbuf *o, const struct target *t, enum brackets brackets)
{
    if (t->kind == TARGET_NAME) {
        outbuf_span(o, hostname_span(&t->name));
        return;
    }
    char text[IPADDR_TEXT_MAX];
    size_t len = ipaddr_format(&t->addr, text);
    bool bracketed = brackets == BRACKETS_IPV6 && t->addr.family == 6;
    if (bracketed)
        outbuf_char(o, '[');
    outbuf_bytes(o, text, len);
    if (bracketed)
        outbuf_char(o, ']');
}

size_t target_format_host(const struct target *t, char out[static TARGET_TEXT_MAX])
{
    struct outbuf o = outbuf_make(out, TARGET_TEXT_MAX - 1);
    if (t->kind != TARGET_NONE)
        put_host(&o, t, BRACKETS_NO);
    ASSERT(!o.overflow);
    out[o.len] = '\0';
    return o.len;
}

size_t target_format(const struct target *t, char out[static TARGET_TEXT_MAX])
{
    struct outbuf o = outbuf_make(out, TARGET_TEXT_MAX - 1);
    if (t->kind != TARGET_NONE) {
        put_host(&o, t, BRACKETS_IPV6);
        outbuf_char(&o, ':');
        outbuf_u64(&o, t->port);
    }
    ASSERT(!o.overflow);
    out[o.len] = '\0';
    return o.len;
}
