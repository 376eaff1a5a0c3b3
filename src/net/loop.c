/* SPDX-License-Identifier: Apache-2.0 */
#include "loop_impl.h"

#include "guests.h"
#include "run_queue.h"

#include "base/assert.h"
#include "base/clock.h"

#include <event2/event.h>

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH        256
#define EVENT_GUESTS ((uint64_t)WATCH_RESERVED << 32)
#define EVENT_WAKE   (EVENT_GUESTS | 1)

struct grave {
    void *object;
    grave_fn *free_object;
};

struct loop {
    struct watch_set watches;
    int wake_fd;
    struct event_base *base;
    struct wheel *wheel;
    uint64_t now_ms;
    uint64_t skipped_ms;

    struct run_queue queue;

    struct grave *graves;
    size_t grave_count;
    size_t grave_cap;

    void *owner;
    void (*on_wake)(void *arg);
    void *on_wake_arg;

    struct loop_pools pools;

    /* Written by other threads: on a cache line of their own. */
    _Alignas(64) _Atomic(struct message *) inbox;
    atomic_bool woken; /* the eventfd was written and the loop has not looked since */
    atomic_bool wake_asked;
    atomic_bool quit;
};

/* Making and ending. */

static enum err loop_open(struct loop *loop)
{
    struct epoll_event guests = {.events = EPOLLIN, .data.u64 = EVENT_GUESTS};
    /* Edge-triggered: each write to it is an event, and it is never read. */
    struct epoll_event wake = {.events = EPOLLIN | EPOLLET, .data.u64 = EVENT_WAKE};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int guests_fd;

    watch_set_init(&loop->watches, epoll_fd);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (epoll_fd < 0 || loop->wake_fd < 0) {
        return ERR_IO;
    }
    enum err err = guests_new(loop->wake_fd, &loop->base, &guests_fd);

    if (err == ERR_NONE && (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, guests_fd, &guests) != 0 ||
                            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &wake) != 0)) {
        err = ERR_IO;
    }
    return err;
}

enum err loop_new(struct loop **out)
{
    struct loop *loop = aligned_alloc(64, (sizeof(*loop) + 63) / 64 * 64);

    if (loop == NULL) {
        return ERR_NO_MEMORY;
    }
    *loop = (struct loop){.now_ms = clock_mono_ns() / 1000000};
    run_queue_init(&loop->queue);
    loop->wheel = wheel_new(loop->now_ms);
    enum err err = loop_open(loop);

    if (err == ERR_NONE && loop->wheel == NULL) {
        err = ERR_NO_MEMORY;
    }
    if (err != ERR_NONE) {
        loop_free(loop);
        return err;
    }
    *out = loop;
    return ERR_NONE;
}

static void empty_graveyard(struct loop *loop)
{
    for (size_t i = 0; i < loop->grave_count; i++) {
        struct grave grave = loop->graves[i];

        grave.free_object(grave.object);
    }
    loop->grave_count = 0;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    empty_graveyard(loop);
    ASSERT(run_queue_empty(&loop->queue));
    pool_end(&loop->pools.ports);
    pool_end(&loop->pools.dials);
    wheel_free(loop->wheel);
    if (loop->base != NULL) {
        event_base_free(loop->base);
    }
    if (loop->wake_fd >= 0) {
        close(loop->wake_fd);
    }
    if (loop->watches.epoll_fd >= 0) {
        close(loop->watches.epoll_fd);
    }
    watch_set_end(&loop->watches);
    free(loop->graves);
    free(loop);
}

void loop_bury(struct loop *loop, void *object, grave_fn *free_object)
{
    if (loop->grave_count == loop->grave_cap) {
        size_t cap = loop->grave_cap == 0 ? 256 : loop->grave_cap * 2;
        struct grave *graves = realloc(loop->graves, cap * sizeof(*graves));

        /* Without memory to remember it by, the object is lost to us: better than freed under somebody's feet. */
        if (graves == NULL) {
            return;
        }
        loop->graves = graves;
        loop->grave_cap = cap;
    }
    loop->graves[loop->grave_count++] = (struct grave){.object = object, .free_object = free_object};
}

/* Other threads. */

static void signal_loop(struct loop *loop)
{
    uint64_t one = 1;

    /* The eventfd is written once until the loop looks. A full counter (EAGAIN) is an event, too. */
    if (!atomic_exchange_explicit(&loop->woken, true, memory_order_acq_rel)) {
        ssize_t ignored = write(loop->wake_fd, &one, sizeof(one));

        (void)ignored;
    }
}

