/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second reader of HTTP/1 messages, for fuzz_http alone: plain and slow, and with nothing of wire/ in it but the
 * target's text. It reads what this program would send, checks that nothing is there that must not be, and writes down
 * what the next server would understand.
 */
#ifndef HTTP_READER_H
#define HTTP_READER_H

#include "fuzz_check.h"

#include "base/outbuf.h"
#include "wire/target.h"

#define VIA_ID "0123456789abcdef"

enum side { SIDE_REQUEST, SIDE_RESPONSE };

static inline char plain_char(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '_' || c == '.' ? '-' : (char)c;
}

static inline struct span plain_core(struct span name)
{
    while (name.len > 0 && plain_char(name.data[0]) == '-')
        name = span_make(name.data + 1, name.len - 1);
    while (name.len > 0 && plain_char(name.data[name.len - 1]) == '-')
        name.len--;
    return name;
}

/* As the laxest server compares names. */
static inline bool same_name(struct span a, struct span b)
{
    a = plain_core(a);
    b = plain_core(b);
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (plain_char(a.data[i]) != plain_char(b.data[i]))
            return false;
    return true;
}

static inline bool is_named(struct span name, const char *text)
{
    return same_name(name, span_text(text));
}

static inline bool is_hop_by_hop(struct span name)
{
    return is_named(name, "connection") || is_named(name, "keep-alive") || is_named(name, "proxy-connection") ||
           is_named(name, "proxy-authenticate") || is_named(name, "proxy-authorization") ||
           is_named(name, "proxy-authentication-info") || is_named(name, "te") || is_named(name, "trailer") ||
           is_named(name, "transfer-encoding") || is_named(name, "content-length") || is_named(name, "upgrade") ||
           is_named(name, "http2-settings");
}

static inline bool tells_of_inside(struct span name)
{
    struct span core = plain_core(name);
    return is_named(name, "forwarded") || is_named(name, "x-real-ip") || is_named(name, "x-forwarded") ||
           (core.len > 12 && is_named(span_first(core, 11), "x-forwarded") && plain_char(core.data[11]) == '-');
}

/* An upstream may say so too, to a client. */
static inline bool is_own_via(struct span name, struct span value)
{
    return span_is(name, "Via") && (span_is(value, "1.0 sallyport-" VIA_ID) || span_is(value, "1.1 sallyport-" VIA_ID));
}

static inline struct span line_of(struct span *rest)
{
    size_t end = span_find(*rest, '\r');
    CHECK(end + 1 < rest->len && rest->data[end + 1] == '\n');
    struct span line = span_first(*rest, end);
    for (size_t i = 0; i < line.len; i++)
        CHECK((line.data[i] >= 0x20 && line.data[i] != 0x7f) || line.data[i] == '\t');
    *rest = span_make(rest->data + end + 2, rest->len - end - 2);
    return line;
}

static inline struct span word_of(struct span *rest)
{
    struct span word = span_first(*rest, span_find(*rest, ' '));
    *rest = span_from(*rest, word.len + 1);
    return word;
}

struct read_head {
    unsigned status; /* of an answer */
    size_t lengths, codings, hosts, expects, own_vias;
    uint64_t length;
    bool closes, upgrade, websocket;
    bool skip_hops; /* Max-Forwards counts down and is not compared */
};

static inline uint64_t plain_number(struct span text, unsigned base)
{
    uint64_t value = 0;
    CHECK(text.len > 0 && text.len <= 19);
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = text.data[i] <= '9' ? text.data[i] - (unsigned)'0' : text.data[i] - (unsigned)'a' + 10;
        CHECK(digit < base);
        value = value * base + digit;
    }
    return value;
}

static inline void put_field(struct outbuf *facts, struct span name, struct span value)
{
    outbuf_span(facts, name);
    outbuf_char(facts, ':');
    outbuf_span(facts, value);
    outbuf_char(facts, '\n');
}

static inline void read_host(struct span value, struct outbuf *facts)
{
    char text[TARGET_TEXT_MAX];
    struct target target;
    bool has_port;
    CHECK(target_parse_host(value, 80, &target, &has_port) == ERR_NONE);
    CHECK(has_port == (target.port != 80));
    target_format(&target, text);
    put_field(facts, span_text("to"), span_text(text));
}

/* Ours are exactly as we spell them; the others are facts. */
static inline void read_field(enum side side, struct span name, struct span value, struct read_head *head,
                              struct outbuf *facts)
{
    if (span_is(name, "Host") && side == SIDE_REQUEST) {
        CHECK(head->hosts++ == 0);
        read_host(value, facts);
    } else if (span_is(name, "Content-Length")) {
        head->lengths++;
        head->length = plain_number(value, 10);
    } else if (span_is(name, "Transfer-Encoding")) {
        CHECK(span_is(value, "chunked"));
        head->codings++;
    } else if (span_is(name, "Connection")) {
        CHECK(!head->closes && !head->upgrade);
        head->closes = span_is(value, "close");
        head->upgrade = span_is(value, "upgrade");
        CHECK(head->closes || head->upgrade);
    } else if (span_is(name, "Upgrade")) {
        CHECK(span_is(value, "websocket") && !head->websocket);
        head->websocket = true;
    } else if (span_is(name, "Expect") && side == SIDE_REQUEST) {
        CHECK(span_is(value, "100-continue"));
        head->expects++;
    } else if (is_own_via(name, value)) {
        head->own_vias++;
    } else {
        CHECK(!is_hop_by_hop(name));
        CHECK(side == SIDE_RESPONSE ||
              (!tells_of_inside(name) && !is_named(name, "host") && !is_named(name, "expect")));
        if (!head->skip_hops || !is_named(name, "max-forwards"))
            put_field(facts, name, value);
    }
}

