/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/request.h"

#include "base/assert.h"
#include "fields.h"
#include "request_fields.h"
#include "request_line.h"

#define EMPTY_LINES_MAX 2

enum phase {
    PHASE_START, /* a fresh parser; empty lines may come */
    PHASE_METHOD,
    PHASE_TARGET,
    PHASE_VERSION,
    PHASE_FIELD, /* first byte of a field line, or the last CRLF */
    PHASE_NAME,
    PHASE_VALUE,
};

enum step { STEP_ON, STEP_HEAD_DONE, STEP_BAD };

static enum step bad(enum reason reason, enum reason *out)
{
    *out = reason;
    return STEP_BAD;
}

/* What one call of request_feed() works with. */
struct feeding {
    struct span so_far;
    const struct request_limits *limits;
    struct request_line line; /* read in this call: its spans are of these bytes */
    bool has_line;
};

static enum step request_line_end(struct request_parser *p, struct feeding *f, struct span line, enum reason *out)
{
    enum reason reason = request_line_read(line, &f->line);
    if (reason != REASON_NONE)
        return bad(reason, out);
    f->has_line = true;
    p->have_request_line = true;
    p->phase = PHASE_FIELD;
    return STEP_ON;
}

/* The LF of a line; `line` is the line without its CRLF. */
static enum step line_end(struct request_parser *p, struct feeding *f, struct span line, enum reason *out)
{
    switch ((enum phase)p->phase) {
    case PHASE_START:
        return ++p->empty_lines > EMPTY_LINES_MAX ? bad(REASON_MALFORMED, out) : STEP_ON;
    case PHASE_TARGET:
    case PHASE_VERSION:
        return request_line_end(p, f, line, out);
    case PHASE_FIELD:
        return STEP_HEAD_DONE;
    case PHASE_VALUE:
        p->phase = PHASE_FIELD;
        return STEP_ON;
    case PHASE_METHOD:
    case PHASE_NAME:
        break;
    }
    return bad(REASON_MALFORMED, out);
}

/* One byte of the request line that is neither CR nor LF. */
static enum step request_line_byte(struct request_parser *p, uint8_t c, uint32_t at,
                                   const struct request_limits *limits, enum reason *out)
{
    if (p->phase == PHASE_VERSION)
        return c > 0x20 && c < 0x7f ? STEP_ON : bad(REASON_MALFORMED, out);
    if (p->phase == PHASE_TARGET) {
        if (c == ' ') {
            p->phase = PHASE_VERSION;
            return at > p->target_start ? STEP_ON : bad(REASON_MALFORMED, out);
        }
        /* Other bytes are judged with the whole line, so that the record can show what was asked for. */
        return at - p->target_start < limits->target_bytes ? STEP_ON : bad(REASON_URI, out);
    }
    if (p->phase == PHASE_METHOD && c == ' ') {
        p->phase = PHASE_TARGET;
        p->target_start = at + 1;
        return STEP_ON;
    }
    p->phase = PHASE_METHOD;
    return field_is_token(c) ? STEP_ON : bad(REASON_MALFORMED, out);
}

/* One byte of a field line that is neither CR nor LF. */
static enum step field_byte(struct request_parser *p, uint8_t c, const struct request_limits *limits, enum reason *out)
{
    if (p->phase == PHASE_VALUE)
        return field_is_value(c) ? STEP_ON : bad(REASON_MALFORMED, out);
    if (p->phase == PHASE_FIELD) {
        if (p->lines == limits->header_lines)
            return bad(REASON_HEAD, out);
        p->lines++;
        p->phase = PHASE_NAME;
    } else if (c == ':') {
        p->phase = PHASE_VALUE;
        return STEP_ON;
    }
    return field_is_token(c) ? STEP_ON : bad(REASON_MALFORMED, out);
}

/* Everything that can go wrong is found at the byte where it goes wrong: that makes the result the same for any split,
 * and bytes that are no HTTP at all do not wait for the end of a line. */
static enum step step(struct request_parser *p, struct feeding *f, uint32_t at, enum reason *out)
{
    uint8_t c = f->so_far.data[at];
    if (p->after_cr) {
        if (c != '\n')
            return bad(REASON_MALFORMED, out);
        struct span line = span_make(f->so_far.data + p->line_start, at - 1 - p->line_start);
        p->after_cr = false;
        p->line_start = at + 1;
        return line_end(p, f, line, out);
    }
    if (c == '\r') {
        p->after_cr = true;
        return STEP_ON;
    }
    if (c == '\n')
        return bad(REASON_MALFORMED, out);
    return p->have_request_line ? field_byte(p, c, f->limits, out) : request_line_byte(p, c, at, f->limits, out);
}

