/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_impl: what the other files of this room need of a loop.
 *
 * The sockets of tunnels do not go through libevent: it takes one epoll_ctl more a socket to forget them, and it folds
 * errors and hang-ups into "read and write", so that nobody could tell whether an end lies behind the bytes just read
 * (port.c). The loop therefore waits in an epoll of its own, and libevent's is one descriptor in it:
 *
 *    epoll_wait ──▶ watches: ports, listeners
 *               ──▶ the loop's own eventfd: inbox and wake-ups
 *               ──▶ libevent's epoll: event_base_loop(ONCE | NONBLOCK) ──▶ DNS sockets, the daemon's guests
 */
#ifndef NET_LOOP_IMPL_H
#define NET_LOOP_IMPL_H

#include "net/loop.h"

#include "pool.h"
#include "watch.h"

/* Objects that come and go with connections, kept for the next one. */
struct loop_pools {
    struct pool ports;
    struct pool dials;
};
struct loop_pools *loop_pools(struct loop *loop);

/* Runs one turn and waits at most wait_ms in it. */
void loop_turn(struct loop *loop, uint64_t wait_ms);

/* For tests: the loop's clock goes ahead by this much. */
void loop_skip_ms(struct loop *loop, uint64_t ms);

#endif
