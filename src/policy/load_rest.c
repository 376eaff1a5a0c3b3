/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, the hint, the vendor's ids, and mode. */
#include "loader.h"

#include "base/text.h"

#define HINT_MAX 256

uint64_t load_limit(const struct node *node, const struct limit_row *row)
{
    uint64_t value = row->dflt;
    return limit_read(row, node->text, &value) == ERR_NONE ? value : row->dflt;
}

static void load_limits(struct loader *l)
{
    struct policy *p = l->policy;
    const struct node *map = node_get(l->egress, "limits");
    size_t count;
    const struct limit_row *rows = limits_rows(&count);
    if (l->above != NULL && l->above->limits != NULL)
        p->limits = *l->above->limits;
    else
        limits_default(&p->limits);
    if (map != NULL)
        p->limits_place = load_place(l, map);
    for (size_t i = 0; i < count; i++) {
        const struct node *node = node_get(map, rows[i].key);
        if (node == NULL)
            continue;
        limit_set(&p->limits, &rows[i], load_limit(node, &rows[i]));
    }
}

static void load_hint(struct loader *l)
{
    struct node *node = node_get(l->egress, "denial_hint");
    if (node == NULL)
        return;
    bool good = node->text.len > 0 && node->text.len <= HINT_MAX;
    for (size_t i = 0; i < node->text.len; i++)
        good = good && node->text.data[i] >= 0x20 && node->text.data[i] < 0x7f;
    if (!good) {
        struct finding *f = load_error(l, node, "denial_hint", "denial_hint is at most 256 bytes of printable ASCII");
        diag_fix(f, "write one line, for instance: Ask #platform-team for access.");
        return;
    }
    l->policy->denial_hint = arena_copy(&l->policy->arena, node->text);
    l->policy->hint_place = load_place(l, node);
}

static void load_ids(struct loader *l)
{
    struct policy *p = l->policy;
    struct node *list = node_get(l->egress, "environment_ids");
    if (list == NULL)
        return;
    p->environment_ids.at = arena_array(&p->arena, list->count, sizeof *p->environment_ids.at);
    for (struct node *item = list->first; p->environment_ids.at != NULL && item != NULL; item = item->next) {
        if (item->bad)
            continue;
        if (item->text.len == 0 || item->text.len > 128)
            diag_fix(load_error(l, item, "environment_ids", "an id has 1 to 128 bytes"),
                     "write the vendor's id of this environment, for instance env_01ABC");
        else
            p->environment_ids.at[p->environment_ids.count++] = arena_copy(&p->arena, item->text);
    }
}

/* Days since 1970 of a date of the Gregorian calendar, years from March on. */
static int64_t days_since_1970(uint64_t year, uint64_t month, uint64_t day)
{
    uint64_t y = month <= 2 ? year - 1 : year;
    uint64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return (int64_t)(y * 365 + y / 4 - y / 100 + y / 400 + of_year) - 719468;
}

static uint64_t days_of_month(uint64_t year, uint64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

/* The end of that day, or false if there is no such day. */
static bool read_date(struct span text, int64_t *out_end_ms)
{
    uint64_t month = 0, day = 0, year = 0;
    if (text.len != 10 || text.data[4] != '-' || text.data[7] != '-')
        return false;
    /* The reader of numbers takes no leading zero; a date has them. */
    struct span m = span_make(text.data + 5, 2), d = span_make(text.data + 8, 2);
    if (m.data[0] == '0')
        m = span_from(m, 1);
    if (d.data[0] == '0')
        d = span_from(d, 1);
    if (text_u64(span_first(text, 4), 9999, &year) != ERR_NONE || year < 2000 || text_u64(m, 12, &month) != ERR_NONE ||
        month == 0 || text_u64(d, 31, &day) != ERR_NONE || day == 0 || day > days_of_month(year, month))
        return false;
    *out_end_ms = (days_since_1970(year, month, day) + 1) * 86400000;
    return true;
}

/* Both keys or neither: an environment that lets pass what it would refuse does so until a day that is written down. */
static void load_mode(struct loader *l)
{
    struct node *mode = node_get(l->egress, "mode"), *until = node_get(l->egress, "observe_until");
    bool observes = mode != NULL && span_is(mode->text, "observe");
    struct finding *f = NULL;
    int64_t end_ms = 0;
    if (until != NULL && !read_date(until->text, &end_ms)) {
        f = load_error(l, until, "date", "'%.*s' is not a date", SPAN_ARGS(until->text));
        diag_fix(f, "write YYYY-MM-DD");
    }
    if (observes && until == NULL) {
        f = load_error(l, mode, "observe", "mode: observe needs observe_until");
        diag_fix(f, "add observe_until: YYYY-MM-DD, the last day (UTC)");
    } else if (observes) {
        l->policy->observes_until_ms = end_ms;
        l->policy->mode_place = load_place(l, until);
    } else if (until != NULL) {
        f = load_error(l, until, "observe", "observe_until without mode: observe");
        diag_fix(f, "remove it");
    }
}

void load_rest(struct loader *l)
{
    load_limits(l);
    load_hint(l);
    load_ids(l);
    load_mode(l);
}