void loop_post(struct loop *loop, struct message *message)
{
    message->next = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&loop->inbox, &message->next, message, memory_order_release,
                                                  memory_order_relaxed)) {
    }
    signal_loop(loop);
}

void loop_wake(struct loop *loop)
{
    atomic_store_explicit(&loop->wake_asked, true, memory_order_release);
    signal_loop(loop);
}

void loop_quit(struct loop *loop)
{
    atomic_store_explicit(&loop->quit, true, memory_order_release);
    signal_loop(loop);
}

/* Senders push to a stack; the order of each of them is the stack's turned round. */
static void deliver_messages(struct loop *loop)
{
    struct message *stack = atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acquire);
    struct message *list = NULL;

    while (stack != NULL) {
        struct message *message = stack;

        stack = message->next;
        message->next = list;
        list = message;
    }
    while (list != NULL) {
        struct message *message = list;

        list = message->next;
        message->next = NULL;
        message->fn(message, loop->owner);
    }
}

static void look_outside(struct loop *loop)
{
    /* A load alone while nobody called: the exchange is for the turn that answers. It comes before the looking, so that
     * who posts after it writes the eventfd again. */
    if (!atomic_load_explicit(&loop->woken, memory_order_relaxed)) {
        return;
    }
    atomic_exchange_explicit(&loop->woken, false, memory_order_acq_rel);
    deliver_messages(loop);
    if (atomic_exchange_explicit(&loop->wake_asked, false, memory_order_acquire) && loop->on_wake != NULL) {
        loop->on_wake(loop->on_wake_arg);
    }
}

/* The turn. */

static void read_clock(struct loop *loop)
{
    loop->now_ms = clock_mono_ns() / 1000000 + loop->skipped_ms;
}

static bool guests_active(const struct loop *loop)
{
    return event_base_get_num_events(loop->base, EVENT_BASE_COUNT_ACTIVE) > 0;
}

static int turn_timeout(const struct loop *loop, uint64_t wait_ms)
{
    uint64_t sleep_ms = wheel_sleep_ms(loop->wheel, loop->now_ms);

    if (!run_queue_empty(&loop->queue) || guests_active(loop)) {
        return 0;
    }
    sleep_ms = sleep_ms < wait_ms ? sleep_ms : wait_ms;
    if (sleep_ms == UINT64_MAX) {
        return -1;
    }
    return sleep_ms < INT_MAX ? (int)sleep_ms : INT_MAX;
}

void loop_turn(struct loop *loop, uint64_t wait_ms)
{
    struct epoll_event events[BATCH];
    int count = epoll_wait(loop->watches.epoll_fd, events, BATCH, turn_timeout(loop, wait_ms));
    bool guests = guests_active(loop);

    ASSERT(count >= 0 || errno == EINTR);
    read_clock(loop);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 == EVENT_GUESTS) {
            guests = true;
        } else if (events[i].data.u64 != EVENT_WAKE) {
            watch_set_event(&loop->watches, &events[i]);
        }
    }
    if (guests) {
        event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NONBLOCK | EVLOOP_NO_EXIT_ON_EMPTY);
    }
    wheel_advance(loop->wheel, loop->now_ms);
    look_outside(loop);
    run_queue_run(&loop->queue);
    empty_graveyard(loop);
}

void loop_run(struct loop *loop)
{
    read_clock(loop);
    while (!atomic_load_explicit(&loop->quit, memory_order_acquire)) {
        loop_turn(loop, UINT64_MAX);
    }
    atomic_store_explicit(&loop->quit, false, memory_order_relaxed);
}

void loop_deliver(struct loop *loop)
{
    deliver_messages(loop);
    run_queue_run(&loop->queue);
    empty_graveyard(loop);
}

/* What it has. */

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

struct wheel *loop_wheel(struct loop *loop)
{
    return loop->wheel;
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

struct watch_set *loop_watches(struct loop *loop)
{
    return &loop->watches;
}

void loop_run_later(struct loop *loop, struct run_item *item)
{
    run_queue_add(&loop->queue, item);
}

struct loop_pools *loop_pools(struct loop *loop)
{
    return &loop->pools;
}

void loop_set_owner(struct loop *loop, void *loop_owner)
{
    loop->owner = loop_owner;
}

void loop_on_wake(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    loop->on_wake = fn;
    loop->on_wake_arg = arg;
}

void loop_skip_ms(struct loop *loop, uint64_t ms)
{
    loop->skipped_ms += ms;
    read_clock(loop);
}
