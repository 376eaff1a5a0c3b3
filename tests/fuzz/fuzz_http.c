/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of messages goes through the forwarder's wire part: head, framing, head sent on, body decoded and encoded
 * anew. A second reader (http_reader.h) must understand from the bytes that leave exactly the messages that were
 * decided: the same methods, paths, hosts, fields and payloads, and as many. Whatever the split, all is the same.
 *
 * The first byte of the input says which direction and who asks, the second chooses the split.
 */
#include "http_reader.h"

#include "wire/forward.h"

#define INPUT_MAX    8192
#define MESSAGES_MAX 16
#define OUT_MAX      (INPUT_MAX * 16)
#define DATE         "Sun, 06 Nov 1994 08:49:37 GMT"

static const struct request_limits limits = {.head_bytes = 4096, .target_bytes = 300, .header_lines = 20};

enum option { OPTION_RESPONSES = 1, OPTION_HEAD = 2, OPTION_OLD = 4, OPTION_KEEP = 8, OPTION_EXTRA = 16 };

struct run {
    uint8_t options;
    struct span raw;
    size_t at;   /* where the message under way begins, or what of its body is not used yet begins */
    size_t have; /* bytes that have arrived */
    unsigned split;
    unsigned messages;
    enum reason stop;
    struct outbuf out;   /* what leaves */
    struct outbuf heads; /* its heads alone */
    struct outbuf facts; /* what was decided */
};

static uint8_t memory[2][3][OUT_MAX];
static uint8_t reader_memory[OUT_MAX];

/* More bytes arrive; false at the end of the input. */
static bool arrive(struct run *r)
{
    if (r->have == r->raw.len)
        return false;
    if (r->split == 0) {
        r->have = r->raw.len;
        return true;
    }
    r->split = r->split * 1103515245u + 12345u;
    r->have += r->split % 256 < 128 ? 1 : 1 + (r->split >> 16) % 40;
    r->have = r->have < r->raw.len ? r->have : r->raw.len;
    return true;
}

static struct span arrived(const struct run *r)
{
    return exact_copy(span_make(r->raw.data + r->at, r->have - r->at));
}

static bool nominates(const struct header *headers, size_t count, struct span name)
{
    for (size_t i = 0; i < count; i++) {
        struct span list = headers[i].value;
        if (!span_equal_fold(headers[i].name, span_text("connection")))
            continue;
        while (list.len > 0) {
            struct span option = span_first(list, span_find(list, ','));
            list = span_from(list, option.len + 1);
            while (option.len > 0 && (option.data[0] == ' ' || option.data[0] == '\t'))
                option = span_make(option.data + 1, option.len - 1);
            while (option.len > 0 && (option.data[option.len - 1] == ' ' || option.data[option.len - 1] == '\t'))
                option.len--;
            if (option.len > 0 && same_name(option, name))
                return true;
        }
    }
    return false;
}

static void decide_fields(struct run *r, enum side side, const struct header *headers, size_t count, bool skip_hops)
{
    for (size_t i = 0; i < count; i++) {
        struct span name = headers[i].name;
        if (is_hop_by_hop(name) || nominates(headers, count, name) || (skip_hops && is_named(name, "max-forwards")))
            continue;
        if (is_own_via(name, headers[i].value))
            continue;
        if (side == SIDE_REQUEST && (tells_of_inside(name) || is_named(name, "host") || is_named(name, "expect")))
            continue;
        put_field(&r->facts, name, headers[i].value);
    }
}

/* The body as it is decided and as it leaves. False if the stream ends here, whole or not. */
static bool pass_body(struct run *r, struct body *body, enum body_kind send_as)
{
    uint64_t sum = 0;
    for (;;) {
        struct span in = arrived(r);
        size_t used;
        struct span payload;
        bool too_big;
        enum feed feed = body_feed(body, in, &used, &payload, &too_big);
        CHECK(used <= in.len && payload.len <= used && (used > 0 || in.len == 0 || feed != FEED_MORE));
        CHECK(!too_big || feed == FEED_BAD);
        if (payload.len > 0 && send_as == BODY_CHUNKED)
            body_chunk_begin(&r->out, payload.len);
        outbuf_span(&r->out, payload);
        if (payload.len > 0 && send_as == BODY_CHUNKED)
            body_chunk_end(&r->out);
        put_payload(&r->facts, payload);
        sum += payload.len;
        CHECK(body->payload == sum);
        bool stuck = used == in.len;
        free_copy(in);
        r->at += used;
        if (feed == FEED_BAD)
            r->stop = too_big ? REASON_HEAD : REASON_FRAMING;
        if (feed != FEED_MORE) {
            CHECK(body_may_end(body) == (feed == FEED_DONE));
            if (feed == FEED_DONE && send_as == BODY_CHUNKED)
                body_last_chunk(&r->out);
            return feed == FEED_DONE;
        }
        if (stuck && !arrive(r))
            return false;
    }
}

