/* SPDX-License-Identifier: Apache-2.0 */
/* A head gives the same facts in any split, and facts that keep the promises of wire/request.h. The first byte of the
 * input chooses the split. */
#include "fuzz_check.h"

#include "base/text.h"
#include "wire/request.h"

static const struct request_limits limits = {.head_bytes = 4096, .target_bytes = 300, .header_lines = 12};

struct result {
    enum feed feed;
    enum reason reason;
    struct request_parser parser;
    struct request request;
    struct span buffer;
};

/* Growing starts of the input, each in a copy of its own. The pieces' sizes come from a small generator. */
static struct result feed(struct span raw, unsigned split)
{
    struct result r = {.reason = REASON_NONE};
    size_t len = split == 0 ? raw.len : 0;
    for (;;) {
        r.buffer = exact_copy(span_first(raw, len));
        r.feed = request_feed(&r.parser, r.buffer, &limits, &r.request, &r.reason);
        if (r.feed != FEED_MORE || len >= raw.len)
            return r;
        free_copy(r.buffer);
        split = split * 1103515245u + 12345u;
        len += split % 256 < 128 ? 1 : 1 + (split >> 16) % 40;
        len = len < raw.len ? len : raw.len;
    }
}

static void check_same(const struct result *a, const struct result *b)
{
    const struct request *x = &a->request;
    const struct request *y = &b->request;
    CHECK(a->feed == b->feed);
    if (a->feed == FEED_MORE)
        return;
    CHECK(a->reason == b->reason && a->parser.scanned == b->parser.scanned);
    CHECK(x->method == y->method && span_equal(x->method_text, y->method_text));
    CHECK(x->form == y->form && x->minor == y->minor && span_equal(x->raw_target, y->raw_target));
    CHECK(memcmp(&x->target, &y->target, sizeof x->target) == 0 && span_equal(x->path, y->path));
    CHECK(x->has_host == y->has_host && x->host_has_port == y->host_has_port);
    CHECK(memcmp(&x->host, &y->host, sizeof x->host) == 0);
    CHECK(x->head_bytes == y->head_bytes && x->header_count == y->header_count);
    for (size_t i = 0; i < x->header_count; i++)
        CHECK(span_equal(x->headers[i].name, y->headers[i].name) &&
              span_equal(x->headers[i].value, y->headers[i].value));
}

static void check_no_control(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        CHECK((s.data[i] >= 0x20 || s.data[i] == '\t') && s.data[i] != 0x7f);
}

static void check_done(const struct request *q, struct span buffer)
{
    CHECK(q->head_bytes <= buffer.len && q->head_bytes <= limits.head_bytes && q->head_bytes >= 4);
    CHECK(memcmp(buffer.data + q->head_bytes - 4, "\r\n\r\n", 4) == 0);
    CHECK(q->raw_target.len >= 1 && q->raw_target.len <= limits.target_bytes);
    CHECK(q->header_count <= limits.header_lines && q->minor <= 1);
    CHECK((q->method == METHOD_CONNECT) == (q->form == FORM_AUTHORITY));
    CHECK((q->target.kind == TARGET_NONE) == (q->form == FORM_ORIGIN));
    CHECK(q->form == FORM_AUTHORITY || q->path.len >= 1);
    CHECK(q->minor == 0 || q->has_host);
    if (q->has_host && q->form != FORM_ORIGIN)
        CHECK(target_same_host(&q->target, &q->host) && q->target.port == q->host.port);
    check_no_control(q->raw_target);
    check_no_control(q->path);
    for (size_t i = 0; i < q->header_count; i++) {
        CHECK(q->headers[i].name.len >= 1);
        check_no_control(q->headers[i].name);
        check_no_control(q->headers[i].value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span raw = span_make(data + 1, size - 1);
    struct result whole = feed(raw, 0);
    struct result cut = feed(raw, data[0] + 1u);
    check_same(&whole, &cut);
    if (whole.feed == FEED_DONE)
        check_done(&whole.request, whole.buffer);
    if (whole.feed == FEED_BAD)
        CHECK(whole.reason != REASON_NONE && reason_row(whole.reason)->http_status >= 400);
    CHECK(whole.feed != FEED_MORE || raw.len <= limits.head_bytes);
    free_copy(whole.buffer);
    free_copy(cut.buffer);
    return 0;
}
