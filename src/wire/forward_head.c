/* SPDX-License-Identifier: Apache-2.0 */
/* Heads as they leave. */
#include "forward_head.h"

#include "base/assert.h"
#include "base/text.h"
#include "forward_drop.h"
#include "wire/forward.h"

#define HTTP_PORT 80

static void put_line(struct outbuf *out, const char *name, struct span value)
{
    outbuf_text(out, name);
    outbuf_text(out, ": ");
    outbuf_span(out, value);
    outbuf_text(out, "\r\n");
}

static void put_header(struct outbuf *out, const struct header *header)
{
    outbuf_span(out, header->name);
    outbuf_text(out, ": ");
    outbuf_span(out, header->value);
    outbuf_text(out, "\r\n");
}

static void put_via(struct outbuf *out, uint8_t minor, struct span via_id)
{
    outbuf_text(out, minor == 0 ? "Via: 1.0 " FORWARD_PSEUDONYM : "Via: 1.1 " FORWARD_PSEUDONYM);
    outbuf_span(out, via_id);
    outbuf_text(out, "\r\n");
}

static void put_upgrade(struct outbuf *out)
{
    outbuf_text(out, "Connection: upgrade\r\nUpgrade: websocket\r\n");
}

static void put_framing(struct outbuf *out, const struct body *body, enum body_kind send_as)
{
    if (send_as == BODY_CHUNKED)
        put_line(out, "Transfer-Encoding", span_text("chunked"));
    if (send_as != BODY_LENGTH)
        return;
    outbuf_text(out, "Content-Length: ");
    outbuf_u64(out, body->payload + body->left); /* whether or not some of it was fed already */
    outbuf_text(out, "\r\n");
}

/* RFC 9112 3.2.4: the last proxy says "*" for OPTIONS of a URI with neither path nor query. */
static bool asks_whole_server(const struct request *request)
{
    struct span raw = request->raw_target;
    return request->method == METHOD_OPTIONS && span_is(request->path, "/") && raw.data[raw.len - 1] != '/';
}

static void put_request_line(struct outbuf *out, const struct request *request)
{
    outbuf_span(out, request->method_text);
    outbuf_char(out, ' ');
    if (asks_whole_server(request)) {
        outbuf_char(out, '*');
    } else {
        if (request->path.data[0] == '?')
            outbuf_char(out, '/');
        outbuf_span(out, request->path);
    }
    outbuf_text(out, " HTTP/1.1\r\n");
}

/* Of the target, never of the client's own Host: they were compared, and this one cannot be spelled in two ways. */
static void put_host(struct outbuf *out, const struct target *target)
{
    char text[TARGET_TEXT_MAX];
    size_t len = target_format(target, text);
    if (target->port == HTTP_PORT)
        len -= sizeof ":80" - 1;
    put_line(out, "Host", span_make(text, len));
}

/* RFC 9110 7.6.2. What is no number is dropped; a spent one is not forwarded at all. */
static void put_max_forwards(struct outbuf *out, struct span value)
{
    uint64_t left;
    if (text_u64(value, INT64_MAX, &left) != ERR_NONE || left == 0)
        return;
    outbuf_text(out, "Max-Forwards: ");
    outbuf_u64(out, left - 1);
    outbuf_text(out, "\r\n");
}

static bool counts_forwards(const struct request *request)
{
    return request->method == METHOD_OPTIONS || request->method == METHOD_TRACE;
}

static void put_request_fields(struct outbuf *out, const struct request *request)
{
    struct nominated nominated;
    nominated_read(&nominated, (struct fields){request->headers, request->header_count});
    for (size_t i = 0; i < request->header_count; i++) {
        const struct header *header = &request->headers[i];
        if (drop_from_both(header->name) || drop_from_request(header->name) || nominated_has(&nominated, header->name))
            continue;
        if (counts_forwards(request) && field_reads_as(header->name, "max-forwards"))
            put_max_forwards(out, header->value);
        else
            put_header(out, header);
    }
}

void forward_request(struct outbuf *out, const struct forward_request *what)
{
    const struct request *request = what->request;
    ASSERT(request->form == FORM_ABSOLUTE && request->path.len > 0);
    ASSERT(what->body->kind != BODY_UNTIL_CLOSE);
    ASSERT(!what->websocket || what->body->kind == BODY_NONE);
    put_request_line(out, request);
    put_host(out, &request->target);
    put_request_fields(out, request);
    put_framing(out, what->body, what->body->kind);
    if (what->expect && what->body->kind != BODY_NONE) /* RFC 9110 10.1.1: not without content */
        put_line(out, "Expect", span_text("100-continue"));
    put_via(out, request->minor, what->via_id);
    if (what->websocket)
        put_upgrade(out);
    outbuf_text(out, "\r\n");
}

static void put_status_line(struct outbuf *out, const struct response *response)
{
    bool printable = true;
    for (size_t i = 0; i < response->phrase.len; i++)
        if (response->phrase.data[i] < 0x20 || response->phrase.data[i] > 0x7e)
            printable = false;
    outbuf_text(out, "HTTP/1.1 ");
    outbuf_u64(out, response->status);
    outbuf_char(out, ' ');
    if (printable)
        outbuf_span(out, response->phrase);
    outbuf_text(out, "\r\n");
}

static void put_response_fields(struct outbuf *out, const struct response *response)
{
    struct nominated nominated;
    nominated_read(&nominated, (struct fields){response->headers, response->header_count});
    for (size_t i = 0; i < response->header_count; i++) {
        const struct header *header = &response->headers[i];
        if (!drop_from_both(header->name) && !nominated_has(&nominated, header->name))
            put_header(out, header);
    }
}

/* An answer to HEAD says how long the answer to GET were (RFC 9110 8.6); body_of_response() has looked at it. Nothing
 * is said of the length in 204 and 304, and the client awaits nothing either way. */
static void put_length_of_head(struct outbuf *out, const struct response *response)
{
    const struct header *header = response_header(response, "content-length");
    uint64_t length;
    if (response->status == 204 || response->status == 304 || header == NULL)
        return;
    if (text_u64(header->value, BODY_LENGTH_MAX, &length) == ERR_NONE)
        put_line(out, "Content-Length", header->value);
}

static void put_final_fields(struct outbuf *out, const struct forward_response *what)
{
    const struct response *response = what->response;
    if (what->body->kind == BODY_NONE)
        put_length_of_head(out, response);
    put_framing(out, what->body, what->send_as);
    if (what->date.len > 0 && response_header(response, "date") == NULL)
        put_line(out, "Date", what->date);
    if (!what->keep_alive || what->send_as == BODY_UNTIL_CLOSE)
        put_line(out, "Connection", span_text("close"));
}

static bool may_be_sent_as(const struct body *body, enum body_kind send_as)
{
    bool until_close = send_as == BODY_UNTIL_CLOSE && body->kind == BODY_CHUNKED;
    bool in_chunks = send_as == BODY_CHUNKED && body->kind == BODY_UNTIL_CLOSE;
    return send_as == body->kind || until_close || in_chunks;
}

void forward_response(struct outbuf *out, const struct forward_response *what)
{
    const struct response *response = what->response;
    ASSERT(may_be_sent_as(what->body, what->send_as));
    ASSERT(what->websocket == (response->status == 101));
    put_status_line(out, response);
    put_response_fields(out, response);
    if (response->status >= 200)
        put_final_fields(out, what);
    put_via(out, response->minor, what->via_id);
    if (what->websocket)
        put_upgrade(out);
    outbuf_text(out, "\r\n");
}