static inline void read_first_line(enum side side, struct span line, struct read_head *head, struct outbuf *facts)
{
    struct span rest = line;
    struct span first = word_of(&rest);
    struct span second = word_of(&rest);
    if (side == SIDE_REQUEST) {
        CHECK(span_is(rest, "HTTP/1.1") && first.len > 0);
        CHECK(second.len > 0 && (second.data[0] == '/' || span_is(second, "*")));
        head->skip_hops = span_is(first, "OPTIONS") || span_is(first, "TRACE");
        put_field(facts, first, second);
        return;
    }
    CHECK(span_is(first, "HTTP/1.1") && second.len == 3);
    head->status = (unsigned)plain_number(second, 10);
    put_field(facts, second, rest);
}

static inline void read_fields(enum side side, struct span *in, struct read_head *head, struct outbuf *facts)
{
    for (;;) {
        struct span line = line_of(in);
        if (line.len == 0)
            return;
        size_t colon = span_find(line, ':');
        CHECK(colon > 0 && colon + 1 < line.len && line.data[colon + 1] == ' ');
        read_field(side, span_first(line, colon), span_from(line, colon + 2), head, facts);
    }
}

static inline void put_payload(struct outbuf *facts, struct span payload)
{
    outbuf_span(facts, payload);
}

/* Whether the last chunk was there; what is cut off ends behind a whole chunk, as it is written. */
static inline bool read_chunks(struct span *in, struct outbuf *facts)
{
    while (in->len > 0) {
        size_t size = (size_t)plain_number(line_of(in), 16);
        if (size == 0) {
            CHECK(line_of(in).len == 0);
            return true;
        }
        CHECK(size + 2 <= in->len);
        put_payload(facts, span_first(*in, size));
        *in = span_make(in->data + size, in->len - size);
        CHECK(line_of(in).len == 0);
    }
    return false;
}

static inline bool read_length_body(struct span *in, uint64_t length, struct outbuf *facts)
{
    struct span payload = in->len < length ? *in : span_first(*in, (size_t)length);
    put_payload(facts, payload);
    *in = span_make(in->data + payload.len, in->len - payload.len);
    return payload.len == length;
}

static inline void put_flags(struct outbuf *facts, bool closes, bool websocket, bool expects)
{
    if (closes)
        outbuf_text(facts, "closes\n");
    if (websocket)
        outbuf_text(facts, "websocket\n");
    if (expects)
        outbuf_text(facts, "expects\n");
}

/* One message; false if it was not whole. `to_head` is what the reader knows of the request that was answered. */
static inline bool read_message(enum side side, bool to_head, struct span *in, struct outbuf *facts)
{
    struct read_head head = {0};
    read_first_line(side, line_of(in), &head, facts);
    read_fields(side, in, &head, facts);
    CHECK(head.own_vias >= 1 && head.lengths + head.codings <= 1 && head.upgrade == head.websocket);
    CHECK(side == SIDE_RESPONSE || (head.own_vias == 1 && head.hosts == 1 && !head.closes));
    CHECK(head.expects == 0 || (head.expects == 1 && head.lengths + head.codings == 1));
    CHECK(!head.websocket || head.lengths + head.codings == 0);
    put_flags(facts, head.closes, head.websocket, head.expects == 1);
    bool bodiless = side == SIDE_RESPONSE && (head.status < 200 || head.status == 204 || head.status == 304 || to_head);
    bool whole = true;
    if (bodiless && head.status != 204 && head.status != 304 && head.status >= 200 && head.lengths == 1) {
        outbuf_u64(facts, head.length); /* of the answer to GET */
    } else if (bodiless) {
        CHECK(head.lengths + head.codings == 0);
    } else if (head.codings == 1) {
        outbuf_text(facts, "chunked:");
        whole = read_chunks(in, facts);
    } else if (head.lengths == 1) {
        outbuf_u64(facts, head.length);
        outbuf_char(facts, ':');
        whole = read_length_body(in, head.length, facts);
    } else if (side == SIDE_RESPONSE) {
        CHECK(head.closes);
        outbuf_text(facts, "close:");
        put_payload(facts, *in);
        *in = span_make(NULL, 0);
        return false;
    }
    outbuf_text(facts, whole ? "\nend\n" : "");
    return whole;
}

#endif
