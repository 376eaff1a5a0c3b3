/* SPDX-License-Identifier: Apache-2.0 */
#include "request_fields.h"

#include "base/assert.h"
#include "base/text.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s = span_make(s.data + 1, s.len - 1);
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

static void cut_lines(struct span lines, struct request *request)
{
    while (lines.len > 0) {
        size_t end = span_find(lines, '\r');
        size_t colon = span_find(lines, ':');
        ASSERT(colon < end && end + 1 < lines.len && request->header_count < REQUEST_HEADERS_MAX);
        request->headers[request->header_count++] = (struct header){
            .name = span_first(lines, colon),
            .value = trim(span_make(lines.data + colon + 1, end - colon - 1)),
        };
        lines = span_from(lines, end + 2);
    }
}

static uint8_t folded(uint8_t c)
{
    return c == '_' || c == '.' ? '-' : text_lower(c);
}

/* A name that some servers take for another one: CGI and its kin read '-', '_' and '.' as the same. */
static bool looks_like(struct span name, const char *field)
{
    struct span wanted = span_text(field);
    if (name.len != wanted.len || span_equal_fold(name, wanted))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (folded(name.data[i]) != wanted.data[i])
            return false;
    return true;
}

static bool has_look_alike(const struct request *request)
{
    static const char *const fields[] = {"content-length", "transfer-encoding", "host"};
    for (size_t i = 0; i < request->header_count; i++)
        for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++)
            if (looks_like(request->headers[i].name, fields[f]))
                return true;
    return false;
}

static size_t count_fields(const struct request *request, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        count += span_equal_fold(request->headers[i].name, span_text(name));
    return count;
}

/* RFC 9112 3.2: a request without exactly one Host is an error in HTTP/1.1; HTTP/1.0 may leave it out. */
static enum reason read_host(struct request *request)
{
    size_t count = count_fields(request, "host");
    if (count > 1 || (count == 0 && request->minor == 1))
        return REASON_MALFORMED;
    request->has_host = count == 1;
    if (!request->has_host || request->form == FORM_ORIGIN)
        return REASON_NONE;
    struct span value = request_header(request, "host")->value;
    if (target_parse_host(value, request->target.port, &request->host, &request->host_has_port) != ERR_NONE)
        return REASON_MALFORMED;
    /* Without a port the default was taken, which is the target's: so this compares what there is. */
    bool same = target_same_host(&request->host, &request->target) && request->host.port == request->target.port;
    return same ? REASON_NONE : REASON_MISMATCH;
}

static enum reason check_fields(struct request *request)
{
    if (has_look_alike(request))
        return REASON_MALFORMED;
    if (request->method == METHOD_CONNECT &&
        count_fields(request, "content-length") + count_fields(request, "transfer-encoding") > 0)
        return REASON_MALFORMED;
    return read_host(request);
}

enum reason request_fields_read(struct span lines, struct request *request)
{
    cut_lines(lines, request);
    return check_fields(request);
}

const struct header *request_header(const struct request *request, const char *name)
{
    struct span wanted = span_text(name);
    for (size_t i = 0; i < request->header_count; i++)
        if (span_equal_fold(request->headers[i].name, wanted))
            return &request->headers[i];
    return NULL;
}