/* A target's bytes are judged with the whole line; only its end and its length are looked for here. */
static uint32_t skip_target(const struct request_parser *p, struct feeding *f, uint32_t at, size_t end)
{
    const uint8_t *data = f->so_far.data;
    size_t most = (size_t)p->target_start + f->limits->target_bytes;
    end = end < most ? end : most;
    while (at < end && data[at] != ' ' && data[at] != '\r' && data[at] != '\n')
        at++;
    return at;
}

/* Most bytes of a head change nothing: they are passed over here, and step() sees the rest. */
static uint32_t skip_plain(const struct request_parser *p, struct feeding *f, uint32_t at, size_t end)
{
    const uint8_t *data = f->so_far.data;
    if (p->after_cr)
        return at;
    switch ((enum phase)p->phase) {
    case PHASE_VALUE:
        at += (uint32_t)field_value_run(span_make(data + at, end - at));
        break;
    case PHASE_TARGET:
        at = skip_target(p, f, at, end);
        break;
    case PHASE_NAME:
    case PHASE_METHOD:
        while (at < end && field_is_token(data[at]))
            at++;
        break;
    case PHASE_VERSION:
        while (at < end && data[at] > 0x20 && data[at] < 0x7f)
            at++;
        break;
    case PHASE_START:
    case PHASE_FIELD:
        break;
    }
    return at;
}

static enum step scan(struct request_parser *p, struct feeding *f, enum reason *out)
{
    struct span so_far = f->so_far;
    size_t end = so_far.len < f->limits->head_bytes ? so_far.len : f->limits->head_bytes;
    while (p->scanned < end) {
        p->scanned = skip_plain(p, f, p->scanned, end);
        if (p->scanned == end)
            break;
        enum step result = step(p, f, p->scanned, out);
        if (result == STEP_BAD)
            return result; /* `scanned` stays at the byte that was wrong */
        p->scanned++;
        if (result != STEP_ON)
            return result;
    }
    return so_far.len > f->limits->head_bytes ? bad(REASON_HEAD, out) : STEP_ON;
}

/* Bytes of empty lines before the request line. */
static size_t request_line_start(const struct request_parser *p)
{
    return (size_t)p->empty_lines * 2;
}

static void copy_line(const struct request_line *line, struct request *out)
{
    memset(out, 0, offsetof(struct request, headers)); /* behind header_count there is nothing to clear */
    out->method = line->method;
    out->method_text = line->method_text;
    out->form = line->form;
    out->minor = line->minor;
    out->raw_target = line->raw_target;
    out->target = line->target;
    out->path = line->path;
}

/* The request line from its first byte to the CR, or to where the scanner stopped. */
static struct span seen_line(const struct request_parser *p, struct span so_far)
{
    struct span seen = span_from(span_first(so_far, p->scanned), request_line_start(p));
    return span_first(seen, span_find(seen, '\r'));
}

/* What the record of a bad head may show. */
static void fill_partial(const struct request_parser *p, struct span so_far, struct request *out)
{
    struct request_line line;
    struct span seen = seen_line(p, so_far);
    memset(out, 0, sizeof *out);
    if (p->target_start == 0 || seen.len == 0) {
        out->method_text = p->phase == PHASE_METHOD ? seen : span_make(NULL, 0);
        return;
    }
    enum reason ignored = request_line_read(seen, &line);
    (void)ignored;
    if (!p->have_request_line) /* good as far as it was seen is not good */
        request_line_drop_target(&line);
    copy_line(&line, out);
}

static enum feed finish(const struct request_parser *p, struct feeding *f, struct request *out, enum reason *out_reason)
{
    struct span head = span_first(f->so_far, p->scanned);
    struct span first = seen_line(p, f->so_far);
    if (!f->has_line) {
        enum reason again = request_line_read(first, &f->line);
        ASSERT(again == REASON_NONE); /* the same bytes were good in an earlier call */
    }
    copy_line(&f->line, out);
    size_t fields = request_line_start(p) + first.len + 2;
    enum reason reason = request_fields_read(span_make(head.data + fields, head.len - fields - 2), out);
    if (reason != REASON_NONE) {
        copy_line(&f->line, out);
        *out_reason = reason;
        return FEED_BAD;
    }
    out->head_bytes = head.len;
    return FEED_DONE;
}

enum feed request_feed(struct request_parser *parser, struct span so_far, const struct request_limits *limits,
                       struct request *out, enum reason *out_reason)
{
    struct feeding f = {.so_far = so_far, .limits = limits};
    ASSERT(limits->header_lines <= REQUEST_HEADERS_MAX);
    switch (scan(parser, &f, out_reason)) {
    case STEP_ON:
        return FEED_MORE;
    case STEP_HEAD_DONE:
        return finish(parser, &f, out, out_reason);
    case STEP_BAD:
        break;
    }
    fill_partial(parser, so_far, out);
    return FEED_BAD;
}
