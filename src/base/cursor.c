/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cursor.h"

struct cursor cursor_make(struct span bytes)
{
    return (struct cursor){.rest = bytes, .failed = false};
}

struct span cursor_take(struct cursor *c, size_t len)
{
    if (c->failed || len > c->rest.len) {
        c->failed = true;
        c->rest = span_make(NULL, 0);
        return span_make(NULL, 0);
    }
    struct span taken = span_make(c->rest.data, len);
    c->rest = span_from(c->rest, len);
    return taken;
}

static uint64_t take_number(struct cursor *c, size_t bytes)
{
    struct span s = cursor_take(c, bytes);
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++)
        value = value << 8 | s.data[i];
    return value;
}

uint8_t cursor_u8(struct cursor *c)
{
    return (uint8_t)take_number(c, 1);
}

uint16_t cursor_u16(struct cursor *c)
{
    return (uint16_t)take_number(c, 2);
}

uint32_t cursor_u24(struct cursor *c)
{
    return (uint32_t)take_number(c, 3);
}

uint32_t cursor_u32(struct cursor *c)
{
    return (uint32_t)take_number(c, 4);
}

uint64_t cursor_u64(struct cursor *c)
{
    return take_number(c, 8);
}

static struct cursor block(struct cursor *c, size_t length_bytes)
{
    size_t len = (size_t)take_number(c, length_bytes);
    struct span inner = cursor_take(c, len);
    return (struct cursor){.rest = inner, .failed = c->failed};
}

struct cursor cursor_block8(struct cursor *c)
{
    return block(c, 1);
}

struct cursor cursor_block16(struct cursor *c)
{
    return block(c, 2);
}

struct cursor cursor_block24(struct cursor *c)
{
    return block(c, 3);
}

bool cursor_done(const struct cursor *c)
{
    return !c->failed && c->rest.len == 0;
}
