/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include "base/assert.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define NO_PLACE UINT32_MAX

/* Where the kernel's events find their watch. A free place names the next free one. */
struct watch_place {
    struct watch *watch;
    uint32_t generation;
    uint32_t next_free;
};

void watch_set_init(struct watch_set *set, int epoll_fd)
{
    *set = (struct watch_set){.epoll_fd = epoll_fd, .first_free = NO_PLACE};
}

void watch_set_end(struct watch_set *set)
{
    free(set->places);
    set->places = NULL;
    set->place_count = 0;
}

static bool places_grow(struct watch_set *set)
{
    uint32_t count = set->place_count == 0 ? 64 : set->place_count * 2;
    struct watch_place *places = realloc(set->places, count * sizeof(*places));

    if (places == NULL) {
        return false;
    }
    for (uint32_t i = count; i > set->place_count; i--) {
        places[i - 1] = (struct watch_place){.next_free = set->first_free};
        set->first_free = i - 1;
    }
    set->places = places;
    set->place_count = count;
    return true;
}

enum err watch_add(struct loop *loop, struct watch *watch, int fd, uint32_t events, watch_fn *fn)
{
    struct watch_set *set = loop_watches(loop);

    if (set->first_free == NO_PLACE && !places_grow(set)) {
        return ERR_NO_MEMORY;
    }
    uint32_t index = set->first_free;
    struct watch_place *place = &set->places[index];
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)place->generation << 32 | index};

    if (epoll_ctl(set->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return ERR_IO;
    }
    set->first_free = place->next_free;
    place->watch = watch;
    *watch = (struct watch){.fn = fn, .place = index};
    return ERR_NONE;
}

void watch_remove(struct loop *loop, struct watch *watch)
{
    struct watch_set *set = loop_watches(loop);
    struct watch_place *place = &set->places[watch->place];

    ASSERT(place->watch == watch);
    place->watch = NULL;
    place->generation = place->generation + 1 == WATCH_RESERVED ? 0 : place->generation + 1;
    place->next_free = set->first_free;
    set->first_free = watch->place;
}

void watch_change(struct loop *loop, struct watch *watch, int fd, uint32_t events)
{
    struct watch_set *set = loop_watches(loop);
    struct watch_place *place = &set->places[watch->place];
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)place->generation << 32 | watch->place};

    ASSERT(place->watch == watch);
    ASSERT(epoll_ctl(set->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0);
}

void watch_set_event(struct watch_set *set, const struct epoll_event *event)
{
    uint32_t index = (uint32_t)event->data.u64;
    uint64_t generation = event->data.u64 >> 32;

    if (index < set->place_count && set->places[index].watch != NULL && set->places[index].generation == generation) {
        set->places[index].watch->fn(set->places[index].watch, event->events);
    }
}
