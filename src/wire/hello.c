/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/hello.h"

#include "base/assert.h"
#include "hello_message.h"

#define RECORD_HEADER     5
#define RECORD_MAX        16384 /* RFC 8446 5.1 */
#define MESSAGE_HEADER    4
#define CONTENT_HANDSHAKE 22
#define HANDSHAKE_CLIENT  1
#define MAJOR_VERSION     3

enum step { STEP_MORE, STEP_NEXT, STEP_MESSAGE, STEP_BAD };

static enum step bad(enum reason reason, enum reason *out)
{
    *out = reason;
    return STEP_BAD;
}

/* What is wrong with a record that is not a handshake record: before the first one it is just not TLS as we want it,
 * between two fragments it breaks the message (RFC 8446 5.1). */
static enum reason foreign(const struct hello_parser *p)
{
    return p->records == 0 ? REASON_NOT_TLS : REASON_HELLO;
}

/* The header of the record at p->next_record. Each byte is judged as soon as it is there, so that plain text or a
 * claimed length is not waited for. STEP_NEXT if the whole header is good. */
static enum step check_header(const struct hello_parser *p, struct span record, const struct hello_limits *limits,
                              uint32_t *out_len, enum reason *out_reason)
{
    if (record.len >= 1 && record.data[0] != CONTENT_HANDSHAKE)
        return bad(foreign(p), out_reason);
    if (record.len >= 2 && record.data[1] != MAJOR_VERSION)
        return bad(foreign(p), out_reason);
    if (record.len < RECORD_HEADER)
        return STEP_MORE;
    uint32_t len = (uint32_t)record.data[3] << 8 | record.data[4];
    if (len == 0)
        return bad(REASON_HELLO, out_reason);
    if (len > RECORD_MAX || len > limits->raw_bytes || p->next_record + RECORD_HEADER + len > limits->raw_bytes)
        return bad(REASON_HELLO_BIG, out_reason);
    *out_len = len;
    return STEP_NEXT;
}

/* Gathers the message's own header, which may lie in up to four records, from what of this fragment is there. */
static enum step check_message_header(struct hello_parser *p, struct span fragment, const struct hello_limits *limits,
                                      enum reason *out_reason)
{
    while (p->head_bytes < MESSAGE_HEADER && p->head_bytes - p->gathered < fragment.len) {
        p->head[p->head_bytes] = fragment.data[p->head_bytes - p->gathered];
        p->head_bytes++;
        if (p->head[0] != HANDSHAKE_CLIENT)
            return bad(REASON_HELLO, out_reason);
    }
    if (p->head_bytes < MESSAGE_HEADER || p->want != 0)
        return STEP_NEXT;
    uint32_t want = MESSAGE_HEADER + ((uint32_t)p->head[1] << 16 | (uint32_t)p->head[2] << 8 | p->head[3]);
    if (want > limits->message_bytes)
        return bad(REASON_HELLO_BIG, out_reason);
    p->want = want;
    return STEP_NEXT;
}

/* One record: STEP_NEXT behind it, STEP_MESSAGE if it completes the message. */
static enum step read_record(struct hello_parser *p, struct span so_far, const struct hello_limits *limits,
                             enum reason *out_reason)
{
    struct span record = span_from(so_far, p->next_record);
    uint32_t len = 0;
    enum step result = check_header(p, record, limits, &len, out_reason);
    if (result != STEP_NEXT)
        return result;
    struct span fragment = span_first(span_from(record, RECORD_HEADER), len);
    result = check_message_header(p, fragment, limits, out_reason);
    if (result != STEP_NEXT)
        return result;
    /* Bytes behind the message in its own record: a second message, or a lie about a length. */
    if (p->want != 0 && p->gathered + len > p->want)
        return bad(REASON_HELLO, out_reason);
    if (fragment.len < len)
        return STEP_MORE;
    p->next_record += RECORD_HEADER + len;
    p->gathered += len;
    p->records++;
    return p->gathered == p->want ? STEP_MESSAGE : STEP_NEXT;
}

/* The message in one piece: in place when one record holds it, else put together in `scratch`. */
static struct span reassemble(const struct hello_parser *p, struct span so_far, uint8_t *scratch)
{
    if (p->records == 1)
        return span_make(so_far.data + RECORD_HEADER, p->gathered);
    size_t gathered = 0;
    for (size_t at = 0; at < p->next_record;) {
        size_t len = (size_t)so_far.data[at + 3] << 8 | so_far.data[at + 4];
        ASSERT(gathered + len <= p->gathered);
        memcpy(scratch + gathered, so_far.data + at + RECORD_HEADER, len);
        gathered += len;
        at += RECORD_HEADER + len;
    }
    return span_make(scratch, gathered);
}

enum feed hello_feed(struct hello_parser *parser, struct span so_far, const struct hello_limits *limits,
                     uint8_t *scratch, struct hello *out, enum reason *out_reason)
{
    ASSERT(limits->message_bytes <= HELLO_SCRATCH_BYTES);
    out->odd_name = span_make(NULL, 0);
    enum step result;
    do
        result = read_record(parser, so_far, limits, out_reason);
    while (result == STEP_NEXT);
    if (result == STEP_MORE)
        return FEED_MORE;
    if (result == STEP_BAD)
        return FEED_BAD;
    if (hello_message_read(reassemble(parser, so_far, scratch), out) != ERR_NONE) {
        *out_reason = REASON_HELLO;
        return FEED_BAD;
    }
    out->raw_bytes = parser->next_record;
    return FEED_DONE;
}
