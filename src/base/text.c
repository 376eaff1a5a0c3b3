/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#define DURATION_MAX_MS (366ull * 24 * 60 * 60 * 1000)
#define SIZE_MAX_BYTES  (1ull << 60)

static size_t count_digits(struct span s)
{
    size_t n = 0;
    while (n < s.len && s.data[n] >= '0' && s.data[n] <= '9')
        n++;
    return n;
}

enum err text_u64(struct span s, uint64_t max, uint64_t *out)
{
    if (s.len == 0 || count_digits(s) != s.len || (s.len > 1 && s.data[0] == '0'))
        return ERR_INVALID;
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint64_t digit = (uint64_t)(s.data[i] - '0');
        if (digit > max || value > (max - digit) / 10)
            return ERR_TOO_BIG;
        value = value * 10 + digit;
    }
    *out = value;
    return ERR_NONE;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* The unit list ends with a NULL name. */
static enum err number_with_unit(struct span s, const struct unit *units, uint64_t max, uint64_t *out)
{
    size_t digits = count_digits(s);
    struct span name = span_from(s, digits);
    const struct unit *unit = units;
    while (unit->name != NULL && !span_is(name, unit->name))
        unit++;
    if (unit->name == NULL)
        return ERR_INVALID;
    uint64_t value = 0;
    enum err err = text_u64(span_first(s, digits), max / unit->factor, &value);
    if (err != ERR_NONE)
        return err;
    if (value == 0)
        return ERR_INVALID;
    *out = value * unit->factor;
    return ERR_NONE;
}

enum err text_duration_ms(struct span s, uint64_t *out_ms)
{
    static const struct unit units[] = {
        {"ms", 1             },
        {"s",  1000          },
        {"m",  60 * 1000     },
        {"h",  60 * 60 * 1000},
        {NULL, 0             }
    };
    return number_with_unit(s, units, DURATION_MAX_MS, out_ms);
}

enum err text_size_bytes(struct span s, uint64_t *out_bytes)
{
    static const struct unit units[] = {
        {"B",   1         },
        {"KiB", 1ull << 10},
        {"MiB", 1ull << 20},
        {"GiB", 1ull << 30},
        {NULL,  0         }
    };
    return number_with_unit(s, units, SIZE_MAX_BYTES, out_bytes);
}
