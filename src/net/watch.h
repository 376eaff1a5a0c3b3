/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch: one descriptor in a loop's own epoll. Events still under way for a watch that was removed are dropped: the
 * kernel holds a place and a generation, no pointer. Closing the descriptor ends the registration without a system
 * call of its own.
 */
#ifndef NET_WATCH_H
#define NET_WATCH_H

#include "base/err.h"

#include <stdint.h>

struct epoll_event;
struct loop;

struct watch;
typedef void watch_fn(struct watch *watch, uint32_t events);
struct watch {
    watch_fn *fn;
    uint32_t place;
};

/* `events` as for epoll_ctl(2), with or without EPOLLET. ERR_NO_MEMORY, ERR_IO. */
MUST_CHECK enum err watch_add(struct loop *loop, struct watch *watch, int fd, uint32_t events, watch_fn *fn);
/* Before the descriptor is closed. */
void watch_remove(struct loop *loop, struct watch *watch);
/* Stops the events of one that stays (0), or lets them come again. */
void watch_change(struct loop *loop, struct watch *watch, int fd, uint32_t events);

/* For the loop alone: all watches of one epoll. */
struct watch_set {
    int epoll_fd;
    struct watch_place *places;
    uint32_t place_count;
    uint32_t first_free;
};

#define WATCH_RESERVED UINT32_MAX /* a generation that no watch has: events with it belong to the loop */

void watch_set_init(struct watch_set *set, int epoll_fd);
void watch_set_end(struct watch_set *set);
struct watch_set *loop_watches(struct loop *loop);
/* Calls the watch of an event, if it is still there. */
void watch_set_event(struct watch_set *set, const struct epoll_event *event);

#endif
