/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leaf_text: the pieces of a leaf, written one behind the other through a plain pointer. No piece checks for room: what
 * the whole leaf can take with every byte escaped is asked for once, before the first (leaf_room). Literals are copied
 * with a length that the compiler knows, so that most of a leaf is a row of moves.
 */
#ifndef AUDIT_LEAF_TEXT_H
#define AUDIT_LEAF_TEXT_H

#include "base/span.h"

#define LEAF_ESCAPED_MAX 7u /* what one byte can become: \\u00ff, behind two backslashes */
#define LEAF_HEX_WORD    16u

/* A literal, or a text of ours that needs no escape. */
static inline __attribute__((always_inline)) uint8_t *put(uint8_t *at, const char *text)
{
    size_t len = strlen(text);
    memcpy(at, text, len);
    return at + len;
}

/* The word's sixteen hexadecimal digits, the highest first. */
uint8_t *put_hex_word(uint8_t *at, uint64_t word);
uint8_t *put_number(uint8_t *at, uint64_t number);
/* What stands between the quotes, as json_span() escapes it. */
uint8_t *put_escaped(uint8_t *at, struct span value);

/* A literal and a number behind it. */
static inline __attribute__((always_inline)) uint8_t *put_count(uint8_t *at, const char *text, uint64_t number)
{
    return put_number(put(at, text), number);
}

/* A literal that ends with a quote, a value, and the quote behind it. */
static inline __attribute__((always_inline)) uint8_t *put_string(uint8_t *at, const char *text, struct span value)
{
    at = put_escaped(put(at, text), value);
    *at++ = '"';
    return at;
}

/* The same for a text of ours, which needs no escape. */
static inline __attribute__((always_inline)) uint8_t *put_word(uint8_t *at, const char *text, const char *word)
{
    at = put(put(at, text), word);
    *at++ = '"';
    return at;
}

#endif
