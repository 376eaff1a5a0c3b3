/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cursor: reads big-endian numbers and blocks from a span with a sticky error, so that a parser checks once at its
 * end. After the first failure every read gives zero or an empty block and the cursor stays failed.
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include "base/span.h"

struct cursor {
    struct span rest;
    bool failed;
};

/* At the first of these bytes, which stay borrowed. */
struct cursor cursor_make(struct span bytes);
/* The next number of one to eight bytes; 0 when it is not all there. */
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u24(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);

/* The next `len` bytes, borrowed. */
struct span cursor_take(struct cursor *c, size_t len);

/* A block whose length stands before it in one, two or three bytes: the bounded inner cursor. A block that reaches
 * past the outer one fails the outer cursor and gives a failed inner one. */
struct cursor cursor_block8(struct cursor *c);
struct cursor cursor_block16(struct cursor *c);
struct cursor cursor_block24(struct cursor *c);

/* True if nothing failed and every byte was read: "a block not fully read is an error". */
bool cursor_done(const struct cursor *c);

#endif
