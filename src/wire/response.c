/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/response.h"

#include "base/assert.h"
#include "fields.h"

#define VERSION_PREFIX    "HTTP/1."
#define STATUS_LINE_LEAST 13 /* "HTTP/1.1 200 " */

enum line { LINE_GOOD, LINE_EMPTY, LINE_BAD };

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool are_values(struct span s)
{
    return field_value_run(s) == s.len;
}

/* RFC 9112 4: the space behind the code is there even when no phrase is. */
static bool read_status_line(struct span line, struct response *out)
{
    const uint8_t *c = line.data;
    if (line.len < STATUS_LINE_LEAST || !span_is(span_first(line, 7), VERSION_PREFIX))
        return false;
    if ((c[7] != '0' && c[7] != '1') || c[8] != ' ' || c[12] != ' ')
        return false;
    if (c[9] < '1' || c[9] > '5' || !is_digit(c[10]) || !is_digit(c[11]))
        return false;
    out->minor = (uint8_t)(c[7] - '0');
    out->status = (uint16_t)((c[9] - '0') * 100 + (c[10] - '0') * 10 + (c[11] - '0'));
    out->phrase = span_from(line, STATUS_LINE_LEAST);
    return are_values(out->phrase);
}

static bool is_field_line(struct span line)
{
    size_t colon = span_find(line, ':');
    if (colon == 0 || colon == line.len)
        return false;
    for (size_t i = 0; i < colon; i++)
        if (!field_is_token(line.data[i]))
            return false;
    return are_values(span_from(line, colon + 1));
}

/* `line` ends before its LF. */
static enum line judge_line(struct response_parser *p, struct span line, const struct request_limits *limits)
{
    if (line.len == 0 || line.data[line.len - 1] != '\r')
        return LINE_BAD;
    line.len--;
    if (!p->have_status_line) {
        struct response ignored;
        p->have_status_line = read_status_line(line, &ignored);
        return p->have_status_line ? LINE_GOOD : LINE_BAD;
    }
    if (line.len == 0)
        return LINE_EMPTY;
    if (p->lines == limits->header_lines || !is_field_line(line))
        return LINE_BAD;
    p->lines++;
    return LINE_GOOD;
}

/* What is no HTTP/1 at all is known at its first byte, without the end of a line that may never come. */
static bool may_be_http(struct span so_far)
{
    struct span wanted = span_text(VERSION_PREFIX);
    return span_equal(span_first(so_far, wanted.len), span_first(wanted, so_far.len));
}

static enum line scan(struct response_parser *p, struct span so_far, const struct request_limits *limits)
{
    struct span head = span_first(so_far, limits->head_bytes);
    while (p->scanned < head.len) {
        struct span fresh = span_from(head, p->scanned);
        size_t newline = span_find(fresh, '\n');
        if (newline == fresh.len) {
            p->scanned = (uint32_t)head.len;
            break;
        }
        uint32_t end = p->scanned + (uint32_t)newline;
        enum line result = judge_line(p, span_make(head.data + p->line_start, end - p->line_start), limits);
        p->scanned = end + 1;
        p->line_start = end + 1;
        if (result != LINE_GOOD)
            return result;
    }
    return so_far.len > limits->head_bytes ? LINE_BAD : LINE_GOOD;
}

/* Fields that say where the answer ends must not be there in a spelling that the client reads and we do not. */
static bool read_head(struct span head, struct response *out)
{
    size_t first = span_find(head, '\r');
    bool good = read_status_line(span_first(head, first), out);
    ASSERT(good); /* the same bytes were good a moment ago */
    out->head_bytes = head.len;
    out->header_count = fields_cut(span_make(head.data + first + 2, head.len - first - 4), out->headers);
    struct fields fields = {out->headers, out->header_count};
    return !fields_mimic(fields, "content-length") && !fields_mimic(fields, "transfer-encoding");
}

enum feed response_feed(struct response_parser *parser, struct span so_far, const struct request_limits *limits,
                        struct response *out)
{
    ASSERT(limits->header_lines <= REQUEST_HEADERS_MAX);
    enum line result = LINE_BAD;
    if (parser->have_status_line || may_be_http(so_far))
        result = scan(parser, so_far, limits);
    if (result == LINE_GOOD)
        return FEED_MORE;
    memset(out, 0, offsetof(struct response, headers)); /* behind header_count there is nothing to clear */
    if (result == LINE_EMPTY && read_head(span_first(so_far, parser->scanned), out))
        return FEED_DONE;
    memset(out, 0, offsetof(struct response, headers)); /* nothing can act on half an answer */
    return FEED_BAD;
}

const struct header *response_header(const struct response *response, const char *name)
{
    return fields_find((struct fields){response->headers, response->header_count}, name);
}
