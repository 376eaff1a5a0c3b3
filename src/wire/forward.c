/* SPDX-License-Identifier: Apache-2.0 */
/* What heads say of the connection: loops, websocket, and whether it stays open. */
#include "wire/forward.h"

#include "fields.h"
#include "forward_head.h"

static struct fields of_request(const struct request *request)
{
    return (struct fields){request->headers, request->header_count};
}

static struct fields of_response(const struct response *response)
{
    return (struct fields){response->headers, response->header_count};
}

/* Our pseudonym stands at `at` of the value, and is a whole token there. */
static bool names_us_at(struct span value, size_t at, struct span via_id)
{
    struct span prefix = span_text(FORWARD_PSEUDONYM);
    struct span found = span_from(value, at);
    size_t end = prefix.len + via_id.len;
    if (found.len < end || !span_equal_fold(span_first(found, prefix.len), prefix))
        return false;
    if (!span_equal_fold(span_first(span_from(found, prefix.len), via_id.len), via_id))
        return false;
    return (at == 0 || !field_is_token(value.data[at - 1])) && (end == found.len || !field_is_token(found.data[end]));
}

/* Anywhere, in comments too: whoever knows the pseudonym has it from a request that went through here. */
static bool via_names_us(struct span value, struct span via_id)
{
    for (size_t at = 0; at < value.len; at++)
        if (names_us_at(value, at, via_id))
            return true;
    return false;
}

static size_t count_elements(struct span list)
{
    struct span element;
    size_t count = 0;
    while (field_next_element(&list, &element))
        count += element.len > 0;
    return count;
}

/* "0", and all else that is worth zero to somebody. */
static bool is_spent(struct span number)
{
    for (size_t i = 0; i < number.len; i++)
        if (number.data[i] != '0')
            return false;
    return number.len > 0;
}

bool forward_loops(const struct request *request, struct span via_id)
{
    size_t hops = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct header *header = &request->headers[i];
        if (span_equal_fold(header->name, span_text("max-forwards")) && is_spent(header->value))
            return true;
        if (!span_equal_fold(header->name, span_text("via")))
            continue;
        hops += count_elements(header->value);
        if (hops >= FORWARD_HOPS_MAX || via_names_us(header->value, via_id))
            return true;
    }
    return false;
}

static bool upgrades_to_websocket(struct fields fields)
{
    return fields_list_has(fields, "upgrade", "websocket") && fields_list_has(fields, "connection", "upgrade");
}

/* RFC 6455 4.1 and 4.2.1. */
static bool has_one(struct fields fields, const char *name)
{
    return fields_count(fields, name) == 1 && fields_find(fields, name)->value.len > 0;
}

bool forward_wants_websocket(const struct request *request)
{
    struct fields fields = of_request(request);
    if (request->method != METHOD_GET || request->minor == 0)
        return false;
    if (fields_count(fields, "content-length") + fields_count(fields, "transfer-encoding") > 0)
        return false;
    return upgrades_to_websocket(fields) && has_one(fields, "sec-websocket-key");
}

bool forward_accepts_websocket(const struct response *response)
{
    struct fields fields = of_response(response);
    return response->status == 101 && response->minor == 1 && upgrades_to_websocket(fields) &&
           has_one(fields, "sec-websocket-accept");
}

bool forward_keeps_alive(const struct request *request)
{
    return request->minor == 1 && !fields_list_has(of_request(request), "connection", "close");
}

bool forward_upstream_keeps_alive(const struct response *response)
{
    struct fields fields = of_response(response);
    if (fields_list_has(fields, "connection", "close"))
        return false;
    return response->minor == 1 || fields_list_has(fields, "connection", "keep-alive");
}

enum body_kind forward_send_as(const struct body *body, uint8_t client_minor)
{
    return body->kind == BODY_CHUNKED && client_minor == 0 ? BODY_UNTIL_CLOSE : body->kind;
}
