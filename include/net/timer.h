/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer: deadlines of one worker in a hierarchical wheel of milliseconds. Pure: time is what wheel_advance() says, so
 * tests turn it by hand. A timer is embedded in its owner and costs no allocation; setting and cancelling are O(1).
 * One thread.
 */
#ifndef NET_TIMER_H
#define NET_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer;
typedef void timer_fn(struct timer *timer);

struct timer {
    struct timer *next, **link; /* NULL while not set */
    uint64_t deadline_ms;
    timer_fn *fn;
};

struct wheel;
struct wheel *wheel_new(uint64_t now_ms); /* NULL: no memory */
void wheel_free(struct wheel *wheel);     /* NULL is allowed; no timer may be set */

/* Not set. Before anything else is done with it. */
void timer_init(struct timer *timer, timer_fn *fn);
/* Sets or moves it. A deadline that has passed fires at the next advance. */
void timer_set(struct wheel *wheel, struct timer *timer, uint64_t deadline_ms);
void timer_cancel(struct timer *timer); /* not set: nothing */
bool timer_is_set(const struct timer *timer);

/* Fires every timer whose deadline is at most now_ms, each once, never early. A callback may set and cancel any timer
 * and free its owner. */
void wheel_advance(struct wheel *wheel, uint64_t now_ms);

/* Milliseconds that may be slept from now_ms without being late; UINT64_MAX if no timer is set. May be less than the
 * next deadline, never more. */
uint64_t wheel_sleep_ms(const struct wheel *wheel, uint64_t now_ms);

#endif
