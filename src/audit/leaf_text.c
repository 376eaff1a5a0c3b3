/* SPDX-License-Identifier: Apache-2.0 */
#include "leaf_text.h"

#include "base/json.h"

#include <endian.h>

/* Half of a word: each byte is spread to two nibbles, the upper one first, and all eight become digits at once. */
static uint64_t hex_half(uint32_t half)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t x = __builtin_bswap32(half); /* the upper byte is written first */
    x = (x | x << 16) & 0x0000ffff0000ffffu;
    x = (x | x << 8) & 0x00ff00ff00ff00ffu;
    x = (x >> 4 | x << 8) & 0x0f * ones;
    uint64_t letters = (x + 6 * ones) >> 4 & ones;
    return htole64(x + '0' * ones + letters * ('a' - '0' - 10));
}

uint8_t *put_hex_word(uint8_t *at, uint64_t word)
{
    uint64_t digits[2] = {hex_half((uint32_t)(word >> 32)), hex_half((uint32_t)word)};
    memcpy(at, digits, LEAF_HEX_WORD);
    return at + LEAF_HEX_WORD;
}

static unsigned count_digits(uint64_t number)
{
    static const uint64_t powers[] = {1ull,
                                      10ull,
                                      100ull,
                                      1000ull,
                                      10000ull,
                                      100000ull,
                                      1000000ull,
                                      10000000ull,
                                      100000000ull,
                                      1000000000ull,
                                      10000000000ull,
                                      100000000000ull,
                                      1000000000000ull,
                                      10000000000000ull,
                                      100000000000000ull,
                                      1000000000000000ull,
                                      10000000000000000ull,
                                      100000000000000000ull,
                                      1000000000000000000ull,
                                      10000000000000000000ull};
    /* log10 from the bits: 1233/4096 is a little more than log10(2). */
    unsigned guess = (64u - (unsigned)__builtin_clzll(number | 1)) * 1233u >> 12;
    return guess + (number >= powers[guess]);
}

uint8_t *put_number(uint8_t *at, uint64_t number)
{
    static const char pairs[] =
        "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
        "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    if (number < 10) {
        *at = (uint8_t)('0' + number);
        return at + 1;
    }
    unsigned left = count_digits(number);
    uint8_t *end = at + left;
    for (; left > 2; left -= 2) {
        memcpy(at + left - 2, pairs + number % 100 * 2, 2);
        number /= 100;
    }
    if (left == 2)
        memcpy(at, pairs + number * 2, 2);
    else
        *at = (uint8_t)('0' + number);
    return end;
}

/* Fewer bytes than a word; false: they are not all plain. */
static bool copy_plain_rest(uint8_t *at, struct span value)
{
    uint32_t first, last;
    if (value.len >= sizeof first) {
        memcpy(&first, value.data, sizeof first);
        memcpy(&last, value.data + value.len - sizeof last, sizeof last);
        memcpy(at, &first, sizeof first);
        memcpy(at + value.len - sizeof last, &last, sizeof last);
        return json_word_is_plain((uint64_t)first << 32 | last);
    }
    uint64_t word = 0x7878787878787878u; /* plain bytes around them */
    for (size_t i = 0; i < value.len; i++) {
        at[i] = value.data[i];
        word = word << 8 | value.data[i];
    }
    return json_word_is_plain(word);
}

/* Copied while it is looked at; the last word of a longer value overlaps the one before. */
uint8_t *put_escaped(uint8_t *at, struct span value)
{
    size_t done = 0;
    bool plain = true;
    while (plain && done + JSON_WORD <= value.len) {
        plain = json_copy_plain_word(at + done, value.data + done);
        done += plain ? JSON_WORD : 0;
    }
    if (plain && value.len >= JSON_WORD)
        plain = json_copy_plain_word(at + value.len - JSON_WORD, value.data + value.len - JSON_WORD);
    else if (plain)
        plain = copy_plain_rest(at, value);
    if (plain)
        return at + value.len;
    struct outbuf o = outbuf_make(at + done, LEAF_ESCAPED_MAX * (value.len - done));
    json_escape(&o, span_from(value, done));
    return at + done + o.len;
}