static void begin_body_facts(struct run *r, const struct body *body, enum body_kind send_as)
{
    if (send_as == BODY_LENGTH) {
        outbuf_u64(&r->facts, body->left);
        outbuf_char(&r->facts, ':');
    } else if (send_as == BODY_CHUNKED) {
        outbuf_text(&r->facts, "chunked:");
    } else if (send_as == BODY_UNTIL_CLOSE) {
        outbuf_text(&r->facts, "close:");
    }
}

static bool pass_on(struct run *r, struct body *body, enum body_kind send_as)
{
    begin_body_facts(r, body, send_as);
    bool whole = pass_body(r, body, send_as);
    if (whole && send_as != BODY_UNTIL_CLOSE)
        outbuf_text(&r->facts, "\nend\n");
    return whole && send_as != BODY_UNTIL_CLOSE;
}

static void keep_head(struct run *r, size_t from, size_t head_bytes)
{
    size_t grown = r->out.len - from;
    CHECK(!r->out.overflow && grown <= head_bytes + FORWARD_EXTRA_MAX);
    outbuf_bytes(&r->heads, r->out.data + from, grown);
}

static void decide_request(struct run *r, const struct forward_request *what)
{
    const struct request *q = what->request;
    char text[TARGET_TEXT_MAX];
    struct span raw = q->raw_target;
    bool options = span_is(q->method_text, "OPTIONS");
    outbuf_span(&r->facts, q->method_text);
    outbuf_char(&r->facts, ':');
    if (options && span_is(q->path, "/") && raw.data[raw.len - 1] != '/')
        outbuf_char(&r->facts, '*');
    else if (q->path.data[0] == '?')
        outbuf_char(&r->facts, '/');
    if (!(options && span_is(q->path, "/") && raw.data[raw.len - 1] != '/'))
        outbuf_span(&r->facts, q->path);
    outbuf_char(&r->facts, '\n');
    target_format(&q->target, text);
    put_field(&r->facts, span_text("to"), span_text(text));
    decide_fields(r, SIDE_REQUEST, q->headers, q->header_count, options || span_is(q->method_text, "TRACE"));
    put_flags(&r->facts, false, what->websocket, what->expect && what->body->kind != BODY_NONE);
}

/* False when the connection ends behind this one. */
static bool pass_request(struct run *r)
{
    struct request_parser parser = {0};
    static struct request request;
    struct span in = arrived(r);
    enum feed feed;
    while ((feed = request_feed(&parser, in, &limits, &request, &r->stop)) == FEED_MORE && arrive(r)) {
        free_copy(in);
        in = arrived(r);
    }
    struct body body;
    if (feed == FEED_DONE && r->stop == REASON_NONE)
        r->stop = body_of_request(&request, &body);
    bool ours = feed == FEED_DONE && request.form != FORM_ABSOLUTE;
    bool loops = feed == FEED_DONE && forward_loops(&request, span_text(VIA_ID));
    if (feed != FEED_DONE || r->stop != REASON_NONE || ours || loops) {
        free_copy(in);
        return false;
    }
    struct forward_request what = {
        .request = &request,
        .body = &body,
        .via_id = span_text(VIA_ID),
        .websocket = forward_wants_websocket(&request),
        .expect = (r->options & OPTION_EXTRA) != 0,
    };
    size_t from = r->out.len;
    CHECK(body.kind != BODY_UNTIL_CLOSE);
    forward_request(&r->out, &what);
    keep_head(r, from, request.head_bytes);
    decide_request(r, &what);
    r->at += request.head_bytes;
    bool more = forward_keeps_alive(&request) && !what.websocket;
    free_copy(in);
    return pass_on(r, &body, body.kind) && more;
}

