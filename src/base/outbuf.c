/* SPDX-License-Identifier: Apache-2.0 */
#include "base/outbuf.h"

void outbuf_u64(struct outbuf *o, uint64_t value)
{
    /* Two digits a division: a record has a dozen numbers, some of them long. */
    static const char pairs[] =
        "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
        "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    char digits[20]; /* 2^64 - 1 has twenty */
    size_t at = sizeof digits;
    while (value >= 100) {
        at -= 2;
        memcpy(digits + at, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + value * 2, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    outbuf_bytes(o, digits + at, sizeof digits - at);
}

void outbuf_i64(struct outbuf *o, int64_t value)
{
    if (value >= 0) {
        outbuf_u64(o, (uint64_t)value);
        return;
    }
    /* Sign and digits are one call to the caller: both or neither. */
    struct outbuf before = *o;
    outbuf_char(o, '-');
    outbuf_u64(o, 0 - (uint64_t)value);
    if (o->overflow)
        o->len = before.len;
}

void outbuf_hex(struct outbuf *o, struct span s)
{
    static const char digits[] = "0123456789abcdef";
    if (o->overflow || s.len > (o->cap - o->len) / 2) {
        o->overflow = true;
        return;
    }
    for (size_t i = 0; i < s.len; i++) {
        o->data[o->len++] = (uint8_t)digits[s.data[i] >> 4];
        o->data[o->len++] = (uint8_t)digits[s.data[i] & 15];
    }
}

void outbuf_u8(struct outbuf *o, uint8_t value)
{
    outbuf_bytes(o, &value, 1);
}

/* Not inlined: link-time optimisation of gcc 12 then warns of room that it cannot see. */
static __attribute__((noinline)) void big_endian(struct outbuf *o, uint64_t value, size_t bytes)
{
    uint8_t *at = outbuf_room(o, bytes);
    if (at == NULL)
        return;
    for (size_t i = bytes; i > 0; i--) {
        at[i - 1] = (uint8_t)value;
        value >>= 8;
    }
}

void outbuf_be16(struct outbuf *o, uint16_t value)
{
    big_endian(o, value, 2);
}

void outbuf_be32(struct outbuf *o, uint32_t value)
{
    big_endian(o, value, 4);
}

void outbuf_be64(struct outbuf *o, uint64_t value)
{
    big_endian(o, value, 8);
}

struct span outbuf_written(const struct outbuf *o)
{
    return span_make(o->data, o->len);
}
