/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text: strict readers of numbers that people write. Nothing is skipped, nothing is guessed: no sign, no leading zero
 * (except "0"), no white space, no other base.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/err.h"
#include "base/span.h"

/* Decimal, at most `max`. ERR_INVALID for another form, ERR_TOO_BIG above max. */
MUST_CHECK enum err text_u64(struct span s, uint64_t max, uint64_t *out);

/* A duration with its unit, "250ms", "10s", "5m", "1h", in milliseconds; zero is ERR_INVALID, above 366 days
 * ERR_TOO_BIG. */
MUST_CHECK enum err text_duration_ms(struct span s, uint64_t *out_ms);

/* A size with its unit, "512B", "64KiB", "16MiB", "2GiB", in bytes; zero is ERR_INVALID, above 2^60 ERR_TOO_BIG. */
MUST_CHECK enum err text_size_bytes(struct span s, uint64_t *out_bytes);

/* ASCII alone: every other byte stays as it is. */
static inline uint8_t text_lower(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') ? (uint8_t)(c + ('a' - 'A')) : c;
}

#endif
