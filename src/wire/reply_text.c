/* SPDX-License-Identifier: Apache-2.0 */
#include "reply_text.h"

#include "base/assert.h"

#define HINT_JSON_MAX 640 /* a hint of 256 printable bytes always fits, each of them escaped */
#define HOST_MIN      8   /* a host cut to less says nothing */

static bool is_policy(const struct reason_row *row)
{
    static const char prefix[] = "policy:";
    return strncmp(row->sentence, prefix, sizeof prefix - 1) == 0;
}

struct span reply_request_id(const struct refusal *refusal)
{
    struct span id = refusal->request_id;
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return span_make(NULL, 0);
    }
    return id.len == REQUEST_ID_TEXT ? id : span_make(NULL, 0);
}

struct span reply_json_bounded(struct span s, size_t max)
{
    size_t need = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        bool plain = c >= 0x20 && c < 0x7f;
        need += !plain ? 7 : c == '"' || c == '\\' ? 2 : 1;
        if (need > max)
            return span_first(s, i);
    }
    return s;
}

struct span reply_hint(const struct refusal *refusal)
{
    if (refusal->hint.len > 0)
        return reply_json_bounded(refusal->hint, HINT_JSON_MAX);
    return span_text("Ask the operator of this proxy and give the request id.");
}

/* The host, cut in its middle to at most `max` bytes: both the label that was chosen and the domain stay readable. */
static void put_cut(struct outbuf *out, struct span s, size_t max)
{
    static const char gap[] = "...";
    if (s.len <= max) {
        outbuf_span(out, s);
        return;
    }
    size_t kept = max - (sizeof gap - 1);
    size_t left = kept / 2;
    outbuf_span(out, span_first(s, left));
    outbuf_text(out, gap);
    outbuf_span(out, span_from(s, s.len - (kept - left)));
}

/* The port is said where it is the matter. */
static struct span target_text(const struct refusal *refusal, char text[static TARGET_TEXT_MAX])
{
    if (refusal->target == NULL)
        return span_make(NULL, 0);
    size_t len = refusal->reason == REASON_PORT ? target_format(refusal->target, text)
                                                : target_format_host(refusal->target, text);
    return span_make(text, len);
}

static void put_sentence(struct outbuf *out, const struct refusal *refusal, size_t host_max)
{
    char text[TARGET_TEXT_MAX];
    struct span host = target_text(refusal, text);
    outbuf_text(out, reason_row(refusal->reason)->sentence);
    if (host.len == 0 || (host.len > host_max && host_max < HOST_MIN))
        return;
    outbuf_text(out, ": ");
    put_cut(out, host, host_max);
}

void reply_phrase(struct outbuf *out, const struct refusal *refusal)
{
    static const char before[] = " (request ";
    struct span id = reply_request_id(refusal);
    size_t id_part = id.len == 0 ? 0 : sizeof before - 1 + id.len + 1;
    size_t used = strlen(reason_row(refusal->reason)->sentence) + 2 + id_part;
    size_t start = out->len;
    put_sentence(out, refusal, used < REPLY_PHRASE_MAX ? REPLY_PHRASE_MAX - used : 0);
    if (id.len > 0) {
        outbuf_text(out, before);
        outbuf_span(out, id);
        outbuf_char(out, ')');
    }
    ASSERT(out->len - start <= REPLY_PHRASE_MAX);
}

void reply_error(struct outbuf *out, const struct refusal *refusal)
{
    const struct reason_row *row = reason_row(refusal->reason);
    put_sentence(out, refusal, TARGET_TEXT_MAX);
    if (is_policy(row))
        outbuf_text(out, ". This is policy and permanent, not a network fault: trying again or another way is "
                         "pointless. ");
    else if (row->retry)
        outbuf_text(out, ". This is not a policy decision; it may pass, so trying again later can help. ");
    else
        outbuf_text(out, ". This is not a policy decision; the same request will fail again. ");
    outbuf_span(out, reply_hint(refusal));
}

const char *reply_proxy_error(enum reason reason)
{
    static const char *const types[REASON_COUNT] = {
        [REASON_MALFORMED] = "http_request_error",
        [REASON_TARGET] = "http_request_error",
        [REASON_FRAMING] = "http_request_error",
        [REASON_CODING] = "http_request_error",
        [REASON_EXPECTATION] = "http_request_error",
        [REASON_VERSION] = "http_request_error",
        [REASON_URI] = "http_request_error",
        [REASON_HEAD] = "http_request_error",
        [REASON_HEAD_TIME] = "http_request_error",
        [REASON_METHOD_UNKNOWN] = "http_request_error",
        [REASON_MISMATCH] = "http_request_error",
        [REASON_LITERAL] = "destination_ip_prohibited",
        [REASON_ADDRESS] = "destination_ip_prohibited",
        [REASON_SELF] = "destination_ip_prohibited",
        [REASON_LIMIT] = "connection_limit_reached",
        [REASON_LOOP] = "proxy_loop_detected",
        [REASON_AUDIT] = "proxy_internal_error",
        [REASON_DNS] = "dns_error",
        [REASON_DNS_TIME] = "dns_timeout",
        [REASON_CONNECT] = "connection_refused",
        [REASON_CONNECT_TIME] = "connection_timeout",
        [REASON_UPSTREAM] = "http_protocol_error",
    };
    return types[reason] != NULL ? types[reason] : "http_request_denied";
}
