/* SPDX-License-Identifier: Apache-2.0 */
/* The framing of a message, from its head (RFC 9112 6), and our own chunks. */
#include "wire/body.h"

#include "base/assert.h"
#include "base/text.h"
#include "fields.h"

static struct body body_make(enum body_kind kind, uint64_t length)
{
    return (struct body){.kind = kind, .left = length};
}

/*
 * RFC 9112 6.1 gives 501 to a coding that is not understood, and 6.3 gives 400 where the length is in doubt. In doubt
 * is all that one server may read otherwise than the next: no plain list of tokens, "chunked" twice or not at the end,
 * and "identity", which RFC 2616 had and RFC 7230 took away.
 */
static enum reason judge_other_codings(struct span value)
{
    struct span rest = value;
    struct span coding;
    bool chunked = false;
    while (field_next_element(&rest, &coding)) {
        if (chunked || coding.len == 0 || span_equal_fold(coding, span_text("identity")))
            return REASON_FRAMING;
        for (size_t i = 0; i < coding.len; i++)
            if (!field_is_token(coding.data[i]))
                return REASON_FRAMING;
        chunked = span_equal_fold(coding, span_text("chunked"));
    }
    return REASON_CODING;
}

static enum reason read_coding(const struct header *header, uint8_t minor, struct body *out)
{
    /* RFC 9112 6.1: from HTTP/1.0 a transfer coding is faulty framing, whatever its value. */
    if (minor == 0)
        return REASON_FRAMING;
    if (!span_equal_fold(header->value, span_text("chunked")))
        return header->value.len == 0 ? REASON_FRAMING : judge_other_codings(header->value);
    *out = body_make(BODY_CHUNKED, 0);
    return REASON_NONE;
}

static enum reason read_length(const struct header *header, struct body *out)
{
    uint64_t length;
    if (text_u64(header->value, BODY_LENGTH_MAX, &length) != ERR_NONE)
        return REASON_FRAMING;
    *out = body_make(BODY_LENGTH, length);
    return REASON_NONE;
}

/* Both kinds of field, or one of them twice, is never settled by preference, though RFC 9112 6.3 would let us. */
static enum reason read_framing(struct fields fields, uint8_t minor, enum body_kind if_none, struct body *out)
{
    size_t lengths = fields_count(fields, "content-length");
    size_t codings = fields_count(fields, "transfer-encoding");
    if (lengths + codings > 1)
        return REASON_FRAMING;
    if (codings == 1)
        return read_coding(fields_find(fields, "transfer-encoding"), minor, out);
    if (lengths == 1)
        return read_length(fields_find(fields, "content-length"), out);
    *out = body_make(if_none, 0);
    return REASON_NONE;
}

/* RFC 9110 10.1.1: 100-continue is the one expectation there is. */
static bool is_expected(struct fields fields)
{
    size_t count = fields_count(fields, "expect");
    return count == 0 ||
           (count == 1 && span_equal_fold(fields_find(fields, "expect")->value, span_text("100-continue")));
}

enum reason body_of_request(const struct request *request, struct body *out)
{
    struct fields fields = {request->headers, request->header_count};
    struct body body;
    if (request->framing_padded)
        return REASON_FRAMING;
    enum reason reason = read_framing(fields, request->minor, BODY_NONE, &body);
    if (reason != REASON_NONE)
        return reason;
    if (!is_expected(fields))
        return REASON_EXPECTATION;
    *out = body;
    return REASON_NONE;
}

bool body_of_response(const struct response *response, enum method method, struct body *out)
{
    struct fields fields = {response->headers, response->header_count};
    struct body body;
    if (read_framing(fields, response->minor, BODY_UNTIL_CLOSE, &body) != REASON_NONE)
        return false;
    /* RFC 9112 6.3, first rule: these end with their head, whatever it says of a length. */
    bool bodiless = response->status < 200 || response->status == 204 || response->status == 304;
    *out = bodiless || method == METHOD_HEAD ? body_make(BODY_NONE, 0) : body;
    return true;
}

void body_chunk_begin(struct outbuf *out, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    char line[BODY_CHUNK_BEGIN_MAX];
    size_t at = sizeof line;
    ASSERT(len > 0); /* would be the last chunk */
    line[--at] = '\n';
    line[--at] = '\r';
    for (uint64_t rest = len; rest != 0; rest >>= 4)
        line[--at] = digits[rest & 15];
    outbuf_bytes(out, line + at, sizeof line - at);
}

void body_chunk_end(struct outbuf *out)
{
    outbuf_text(out, "\r\n");
}

void body_last_chunk(struct outbuf *out)
{
    outbuf_text(out, "0\r\n\r\n");
}
