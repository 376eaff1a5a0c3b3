/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: one worker's event loop over epoll, with libevent's base as a part of it, a wheel of timers, a run queue and an
 * inbox. Everything but loop_post(), loop_quit() and loop_wake() belongs to the loop's thread.
 *
 * A turn: wait for events and call them back → timers → inbox → run queue (each item at most once a turn) → end of the
 * turn (graveyard). Nothing is freed inside a callback of its own: the dead wait for the end of the turn.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "base/err.h"
#include "net/timer.h"

struct event_base;
struct loop;

/* ERR_NO_MEMORY; ERR_IO: there is no descriptor for it. */
MUST_CHECK enum err loop_new(struct loop **out);
/* Ports, dials, timers and run items must have ended; messages that were not delivered stay their senders'. NULL is
 * allowed. */
void loop_free(struct loop *loop);

/* Runs until loop_quit(). */
void loop_run(struct loop *loop);
/* Any thread. */
void loop_quit(struct loop *loop);

uint64_t loop_now_ms(const struct loop *loop); /* monotonic, read once a turn */
struct wheel *loop_wheel(struct loop *loop);
/* For events on descriptors and signals. Timers of libevent are not served: a deadline is a struct timer. */
struct event_base *loop_base(struct loop *loop);

/* Work for the end of this turn, or of the next when it is queued from the run queue itself: a lane whose budget is
 * spent goes here, since no new edge will come. Queued once however often it is asked for. */
struct run_item;
typedef void run_fn(struct run_item *item);
struct run_item {
    struct run_item *next, **link;
    run_fn *fn;
};
void run_item_init(struct run_item *item, run_fn *fn);
void loop_run_later(struct loop *loop, struct run_item *item);
void run_item_cancel(struct run_item *item); /* not queued: nothing */

/* Called at the end of the turn, after the run queue: where the graveyard is emptied. */
typedef void grave_fn(void *object);
void loop_bury(struct loop *loop, void *object, grave_fn *free_object);

/* Inbox: a message from any thread, delivered on the loop's thread in the order of each sender. The message is the
 * caller's object with the link first; ownership goes to `fn`. */
struct message;
typedef void message_fn(struct message *message, void *loop_owner);
struct message {
    struct message *next;
    message_fn *fn;
};
void loop_post(struct loop *loop, struct message *message);
/* Delivers what is in the inbox without waiting: for whoever has joined the thread of a loop that has quit, since a
 * message may have come behind the last turn and belongs to its `fn`. */
void loop_deliver(struct loop *loop);
void loop_set_owner(struct loop *loop, void *loop_owner);

/* A wake-up without a message, from any thread (the audit writer): `fn` runs on the loop's thread once or more after
 * loop_wake(). */
void loop_on_wake(struct loop *loop, void (*fn)(void *arg), void *arg);
void loop_wake(struct loop *loop);

/* Version of the library behind the loop. */
const char *loop_library_version(void);

#endif
