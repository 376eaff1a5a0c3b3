/* SPDX-License-Identifier: Apache-2.0 */
#include "whatwg_host.h"

#include <ctype.h>
#include <stdbool.h>

static int hex(uint8_t c)
{
    return isdigit(c) ? c - '0' : isxdigit(c) ? (tolower(c) - 'a') + 10 : -1;
}

/* "Percent-decode": what is no triplet stays. */
static bool percent_decode(struct span raw, char *out, size_t *out_len)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        uint8_t c = raw.data[i];
        if (c == '%' && i + 2 < raw.len && hex(raw.data[i + 1]) >= 0 && hex(raw.data[i + 2]) >= 0) {
            c = (uint8_t)(hex(raw.data[i + 1]) * 16 + hex(raw.data[i + 2]));
            i += 2;
        }
        if (n == WHATWG_MAX)
            return false;
        out[n++] = (char)c;
    }
    *out_len = n;
    return true;
}

/* "Forbidden domain code point": the forbidden host code points, controls, '%' and DEL. */
static bool forbidden(uint8_t c)
{
    return c <= 0x20 || c == 0x7f || strchr("#/:<>?@[\\]^|%", c) != NULL;
}

/* "IPv4 number parser": digits, with 0 or 0x in front in base 8 or 16. An empty rest of "0x" is zero. */
static bool is_number(struct span s)
{
    unsigned base = 10;
    if (s.len == 0)
        return false;
    if (s.len >= 2 && s.data[0] == '0' && tolower(s.data[1]) == 'x') {
        base = 16;
        s = span_from(s, 2);
    } else if (s.len >= 2 && s.data[0] == '0') {
        base = 8;
        s = span_from(s, 1);
    }
    for (size_t i = 0; i < s.len; i++)
        if (hex(s.data[i]) < 0 || (unsigned)hex(s.data[i]) >= base)
            return false;
    return true;
}

/* "Ends in a number checker". */
static bool ends_in_a_number(struct span domain)
{
    if (domain.len > 0 && domain.data[domain.len - 1] == '.')
        domain.len--;
    size_t from = domain.len;
    while (from > 0 && domain.data[from - 1] != '.')
        from--;
    struct span last = span_from(domain, from);
    bool digits = last.len > 0;
    for (size_t i = 0; i < last.len; i++)
        digits = digits && isdigit(last.data[i]);
    return digits || is_number(last);
}

enum whatwg whatwg_host(struct span raw, char out[static WHATWG_MAX], size_t *out_len)
{
    size_t len = 0;
    if (!percent_decode(raw, out, &len) || len == 0)
        return WHATWG_FAILURE;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)out[i];
        if (c >= 0x80 || forbidden(c))
            return WHATWG_FAILURE;
        out[i] = (char)tolower(c);
    }
    *out_len = len;
    return ends_in_a_number(span_make(out, len)) ? WHATWG_IPV4 : WHATWG_DOMAIN;
}
