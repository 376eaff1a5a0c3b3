/* SPDX-License-Identifier: Apache-2.0 */
#include "base/span.h"

#include "base/text.h"

bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool span_equal_fold_slowly(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (text_lower(a.data[i]) != text_lower(b.data[i]))
            return false;
    return true;
}

bool span_is(struct span s, const char *text)
{
    return span_equal(s, span_text(text));
}

size_t span_find(struct span s, uint8_t byte)
{
    if (s.len == 0)
        return 0;
    const uint8_t *found = memchr(s.data, byte, s.len);
    return found == NULL ? s.len : (size_t)(found - s.data);
}
