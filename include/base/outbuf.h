/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbuf: writes into memory that the caller owns, with a sticky overflow, so that a formatter checks once at its
 * end. After an overflow nothing more is written and `len` stays at what fitted whole calls.
 */
#ifndef BASE_OUTBUF_H
#define BASE_OUTBUF_H

#include "base/span.h"

struct outbuf {
    uint8_t *data;
    size_t cap;
    size_t len;
    bool overflow;
};

/* Nothing written yet, in `cap` bytes of the caller's, which outlive it. */
static inline struct outbuf outbuf_make(void *data, size_t cap)
{
    return (struct outbuf){.data = data, .cap = cap, .len = 0, .overflow = false};
}

/* Inline from here on: texts and records are put together from short literals, whose length the compiler then knows. */

/* Counts `len` bytes as written; the caller fills all of them. NULL: they overflow. */
static inline uint8_t *outbuf_room(struct outbuf *o, size_t len)
{
    if (o->overflow || len > o->cap - o->len) {
        o->overflow = true;
        return NULL;
    }
    uint8_t *at = o->data + o->len;
    o->len += len;
    return at;
}

/* All of it, or nothing and an overflow; so do the others. */
static inline void outbuf_bytes(struct outbuf *o, const void *data, size_t len)
{
    uint8_t *at = outbuf_room(o, len);
    /* memcpy from or to NULL is undefined even for no bytes */
    if (at != NULL && len != 0)
        memcpy(at, data, len);
}

static inline void outbuf_span(struct outbuf *o, struct span s)
{
    outbuf_bytes(o, s.data, s.len);
}

static inline void outbuf_text(struct outbuf *o, const char *text)
{
    outbuf_span(o, span_text(text));
}

static inline void outbuf_char(struct outbuf *o, char c)
{
    uint8_t *at = outbuf_room(o, 1);
    if (at != NULL)
        *at = (uint8_t)c;
}

void outbuf_u64(struct outbuf *o, uint64_t value);  /* decimal */
void outbuf_i64(struct outbuf *o, int64_t value);   /* decimal */
void outbuf_hex(struct outbuf *o, struct span s);   /* lower-case hexadecimal */
void outbuf_u8(struct outbuf *o, uint8_t value);    /* one byte */
void outbuf_be16(struct outbuf *o, uint16_t value); /* big-endian */
void outbuf_be32(struct outbuf *o, uint32_t value);
void outbuf_be64(struct outbuf *o, uint64_t value);

/* What was written, borrowed. */
struct span outbuf_written(const struct outbuf *o);

#endif
