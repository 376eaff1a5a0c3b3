/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/limits.h"

#include "base/text.h"

static const struct limit_row rows[] = {
#define X(key, unit, scope, dflt, min, max, reason, sentence)                                                          \
    {#key,     LIMIT_UNIT_##unit,           LIMIT_SCOPE_##scope, dflt, min, max, REASON_##reason,                      \
     sentence, offsetof(struct limits, key)},
#include "policy/limits_tbl.h"
#undef X
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

const struct limit_row *limits_rows(size_t *out_count)
{
    *out_count = ROW_COUNT;
    return rows;
}

const struct limit_row *limit_row_find(struct span key)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (span_is(key, rows[i].key))
            return &rows[i];
    return NULL;
}

void limits_default(struct limits *out)
{
#define X(key, unit, scope, dflt, min, max, reason, sentence) out->key = dflt;
#include "policy/limits_tbl.h"
#undef X
}

uint64_t limit_get(const struct limits *limits, const struct limit_row *row)
{
    uint64_t value;
    memcpy(&value, (const char *)limits + row->offset, sizeof value);
    return value;
}

void limit_set(struct limits *limits, const struct limit_row *row, uint64_t value)
{
    memcpy((char *)limits + row->offset, &value, sizeof value);
}

static enum err read_percent(struct span text, uint64_t *out)
{
    if (text.len < 2 || text.data[text.len - 1] != '%')
        return ERR_INVALID;
    return text_u64(span_first(text, text.len - 1), UINT64_MAX, out);
}

static enum err read_value(enum limit_unit unit, struct span text, uint64_t *out)
{
    switch (unit) {
    case LIMIT_UNIT_MS:
        return text_duration_ms(text, out);
    case LIMIT_UNIT_BYTES:
        return text_size_bytes(text, out);
    case LIMIT_UNIT_PERCENT:
        return read_percent(text, out);
    case LIMIT_UNIT_COUNT:
        break;
    }
    return text_u64(text, UINT64_MAX, out);
}

enum err limit_read(const struct limit_row *row, struct span text, uint64_t *out)
{
    uint64_t value = 0;
    enum err err = read_value(row->unit, text, &value);
    if (err != ERR_NONE)
        return err;
    if (value < row->min || value > row->max)
        return ERR_TOO_BIG;
    *out = value;
    return ERR_NONE;
}

void limit_write(const struct limit_row *row, uint64_t value, struct outbuf *out)
{
    static const struct {
        enum limit_unit unit;
        uint64_t factor;
        const char *name;
    } units[] = {
        {LIMIT_UNIT_MS,      60 * 60 * 1000,    "h"  },
        {LIMIT_UNIT_MS,      60 * 1000,         "m"  },
        {LIMIT_UNIT_MS,      1000,              "s"  },
        {LIMIT_UNIT_MS,      1,                 "ms" },
        {LIMIT_UNIT_BYTES,   UINT64_C(1) << 30, "GiB"},
        {LIMIT_UNIT_BYTES,   UINT64_C(1) << 20, "MiB"},
        {LIMIT_UNIT_BYTES,   UINT64_C(1) << 10, "KiB"},
        {LIMIT_UNIT_BYTES,   1,                 "B"  },
        {LIMIT_UNIT_COUNT,   1,                 ""   },
        {LIMIT_UNIT_PERCENT, 1,                 "%"  },
    };
    size_t i = 0;
    if (value == 0) {
        outbuf_text(out, "none");
        return;
    }
    while (units[i].unit != row->unit || value % units[i].factor != 0)
        i++;
    outbuf_u64(out, value / units[i].factor);
    outbuf_text(out, units[i].name);
}

void limits_narrow(struct limits *limits, const struct limits *by)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        uint64_t now = limit_get(limits, &rows[i]), own = limit_get(by, &rows[i]);
        if (own != 0 && (now == 0 || own < now))
            limit_set(limits, &rows[i], own);
    }
}
