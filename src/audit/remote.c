/* SPDX-License-Identifier: Apache-2.0 */
/* How far the copy elsewhere is behind: read from what the shipping process wrote down, once a second at most. */
#include "log_private.h"

#include "audit/ship.h"
#include "base/clock.h"

/* Without a word from the shipping process everything since the opening counts as behind. */
static uint64_t lag_ms(const struct audit_log *log, const struct ship_progress *p)
{
    int64_t from = p->through_ms > 0 ? p->through_ms : log->opened_wall_ms;
    int64_t now = clock_wall_ns() / (int64_t)NS_PER_MS;
    return p->entries >= log->tree.size || now <= from ? 0 : (uint64_t)(now - from);
}

bool remote_is_near(const struct audit_log *log)
{
    struct ship_progress p = {0};
    if (log->ship_max_lag_ms == 0)
        return true;
    if (ship_read_at(log->dir, &p) != ERR_NONE)
        p = (struct ship_progress){0};
    return lag_ms(log, &p) <= log->ship_max_lag_ms;
}

void remote_check(struct audit_log *log, uint64_t now)
{
    if (log->ship_max_lag_ms == 0 || log->trouble != TROUBLE_NONE || now - log->remote_checked_ns < NS_PER_S)
        return;
    log->remote_checked_ns = now;
    if (!remote_is_near(log))
        gate_close(log, TROUBLE_REMOTE, "the copy elsewhere is too far behind");
}

void remote_facts(const struct audit_log *log, struct record_event *event)
{
    struct ship_progress p;
    if (ship_read_at(log->dir, &p) != ERR_NONE)
        return;
    event->facts[event->fact_count++] = (struct event_fact){.key = "shipped", .is_number = true, .number = p.entries};
    event->facts[event->fact_count++] =
        (struct event_fact){.key = "ship_lag_ms", .is_number = true, .number = lag_ms(log, &p)};
}
