/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/reply.h"

#include "base/assert.h"
#include "base/json.h"
#include "reply_text.h"

#define NAME_JSON_MAX 256 /* environment and rule */
#define ALLOW_MAX     128

struct status_text {
    uint16_t status;
    const char *text;
};

static const char *status_text(uint16_t status)
{
    static const struct status_text texts[] = {
        {200, "OK"                 },
        {400, "Bad Request"        },
        {403, "Forbidden"          },
        {404, "Not Found"          },
        {405, "Method Not Allowed" },
        {429, "Too Many Requests"  },
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Answer";
}

static void put_field(struct outbuf *out, const char *name, struct span value)
{
    outbuf_text(out, name);
    outbuf_bytes(out, ": ", 2);
    outbuf_span(out, value);
    outbuf_bytes(out, "\r\n", 2);
}

static void put_number_field(struct outbuf *out, const char *name, uint64_t value)
{
    char digits[20];
    struct outbuf text = outbuf_make(digits, sizeof digits);
    outbuf_u64(&text, value);
    put_field(out, name, outbuf_written(&text));
}

static void put_status(struct outbuf *out, uint16_t status)
{
    outbuf_text(out, "HTTP/1.1 ");
    outbuf_u64(out, status);
    outbuf_char(out, ' ');
}

/* What every answer with a body of ours ends its head with. */
static void put_common(struct outbuf *out, const char *content_type, size_t body_bytes)
{
    put_field(out, "Content-Type", span_text(content_type));
    put_number_field(out, "Content-Length", body_bytes);
    put_field(out, "Cache-Control", span_text("no-store"));
    put_field(out, "Connection", span_text("close"));
    outbuf_bytes(out, "\r\n", 2);
}

static void json_key_optional(struct json *j, const char *key, struct span value)
{
    json_key(j, key);
    if (value.len > 0)
        json_span(j, value);
    else
        json_nothing(j);
}

static void put_target(struct json *j, const struct target *target)
{
    if (target == NULL || target->kind == TARGET_NONE) {
        json_key_optional(j, "host", span_make(NULL, 0));
        json_key_optional(j, "port", span_make(NULL, 0));
        return;
    }
    char text[TARGET_TEXT_MAX];
    size_t len = target_format_host(target, text);
    json_key_span(j, "host", span_make(text, len));
    json_key_u64(j, "port", target->port);
}

static void put_body(struct outbuf *out, const struct refusal *refusal)
{
    const struct reason_row *row = reason_row(refusal->reason);
    uint8_t text[REPLY_ERROR_MAX];
    struct outbuf error = outbuf_make(text, sizeof text);
    reply_error(&error, refusal);
    ASSERT(!error.overflow);
    struct json j = json_make(out);
    json_open(&j, '{');
    json_key_span(&j, "error", outbuf_written(&error));
    json_key_text(&j, "reason", row->name);
    put_target(&j, refusal->target);
    json_key_optional(&j, "environment", reply_json_bounded(refusal->environment, NAME_JSON_MAX));
    json_key_optional(&j, "rule", reply_json_bounded(refusal->rule, NAME_JSON_MAX));
    json_key_optional(&j, "request_id", reply_request_id(refusal));
    json_key_span(&j, "hint", reply_hint(refusal));
    json_key_bool(&j, "retry", row->retry);
    json_close(&j, '}');
    outbuf_char(out, '\n');
}

static bool is_printable(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < 0x20 || s.data[i] > 0x7e)
            return false;
    return true;
}

/* Fields that only some reasons carry. Proxy-Authenticate stands with 407 alone: elsewhere it would make clients ask
 * their users for a password. */
static void put_special_fields(struct outbuf *out, const struct refusal *refusal)
{
    const struct reason_row *row = reason_row(refusal->reason);
    if (row->http_status == 405 && refusal->allow.len > 0 && refusal->allow.len <= ALLOW_MAX &&
        is_printable(refusal->allow))
        put_field(out, "Allow", refusal->allow);
    if (row->http_status == 407)
        put_field(out, "Proxy-Authenticate", span_text("Basic realm=\"sallyport\""));
    if (refusal->retry_after_s > 0)
        put_number_field(out, "Retry-After", refusal->retry_after_s);
}

static void put_head(struct outbuf *out, const struct refusal *refusal, size_t body_bytes)
{
    const struct reason_row *row = reason_row(refusal->reason);
    put_status(out, row->http_status);
    reply_phrase(out, refusal);
    outbuf_text(out, "\r\nProxy-Status: sallyport; error=");
    outbuf_text(out, reply_proxy_error(refusal->reason));
    outbuf_text(out, "; details=\"");
    outbuf_text(out, row->name);
    outbuf_text(out, "\"\r\n");
    put_field(out, "X-Sallyport-Reason", span_text(row->name));
    put_special_fields(out, refusal);
    put_common(out, "application/json", body_bytes);
}

void reply_refusal(struct outbuf *out, const struct refusal *refusal)
{
    ASSERT(reason_row(refusal->reason)->http_status >= 400);
    uint8_t text[REPLY_MAX];
    struct outbuf body = outbuf_make(text, sizeof text);
    put_body(&body, refusal);
    ASSERT(!body.overflow);
    put_head(out, refusal, body.len);
    if (!refusal->head_only)
        outbuf_span(out, outbuf_written(&body));
}

void reply_established(struct outbuf *out)
{
    outbuf_text(out, "HTTP/1.1 200 Connection established\r\n\r\n");
}

void reply_page(struct outbuf *out, uint16_t status, const char *content_type, struct span body, bool head_only)
{
    put_status(out, status);
    outbuf_text(out, status_text(status));
    outbuf_bytes(out, "\r\n", 2);
    put_common(out, content_type, body.len);
    if (!head_only)
        outbuf_span(out, body);
}

void reply_alert(struct outbuf *out, uint8_t alert)
{
    /* alert record, legacy version 1.2, two bytes: fatal and the description */
    const uint8_t record[] = {21, 3, 3, 0, 2, 2, alert};
    outbuf_bytes(out, record, sizeof record);
}
