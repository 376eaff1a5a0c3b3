/* SPDX-License-Identifier: Apache-2.0 */
/*
 * span: borrowed bytes with their length. A span never owns, is never NUL-terminated by promise, and never outlives
 * the event that brought its bytes. The zero span is valid and empty.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *data;
    size_t len;
};

/* Borrows `len` bytes; `data` may be NULL when there are none. */
static inline struct span span_make(const void *data, size_t len)
{
    return (struct span){.data = data, .len = len};
}

/* The bytes of a C string without its NUL; NULL gives the empty span. */
static inline struct span span_text(const char *text)
{
    return span_make(text, text == NULL ? 0 : strlen(text));
}

/* Bytes from `from` to the end; empty if `from` lies behind it. */
static inline struct span span_from(struct span s, size_t from)
{
    return from >= s.len ? span_make(NULL, 0) : span_make(s.data + from, s.len - from);
}

/* At most `len` bytes from the start. */
static inline struct span span_first(struct span s, size_t len)
{
    return span_make(s.data, len < s.len ? len : s.len);
}

/* Byte-wise equality. */
bool span_equal(struct span a, struct span b);

/* Equality with A-Z folded to a-z; every other byte must be the same. Length and first letter tell most apart. */
bool span_equal_fold_slowly(struct span a, struct span b);
static inline bool span_equal_fold(struct span a, struct span b)
{
    if (a.len != b.len || a.len == 0)
        return a.len == b.len;
    return ((a.data[0] ^ b.data[0]) & 0xdf) == 0 && span_equal_fold_slowly(a, b);
}

/* Equality with a C string. */
bool span_is(struct span s, const char *text);

/* Position of the first `byte`, or s.len. */
size_t span_find(struct span s, uint8_t byte);

#endif
