/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/secret.h"

#include "secret_tbl.h"

#define AFTER_PREFIX 8u  /* characters of a token behind its prefix */
#define HEX_MIN      16u /* of hexadecimal digits alone */
#define UUID_DIGITS  32u
#define RANDOM_MIN   20u /* from here on the kinds of characters are counted */
#define MIXED_MIN    16u /* the same with all three kinds */
#define WORD_MAX     27u /* letters in a row, in one case */
#define PIECE_MAX    63u /* no word is longer */
#define NEEDLESS_MAX 3u  /* letters and digits that were escaped for no reason but to hide them */

enum kind { KIND_OTHER, KIND_LOWER, KIND_UPPER, KIND_DIGIT };

static enum kind kind_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return KIND_DIGIT;
    if (c >= 'a' && c <= 'z')
        return KIND_LOWER;
    return c >= 'A' && c <= 'Z' ? KIND_UPPER : KIND_OTHER;
}

bool secret_is_run_byte(uint8_t c)
{
    return kind_of(c) != KIND_OTHER || c == '-' || c == '_' || c == '.' || c == '~' || c == '+' || c == '%';
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool begins(struct span s, const char *prefix, size_t len)
{
    return s.data[0] == (uint8_t)prefix[0] && s.len >= len + AFTER_PREFIX && memcmp(s.data, prefix, len) == 0;
}

static bool begins_like_a_token(struct span s)
{
    if (s.len <= AFTER_PREFIX) /* most words of a path are too short for any of them */
        return false;
#define X(prefix)                                                                                                      \
    if (begins(s, prefix, sizeof prefix - 1))                                                                          \
        return true;
    SECRET_PREFIX_TABLE(X)
#undef X
    return false;
}

/* What a piece, [A-Za-z0-9_-]*, is made of. */
struct make_up {
    size_t lower, upper, digits, hex, vowels;
    size_t pairs;       /* neighbours that are letters or digits both */
    size_t changes;     /* of them, of two kinds */
    size_t odd_changes; /* of them, between a letter and a digit */
    size_t letters_on;  /* most letters of one case in a row */
};

static bool is_vowel(uint8_t c)
{
    c |= 0x20;
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y';
}

static void look_at(struct span piece, struct make_up *m)
{
    enum kind last = KIND_OTHER;
    size_t in_a_row = 0;
    *m = (struct make_up){0};
    for (size_t i = 0; i < piece.len; i++) {
        uint8_t c = piece.data[i];
        enum kind kind = kind_of(c);
        m->lower += kind == KIND_LOWER;
        m->upper += kind == KIND_UPPER;
        m->digits += kind == KIND_DIGIT;
        m->hex += hex_value(c) >= 0;
        m->vowels += is_vowel(c);
        if (kind != KIND_LOWER && kind != KIND_UPPER)
            in_a_row = 0;
        else
            in_a_row = kind == last ? in_a_row + 1 : 1;
        m->letters_on = in_a_row > m->letters_on ? in_a_row : m->letters_on;
        if (kind != KIND_OTHER && last != KIND_OTHER) {
            m->pairs++;
            m->changes += kind != last;
            m->odd_changes += kind != last && (kind == KIND_DIGIT || last == KIND_DIGIT);
        }
        last = kind;
    }
}

/* A random text of letters in both cases changes case at every second letter, CamelCase at every fourth or so. */
static bool looks_random(const struct make_up *m, size_t len)
{
    size_t letters = m->lower + m->upper;
    bool mixed = m->lower > 0 && m->upper > 0 && m->digits > 0;
    if (mixed && len >= MIXED_MIN && m->changes * 10 >= m->pairs * 4)
        return true;
    if (len < RANDOM_MIN)
        return false;
    if (m->digits > 0 && letters > 0 && m->odd_changes >= 4 && m->odd_changes * 6 >= m->pairs)
        return true;
    if (m->lower > 0 && m->upper > 0 && m->changes * 10 >= m->pairs * 3)
        return true;
    return m->letters_on > WORD_MAX || (m->letters_on >= RANDOM_MIN && m->vowels * 100 < len * 28);
}

static bool piece_looks(struct span piece)
{
    if (piece.len < HEX_MIN)
        return false;
    if (piece.len > PIECE_MAX)
        return true;
    struct make_up m;
    look_at(piece, &m);
    size_t plain = m.lower + m.upper + m.digits;
    if (m.hex == plain && (plain >= UUID_DIGITS || (plain == piece.len && plain >= HEX_MIN)))
        return true;
    return looks_random(&m, piece.len);
}

/* Characters of an escape at `at`, 0 if there is none; says whether it was needed. */
static size_t escape_at(struct span run, size_t at, bool *needless)
{
    if (run.data[at] != '%' || run.len - at < 3 || hex_value(run.data[at + 1]) < 0 || hex_value(run.data[at + 2]) < 0)
        return 0;
    *needless = kind_of((uint8_t)(hex_value(run.data[at + 1]) * 16 + hex_value(run.data[at + 2]))) != KIND_OTHER;
    return 3;
}

static bool ends_piece(uint8_t c)
{
    return c == '.' || c == '~' || c == '+' || c == '%';
}

bool secret_looks(struct span run)
{
    size_t needless = 0, piece = 0;
    bool word_begins = true;
    for (size_t i = 0; i < run.len;) {
        uint8_t c = run.data[i];
        if (word_begins && begins_like_a_token(span_from(run, i)))
            return true;
        word_begins = kind_of(c) == KIND_OTHER;
        if (!ends_piece(c)) {
            i++;
            continue;
        }
        if (piece_looks(span_make(run.data + piece, i - piece)))
            return true;
        bool hidden = false;
        size_t escape = escape_at(run, i, &hidden);
        needless += hidden;
        i += escape > 0 ? escape : 1;
        piece = i;
    }
    return needless > NEEDLESS_MAX || piece_looks(span_from(run, piece));
}
