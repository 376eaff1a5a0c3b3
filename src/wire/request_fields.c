/* SPDX-License-Identifier: Apache-2.0 */
#include "request_fields.h"

#include "fields.h"

static struct fields fields_of(const struct request *request)
{
    return (struct fields){request->headers, request->header_count};
}

static bool has_look_alike(struct fields fields)
{
    return fields_mimic(fields, "content-length") || fields_mimic(fields, "transfer-encoding") ||
           fields_mimic(fields, "host");
}

static size_t count_framing(struct fields fields)
{
    return fields_count(fields, "content-length") + fields_count(fields, "transfer-encoding");
}

/* Seen here and nowhere later: the facts have the values alone. */
static bool framing_is_padded(struct fields fields)
{
    for (size_t i = 0; i < fields.count; i++) {
        const struct header *header = &fields.headers[i];
        bool frames = span_equal_fold(header->name, span_text("content-length")) ||
                      span_equal_fold(header->name, span_text("transfer-encoding"));
        if (frames && field_is_padded(header))
            return true;
    }
    return false;
}

/* The authority of a target that was parsed, as it was received. */
static struct span authority_of(const struct request *request)
{
    if (request->form == FORM_AUTHORITY)
        return request->raw_target;
    struct span rest = span_from(request->raw_target, sizeof "http://" - 1);
    size_t slash = span_find(rest, '/');
    return span_first(rest, span_find(span_first(rest, slash), '?'));
}

/* Byte for byte the authority that was parsed a moment ago is the target. */
static bool host_is_authority(const struct request *request, struct span value, bool *out_has_port)
{
    *out_has_port = span_find(value, ':') < value.len && value.data[value.len - 1] != ']';
    return span_equal(value, authority_of(request));
}

/* RFC 9112 3.2: a request without exactly one Host is an error in HTTP/1.1; HTTP/1.0 may leave it out. */
static enum reason read_host(struct request *request)
{
    size_t count = fields_count(fields_of(request), "host");
    if (count > 1 || (count == 0 && request->minor == 1))
        return REASON_MALFORMED;
    request->has_host = count == 1;
    if (!request->has_host || request->form == FORM_ORIGIN)
        return REASON_NONE;
    struct span value = request_header(request, "host")->value;
    if (host_is_authority(request, value, &request->host_has_port)) {
        request->host = request->target;
        return REASON_NONE;
    }
    if (target_parse_host(value, request->target.port, &request->host, &request->host_has_port) != ERR_NONE)
        return REASON_MALFORMED;
    /* Without a port the default was taken, which is the target's: so this compares what there is. */
    bool same = target_same_host(&request->host, &request->target) && request->host.port == request->target.port;
    return same ? REASON_NONE : REASON_MISMATCH;
}

static enum reason check_fields(struct request *request)
{
    struct fields fields = fields_of(request);
    if (has_look_alike(fields))
        return REASON_MALFORMED;
    if (request->method == METHOD_CONNECT && count_framing(fields) > 0)
        return REASON_MALFORMED;
    request->framing_padded = framing_is_padded(fields);
    return read_host(request);
}

enum reason request_fields_read(struct span lines, struct request *request)
{
    request->header_count = fields_cut(lines, request->headers);
    return check_fields(request);
}

const struct header *request_header(const struct request *request, const char *name)
{
    return fields_find(fields_of(request), name);
}