static void decide_response(struct run *r, const struct forward_response *what)
{
    const struct response *a = what->response;
    bool final = a->status >= 200;
    bool printable = true;
    outbuf_u64(&r->facts, a->status);
    outbuf_char(&r->facts, ':');
    for (size_t i = 0; i < a->phrase.len; i++)
        printable = printable && a->phrase.data[i] >= 0x20 && a->phrase.data[i] < 0x7f;
    if (printable)
        outbuf_span(&r->facts, a->phrase);
    outbuf_char(&r->facts, '\n');
    decide_fields(r, SIDE_RESPONSE, a->headers, a->header_count, false);
    if (final && what->date.len > 0 && response_header(a, "date") == NULL)
        put_field(&r->facts, span_text("Date"), what->date);
    put_flags(&r->facts, final && (!what->keep_alive || what->send_as == BODY_UNTIL_CLOSE), what->websocket, false);
    const struct header *length = response_header(a, "content-length");
    if (what->body->kind == BODY_NONE && final && a->status != 204 && a->status != 304 && length != NULL)
        outbuf_span(&r->facts, length->value);
}

static bool pass_response(struct run *r)
{
    struct response_parser parser = {0};
    static struct response response;
    struct span in = arrived(r);
    enum feed feed;
    while ((feed = response_feed(&parser, in, &limits, &response)) == FEED_MORE && arrive(r)) {
        free_copy(in);
        in = arrived(r);
    }
    struct body body;
    enum method method = (r->options & OPTION_HEAD) != 0 ? METHOD_HEAD : METHOD_GET;
    bool websocket = feed == FEED_DONE && forward_accepts_websocket(&response);
    bool good =
        feed == FEED_DONE && body_of_response(&response, method, &body) && (websocket || response.status != 101);
    if (!good) {
        r->stop = feed == FEED_MORE ? REASON_NONE : REASON_UPSTREAM;
        free_copy(in);
        return false;
    }
    struct forward_response what = {
        .response = &response,
        .body = &body,
        .send_as = forward_send_as(&body, (r->options & OPTION_OLD) != 0 ? 0 : 1),
        .via_id = span_text(VIA_ID),
        .keep_alive = (r->options & OPTION_KEEP) != 0,
        .websocket = websocket,
        .date = span_text((r->options & OPTION_EXTRA) != 0 ? DATE : ""),
    };
    size_t from = r->out.len;
    forward_response(&r->out, &what);
    keep_head(r, from, response.head_bytes);
    decide_response(r, &what);
    r->at += response.head_bytes;
    bool more = !websocket && forward_upstream_keeps_alive(&response);
    free_copy(in);
    return pass_on(r, &body, what.send_as) && more;
}

static void run(struct run *r, uint8_t (*buffers)[OUT_MAX])
{
    r->out = outbuf_make(buffers[0], OUT_MAX);
    r->heads = outbuf_make(buffers[1], OUT_MAX);
    r->facts = outbuf_make(buffers[2], OUT_MAX);
    bool responses = (r->options & OPTION_RESPONSES) != 0;
    while (r->messages < MESSAGES_MAX && (r->at < r->have || arrive(r))) {
        r->messages++;
        if (!(responses ? pass_response(r) : pass_request(r)))
            break;
    }
    CHECK(!r->out.overflow && !r->heads.overflow && !r->facts.overflow);
}

/* The next server reads the very messages that were decided. */
static void check_read(const struct run *r)
{
    struct outbuf facts = outbuf_make(reader_memory, sizeof reader_memory);
    struct span rest = outbuf_written(&r->out);
    enum side side = (r->options & OPTION_RESPONSES) != 0 ? SIDE_RESPONSE : SIDE_REQUEST;
    unsigned count = 0;
    bool whole = true;
    while (rest.len > 0) {
        CHECK(whole && ++count <= r->messages);
        whole = read_message(side, (r->options & OPTION_HEAD) != 0, &rest, &facts);
    }
    CHECK(!facts.overflow && span_equal(outbuf_written(&facts), outbuf_written(&r->facts)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > INPUT_MAX)
        return 0;
    struct span raw = span_make(data + 2, size - 2);
    struct run whole = {.options = data[0], .raw = raw};
    struct run cut = {.options = data[0], .raw = raw, .split = data[1] + 1u};
    run(&whole, memory[0]);
    run(&cut, memory[1]);
    check_read(&whole);
    check_read(&cut);
    CHECK(whole.stop == cut.stop && whole.messages == cut.messages && whole.at == cut.at);
    CHECK(span_equal(outbuf_written(&whole.heads), outbuf_written(&cut.heads)));
    CHECK(span_equal(outbuf_written(&whole.facts), outbuf_written(&cut.facts)));
    return 0;
}
