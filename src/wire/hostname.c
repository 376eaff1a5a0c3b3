/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/hostname.h"

/* The canonical byte for each byte that may stand in a label, 0 for every other. The dot is not in it. */
/* clang-format off */
static const uint8_t canonical[256] = {
    ['-'] = '-', ['_'] = '_',
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',
    ['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h',
    ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p',
    ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x',
    ['y'] = 'y', ['z'] = 'z',
    ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h',
    ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',
    ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x',
    ['Y'] = 'y', ['Z'] = 'z',
};
/* clang-format on */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex_digit(uint8_t c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* What inet_aton() and browsers would take for the last part of an IPv4 address: digits alone, or hexadecimal digits,
 * perhaps none, behind 0x (WHATWG URL, "ends in a number checker"). */
static bool is_number(struct span label)
{
    size_t at = 0;
    while (at < label.len && is_digit(label.data[at]))
        at++;
    if (at == label.len)
        return true;
    if (label.len < 2 || label.data[0] != '0' || (label.data[1] | 0x20) != 'x')
        return false;
    for (at = 2; at < label.len && is_hex_digit(label.data[at]); at++)
        ;
    return at == label.len;
}

static bool is_label(struct span label)
{
    return label.len >= 1 && label.len <= HOSTNAME_LABEL_MAX && label.data[0] != '-' &&
           label.data[label.len - 1] != '-';
}

static bool is_hostname(struct span name)
{
    if (name.len == 0 || name.len > HOSTNAME_MAX)
        return false;
    size_t start = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '.') {
            if (!is_label(span_make(name.data + start, i - start)))
                return false;
            start = i + 1;
        } else if (canonical[name.data[i]] == 0) {
            return false;
        }
    }
    struct span last = span_from(name, start);
    return is_label(last) && !is_number(last);
}

enum err hostname_parse(struct span raw, struct hostname *out)
{
    struct span name = raw;
    if (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--;
    if (!is_hostname(name))
        return ERR_INVALID;
    for (size_t i = 0; i < name.len; i++)
        out->bytes[i] = name.data[i] == '.' ? '.' : (char)canonical[name.data[i]];
    memset(out->bytes + name.len, 0, sizeof out->bytes - name.len);
    out->len = (uint8_t)name.len;
    return ERR_NONE;
}

bool hostname_equal(const struct hostname *a, const struct hostname *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

bool hostname_is_below(const struct hostname *name, struct span suffix)
{
    if (suffix.len == 0 || name->len < suffix.len + 2)
        return false;
    size_t dot = name->len - suffix.len - 1;
    return name->bytes[dot] == '.' && memcmp(name->bytes + dot + 1, suffix.data, suffix.len) == 0;
}

struct span hostname_span(const struct hostname *name)
{
    return span_make(name->bytes, name->len);
}
