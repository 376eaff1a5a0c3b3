/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wheel of eleven levels with 64 slots each, so that every 64-bit deadline has a place. A timer lies on the level of
 * the highest group of six bits in which its deadline differs from the wheel's time, in the slot that this group of
 * the deadline names:
 *
 *    level 0   one slot a millisecond, all deadlines that share now's upper bits
 *    level 1   one slot 64 ms, …
 *
 * Three things follow: every occupied slot of a level lies after the wheel's time; all timers of a lower level come
 * before all of a higher one; and moving the time to just before the next occupied slot misplaces nobody.
 */
#include "net/timer.h"

#include "base/assert.h"

#include <stdlib.h>

#define SLOT_BITS 6U
#define SLOTS     (1U << SLOT_BITS)
#define LEVELS    11U

struct wheel {
    uint64_t now_ms;
    uint64_t occupied[LEVELS]; /* may say "occupied" of a slot whose timers were cancelled, never the other way */
    struct timer *due;         /* set with a deadline that had passed: for the next advance */
    struct timer *firing;      /* of the advance under way */
    struct timer *slots[LEVELS][SLOTS];
};

static void list_push(struct timer **head, struct timer *timer)
{
    timer->next = *head;
    timer->link = head;
    if (timer->next != NULL) {
        timer->next->link = &timer->next;
    }
    *head = timer;
}

static struct timer *list_pop(struct timer **head)
{
    struct timer *timer = *head;

    if (timer != NULL) {
        timer_cancel(timer);
    }
    return timer;
}

/* The start of the span of time that the slot covers, for a slot that is occupied. */
static uint64_t slot_start(const struct wheel *wheel, unsigned level, unsigned slot)
{
    unsigned shift = level * SLOT_BITS;
    uint64_t upper = level + 1 == LEVELS ? 0 : wheel->now_ms >> (shift + SLOT_BITS) << (shift + SLOT_BITS);

    return upper | (uint64_t)slot << shift;
}

static void place(struct wheel *wheel, struct timer *timer)
{
    uint64_t differs = timer->deadline_ms ^ wheel->now_ms;

    if (timer->deadline_ms <= wheel->now_ms) {
        list_push(&wheel->due, timer);
        return;
    }
    unsigned level = (63U - (unsigned)__builtin_clzll(differs)) / SLOT_BITS;
    unsigned slot = (unsigned)(timer->deadline_ms >> (level * SLOT_BITS)) & (SLOTS - 1);

    list_push(&wheel->slots[level][slot], timer);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

/* The occupied slot that comes first; false if there is none. */
static bool next_slot(const struct wheel *wheel, unsigned *out_level, unsigned *out_slot)
{
    for (unsigned level = 0; level < LEVELS; level++) {
        for (uint64_t bits = wheel->occupied[level]; bits != 0; bits &= bits - 1) {
            unsigned slot = (unsigned)__builtin_ctzll(bits);

            if (wheel->slots[level][slot] != NULL) {
                *out_level = level;
                *out_slot = slot;
                return true;
            }
        }
    }
    return false;
}

struct wheel *wheel_new(uint64_t now_ms)
{
    struct wheel *wheel = calloc(1, sizeof(*wheel));

    if (wheel != NULL) {
        wheel->now_ms = now_ms;
    }
    return wheel;
}

void wheel_free(struct wheel *wheel)
{
    unsigned level;
    unsigned slot;

    if (wheel == NULL) {
        return;
    }
    ASSERT(wheel->due == NULL && wheel->firing == NULL && !next_slot(wheel, &level, &slot));
    free(wheel);
}

void timer_init(struct timer *timer, timer_fn *fn)
{
    *timer = (struct timer){.fn = fn};
}

void timer_set(struct wheel *wheel, struct timer *timer, uint64_t deadline_ms)
{
    timer_cancel(timer);
    timer->deadline_ms = deadline_ms;
    place(wheel, timer);
}

void timer_cancel(struct timer *timer)
{
    if (timer->link == NULL) {
        return;
    }
    *timer->link = timer->next;
    if (timer->next != NULL) {
        timer->next->link = timer->link;
    }
    timer->next = NULL;
    timer->link = NULL;
}

bool timer_is_set(const struct timer *timer)
{
    return timer->link != NULL;
}

/* Moves what is due at now_ms out of the wheel, in the order of the deadlines. Nobody is called meanwhile, so the end
 * of the list can be kept. */
static void collect(struct wheel *wheel, uint64_t now_ms)
{
    struct timer **end = &wheel->firing;
    struct timer *timer;
    unsigned level;
    unsigned slot;

    while ((timer = list_pop(&wheel->due)) != NULL) {
        list_push(end, timer);
        end = &timer->next;
    }
    while (next_slot(wheel, &level, &slot) && slot_start(wheel, level, slot) <= now_ms) {
        uint64_t start = slot_start(wheel, level, slot);

        /* What was occupied before this slot has been emptied by cancelling, and lies in the past from now on. */
        for (unsigned below = 0; below < level; below++) {
            wheel->occupied[below] = 0;
        }
        wheel->occupied[level] &= slot + 1 == SLOTS ? 0 : ~UINT64_C(0) << (slot + 1);
        wheel->now_ms = start;
        while ((timer = list_pop(&wheel->slots[level][slot])) != NULL) {
            if (timer->deadline_ms > start) {
                place(wheel, timer);
            } else {
                list_push(end, timer);
                end = &timer->next;
            }
        }
    }
}

/* Slots that end before now_ms hold nobody; their bits would name a later time once now_ms is the wheel's. */
static void forget_past(struct wheel *wheel, uint64_t now_ms)
{
    uint64_t differs = wheel->now_ms ^ now_ms;

    for (unsigned level = 0; level < LEVELS; level++) {
        unsigned shift = level * SLOT_BITS;
        unsigned slot = (unsigned)(now_ms >> shift) & (SLOTS - 1);

        if (level + 1 < LEVELS && differs >> (shift + SLOT_BITS) != 0) {
            wheel->occupied[level] = 0;
        } else {
            wheel->occupied[level] &= slot + 1 == SLOTS ? 0 : ~UINT64_C(0) << (slot + 1);
        }
    }
    wheel->now_ms = now_ms;
}

void wheel_advance(struct wheel *wheel, uint64_t now_ms)
{
    struct timer *timer;

    ASSERT(wheel->firing == NULL);
    if (now_ms < wheel->now_ms) {
        now_ms = wheel->now_ms;
    }
    collect(wheel, now_ms);
    forget_past(wheel, now_ms);
    while ((timer = list_pop(&wheel->firing)) != NULL) {
        timer->fn(timer);
    }
}

uint64_t wheel_sleep_ms(const struct wheel *wheel, uint64_t now_ms)
{
    unsigned level;
    unsigned slot;

    if (wheel->due != NULL) {
        return 0;
    }
    if (!next_slot(wheel, &level, &slot)) {
        return UINT64_MAX;
    }
    uint64_t start = slot_start(wheel, level, slot);

    return start > now_ms ? start - now_ms : 0;
}
