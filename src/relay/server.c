/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include "base/clock.h"
#include "say.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS      128
#define ACCEPTS     64
#define TICK_MS     10
#define PAUSE_MS    100
#define OWN_FILES   16 /* standard ones, listener, signals, epoll, and what was inherited */
#define TAG_LISTEN  ((uint64_t)0)
#define TAG_SIGNALS ((uint64_t)1)
#define TAG_PAIRS   ((uint64_t)2) /* and twice the number of the pair, plus one for the proxy's side */

static uint64_t now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

static struct server *server_of(struct pair_host *host)
{
    return (struct server *)host;
}

static bool watch(struct pair_host *host, struct pair *pair, struct end *end)
{
    struct server *s = server_of(host);
    uint64_t tag = TAG_PAIRS + 2 * (uint64_t)(pair - s->pairs) + (end == &pair->proxy ? 1 : 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = tag};
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, end->fd, &event) == 0;
}

static void closed(struct pair_host *host, struct pair *pair)
{
    struct server *s = server_of(host);
    pair->next_free = s->graves;
    s->graves = pair;
}

static void queue(struct pair_host *host, struct pair *pair)
{
    struct server *s = server_of(host);
    pair->next_queued = s->more;
    s->more = pair;
}

unsigned server_fit(unsigned wanted, struct rlimit *before, size_t *out_pipes)
{
    *out_pipes = 0;
    if (getrlimit(RLIMIT_NOFILE, before) != 0)
        return wanted;
    /* Two sockets a connection, and two pipes of two ends each for those that are bulk. */
    rlim_t all = OWN_FILES + (rlim_t)6 * wanted;
    struct rlimit raised = *before;
    if (raised.rlim_cur < all) {
        raised.rlim_cur = all < raised.rlim_max ? all : raised.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &raised) != 0)
            raised = *before;
    }
    rlim_t files = raised.rlim_cur < all ? raised.rlim_cur : all;
    rlim_t left = files > OWN_FILES ? files - OWN_FILES : 2;
    unsigned max = left / 2 < wanted ? (unsigned)(left / 2) : wanted;
    if (max < wanted)
        say("the limit of descriptors (ulimit -n) leaves room for %u connections instead of %u", max, wanted);
    *out_pipes = (size_t)(left - 2 * max) / 2;
    return max;
}

static bool watch_own(struct server *s, int fd, uint64_t tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool server_init(struct server *s, struct child *child, const struct place *to, int listen_fd, unsigned max,
                 size_t pipes)
{
    *s = (struct server){.child = child, .listen_fd = listen_fd, .max = max, .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    s->host = (struct pair_host){.to = to, .now_ms = now_ms(), .watch = watch, .closed = closed, .queue = queue};
    s->pairs = calloc(max, sizeof *s->pairs);
    /* Only pages of clients that read slowly are ever touched. */
    s->kept = mmap(NULL, (size_t)max * PAIR_KEPT_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->epoll_fd < 0 || s->pairs == NULL || s->kept == MAP_FAILED || !pipes_init(&s->host.pipes, pipes) ||
        !watch_own(s, listen_fd, TAG_LISTEN) || !watch_own(s, child->signal_fd, TAG_SIGNALS)) {
        say("cannot prepare for %u connections: %s", max, strerror(errno));
        return false;
    }
    for (unsigned i = max; i > 0; i--) {
        s->pairs[i - 1].next_free = s->free;
        s->free = &s->pairs[i - 1];
    }
    return true;
}

static void set_accepting(struct server *s, bool accepting)
{
    struct epoll_event event = {.events = accepting ? EPOLLIN : 0, .data.u64 = TAG_LISTEN};
    (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, s->listen_fd, &event);
    s->resume_ms = accepting ? 0 : s->host.now_ms + PAUSE_MS;
}

/* The system lacks descriptors or memory: a listener that stays readable would keep the loop running for nothing. */
static void accept_failed(struct server *s, int error)
{
    static struct say_rate rate;
    if (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS)
        return;
    say_rated(&rate, s->host.now_ms, "no connection can be accepted: %s", strerror(error));
    set_accepting(s, false);
}

static void turn_away(struct server *s, int fd)
{
    static struct say_rate rate;
    close(fd);
    say_rated(&rate, s->host.now_ms, "%u connections are open, as many as --max allows: one more was closed", s->max);
}

static void accept_some(struct server *s)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            accept_failed(s, errno);
            return;
        }
        struct pair *pair = s->free;
        if (pair == NULL) {
            turn_away(s, fd);
            continue;
        }
        s->free = pair->next_free;
        pair_open(pair, &s->host, fd, s->kept + (size_t)(pair - s->pairs) * PAIR_KEPT_BYTES);
    }
}

static void event_of_pair(struct server *s, const struct epoll_event *event)
{
    uint64_t tag = event->data.u64 - TAG_PAIRS;
    struct pair *pair = &s->pairs[tag / 2];
    pair_event(pair, &s->host, tag % 2 == 1 ? &pair->proxy : &pair->client, event->events);
}

static void run_more(struct server *s)
{
    struct pair *list = s->more;
    s->more = NULL;
    while (list != NULL) {
        struct pair *pair = list;
        list = pair->next_queued;
        pair_continue(pair, &s->host);
    }
}

static void tick(struct server *s)
{
    if (s->resume_ms != 0 && s->host.now_ms >= s->resume_ms)
        set_accepting(s, true);
    if (s->host.timed == 0 || s->host.now_ms < s->tick_ms)
        return;
    s->tick_ms = s->host.now_ms + TICK_MS;
    for (unsigned i = 0; i < s->max; i++)
        pair_tick(&s->pairs[i], &s->host);
}

static void bury(struct server *s)
{
    while (s->graves != NULL) {
        struct pair *pair = s->graves;
        s->graves = pair->next_free;
        pair->next_free = s->free;
        s->free = pair;
    }
}

static int timeout_of(const struct server *s)
{
    if (s->more != NULL)
        return 0;
    return s->host.timed > 0 || s->resume_ms != 0 ? TICK_MS : -1;
}

int server_run(struct server *s)
{
    struct epoll_event events[EVENTS];
    int status = 0;
    for (;;) {
        int count = epoll_wait(s->epoll_fd, events, EVENTS, timeout_of(s));
        s->host.now_ms = now_ms();
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == TAG_LISTEN)
                accept_some(s);
            else if (events[i].data.u64 != TAG_SIGNALS)
                event_of_pair(s, &events[i]);
            else if (child_signals(s->child, &status) == CHILD_ENDED)
                return status;
        }
        run_more(s);
        tick(s);
        bury(s);
    }
}
