/* SPDX-License-Identifier: Apache-2.0 */
#include "excess.h"

#include "base/clock.h"

#include <stdlib.h>

#define EXCESS_MS 1000u

static void watch_end(struct excess_watch *watch)
{
    *watch->link = watch->next;
    if (watch->next != NULL)
        watch->next->link = watch->link;
    timer_cancel(&watch->timer);
    free(watch);
}

static void on_excess_timer(struct timer *timer)
{
    struct excess_watch *watch = CONTAINER(timer, struct excess_watch, timer);
    struct tunnels *home = watch->home;
    watch->until_wall_ms = clock_wall_ns() / 1000000;
    if (record_excess(home, watch))
        watch_end(watch);
    else /* no room now: they stay counted, and the next second tries again */
        timer_set(home->o.services.wheel, timer, home->o.services.now_ms(home->o.services.ctx) + EXCESS_MS);
}

void excess_begin(struct tunnels *home, const struct tunnel *sample)
{
    struct excess_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        tenant_excess_unwatched(sample->who.tenant); /* they stay counted, and the next one tries again */
        return;
    }
    watch->home = home;
    watch->tenant = sample->who.tenant;
    watch->listener = sample->listener;
    watch->from = sample->from;
    memcpy(watch->flow, sample->flow, sizeof watch->flow);
    watch->next = home->watches;
    watch->link = &home->watches;
    if (watch->next != NULL)
        watch->next->link = &watch->next;
    home->watches = watch;
    timer_init(&watch->timer, on_excess_timer);
    timer_set(home->o.services.wheel, &watch->timer,
              sample->opened_ms > 0 ? tunnel_now(sample) + EXCESS_MS : EXCESS_MS);
}

void excess_end_all(struct tunnels *home)
{
    while (home->watches != NULL) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): watch_end() takes it off the list. */
        home->watches->until_wall_ms = clock_wall_ns() / 1000000;
        record_excess(home, home->watches);
        watch_end(home->watches);
    }
}

bool excess_has_listener(const struct tunnels *home, const struct tunnel_listener *listener)
{
    for (const struct excess_watch *watch = home->watches; watch != NULL; watch = watch->next)
        if (watch->listener == listener)
            return true;
    return false;
}
