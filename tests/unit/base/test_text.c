/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"

struct number_row {
    const char *text;
    uint64_t max;
    enum err err;
    uint64_t value;
};

static const struct number_row numbers[] = {
    {"0",                                10,         ERR_NONE,    0         },
    {"443",                              65535,      ERR_NONE,    443       },
    {"65535",                            65535,      ERR_NONE,    65535     },
    {"65536",                            65535,      ERR_TOO_BIG, 0         },
    {"4294967739",                       65535,      ERR_TOO_BIG, 0         },
    {"18446744073709551615",             UINT64_MAX, ERR_NONE,    UINT64_MAX},
    {"18446744073709551616",             UINT64_MAX, ERR_TOO_BIG, 0         },
    {"99999999999999999999999999999999", UINT64_MAX, ERR_TOO_BIG, 0         },
    {"7",                                5,          ERR_TOO_BIG, 0         },
    {"0",                                0,          ERR_NONE,    0         },
    {"1",                                0,          ERR_TOO_BIG, 0         },
    {"",                                 10,         ERR_INVALID, 0         },
    {"00",                               10,         ERR_INVALID, 0         },
    {"0443",                             65535,      ERR_INVALID, 0         },
    {"+443",                             65535,      ERR_INVALID, 0         },
    {"-443",                             65535,      ERR_INVALID, 0         },
    {" 443",                             65535,      ERR_INVALID, 0         },
    {"443 ",                             65535,      ERR_INVALID, 0         },
    {"443\t",                            65535,      ERR_INVALID, 0         },
    {"0x1bb",                            65535,      ERR_INVALID, 0         },
    {"4_43",                             65535,      ERR_INVALID, 0         },
    {"443.0",                            65535,      ERR_INVALID, 0         },
    {"\xef\xbc\x94",                     65535,      ERR_INVALID, 0         },
};

static void reads_decimals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const struct number_row *row = &numbers[i];
        uint64_t value = 4711;
        enum err err = text_u64(span_text(row->text), row->max, &value);
        uint64_t want = row->err == ERR_NONE ? row->value : 4711; /* untouched on failure */
        if (err != row->err || value != want)
            fail_msg("'%s': err %s", row->text, err_text(err));
    }
}

struct unit_row {
    const char *text;
    enum err err;
    uint64_t value;
};

static const struct unit_row durations[] = {
    {"250ms",         ERR_NONE,    250        },
    {"10s",           ERR_NONE,    10000      },
    {"5m",            ERR_NONE,    300000     },
    {"1h",            ERR_NONE,    3600000    },
    {"8784h",         ERR_NONE,    31622400000}, /* 366 days */
    {"8785h",         ERR_TOO_BIG, 0          },
    {"31622400001ms", ERR_TOO_BIG, 0          },
    {"0s",            ERR_INVALID, 0          },
    {"10",            ERR_INVALID, 0          },
    {"s",             ERR_INVALID, 0          },
    {"",              ERR_INVALID, 0          },
    {"10 s",          ERR_INVALID, 0          },
    {"10S",           ERR_INVALID, 0          },
    {"01s",           ERR_INVALID, 0          },
    {"1.5s",          ERR_INVALID, 0          },
    {"-1s",           ERR_INVALID, 0          },
    {"10s ",          ERR_INVALID, 0          },
    {"1d",            ERR_INVALID, 0          },
};

static const struct unit_row sizes[] = {
    {"512B",          ERR_NONE,    512       },
    {"64KiB",         ERR_NONE,    65536     },
    {"16MiB",         ERR_NONE,    16777216  },
    {"2GiB",          ERR_NONE,    2147483648},
    {"1073741824GiB", ERR_NONE,    1ull << 60},
    {"1073741825GiB", ERR_TOO_BIG, 0         },
    {"0B",            ERR_INVALID, 0         },
    {"64",            ERR_INVALID, 0         },
    {"64KB",          ERR_INVALID, 0         },
    {"64kib",         ERR_INVALID, 0         },
    {"KiB",           ERR_INVALID, 0         },
    {"064KiB",        ERR_INVALID, 0         },
};

static void check_units(const struct unit_row *rows, size_t count, enum err (*read)(struct span, uint64_t *))
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 4711;
        enum err err = read(span_text(rows[i].text), &value);
        uint64_t want = rows[i].err == ERR_NONE ? rows[i].value : 4711;
        if (err != rows[i].err || value != want)
            fail_msg("'%s': err %s", rows[i].text, err_text(err));
    }
}

static void reads_durations(void **state)
{
    (void)state;
    check_units(durations, sizeof durations / sizeof durations[0], text_duration_ms);
}

static void reads_sizes(void **state)
{
    (void)state;
    check_units(sizes, sizeof sizes / sizeof sizes[0], text_size_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_decimals),
        cmocka_unit_test(reads_durations),
        cmocka_unit_test(reads_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
