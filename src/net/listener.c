/* SPDX-License-Identifier: Apache-2.0 */
#include "net/listener.h"

#include "base/assert.h"
#include "loop_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BACKLOG         4096 /* the kernel takes net.core.somaxconn if that is less */
#define PAUSE_MS        100
#define USED_UP_TO_GROW 3
/*
 * A connection is handed over with its first bytes, so that it can be read before the first wait. Who sends nothing is
 * handed over when the SYN-ACK has been repeated once, after about a second, and is counted and timed like everybody.
 */
#define DEFER_ACCEPT_S 1

struct listener {
    struct watch watch;
    struct timer pause;
    struct loop *loop;
    int fd;
    int reserve_fd; /* given up to accept and close what cannot be served when descriptors run out; -1: none */
    unsigned batch;
    unsigned allowance; /* accepted at the next event */
    unsigned used_up;   /* events in a row that took all of it */
    bool is_unix;
    bool stopped;
    bool resting;
    accept_fn *fn;
    void *arg;
};

static bool set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

static bool tcp_options(int fd, int family)
{
    return set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) &&
           set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
           set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, DEFER_ACCEPT_S) &&
           (family != AF_INET6 || set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1));
}

enum err listen_tcp(const struct ipaddr *addr, uint16_t port, int *out_fd, uint16_t *out_port)
{
    struct sockaddr_storage sa;
    socklen_t len = ipaddr_to_sockaddr(addr, port, &sa);
    struct ipaddr bound;
    uint16_t bound_port = 0;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return ERR_IO;
    }
    if (!tcp_options(fd, sa.ss_family) || bind(fd, (struct sockaddr *)&sa, len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &(socklen_t){sizeof(sa)}) != 0 ||
        ipaddr_from_sockaddr((struct sockaddr *)&sa, &bound, &bound_port) != ERR_NONE) {
        int error = errno;

        close(fd);
        errno = error;
        return error == EADDRINUSE ? ERR_EXISTS : error == EACCES ? ERR_DENIED : ERR_IO;
    }
    *out_fd = fd;
    *out_port = bound_port;
    return ERR_NONE;
}

/* Accepting. */

static bool identify(const struct listener *listener, const struct sockaddr_storage *sa, struct accepted *accepted)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (!listener->is_unix) {
        return ipaddr_from_sockaddr((const struct sockaddr *)sa, &accepted->peer, &accepted->peer_port) == ERR_NONE;
    }
    if (getsockopt(accepted->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
        return false;
    }
    accepted->has_uid = true;
    accepted->uid = peer.uid;
    accepted->gid = peer.gid;
    accepted->pid = (uint32_t)peer.pid;
    return true;
}

static int reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor is left: what waits is closed rather than left to wait, with the one kept for this. */
static void turn_away(struct listener *listener)
{
    for (unsigned i = 0; i < listener->batch && listener->reserve_fd >= 0; i++) {
        close(listener->reserve_fd);
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0) {
            close(fd);
        }
        listener->reserve_fd = reserve();
        if (fd < 0) {
            break;
        }
    }
}

void listener_rest(struct listener *listener, uint32_t ms)
{
    if (listener->stopped || listener->resting) {
        return;
    }
    listener->resting = true;
    watch_change(listener->loop, &listener->watch, listener->fd, 0);
    timer_set(loop_wheel(listener->loop), &listener->pause, loop_now_ms(listener->loop) + ms);
}

static void listener_resume(struct timer *timer)
{
    struct listener *listener = (struct listener *)(void *)((char *)timer - offsetof(struct listener, pause));

    if (listener->reserve_fd < 0) {
        listener->reserve_fd = reserve();
    }
    listener->resting = false;
    watch_change(listener->loop, &listener->watch, listener->fd, EPOLLIN);
}

/* What accept4(2) said of one connection or of the network is over with that connection. */
static bool error_is_of_one(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

/* False when accepting has to end for now. */
static bool accept_one(struct listener *listener)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    struct accepted accepted = {.fd = accept4(listener->fd, listener->is_unix ? NULL : (struct sockaddr *)&sa,
                                              listener->is_unix ? NULL : &len, SOCK_NONBLOCK | SOCK_CLOEXEC)};

    if (accepted.fd >= 0) {
        if (identify(listener, &sa, &accepted)) {
            listener->fn(listener->arg, &accepted);
        } else {
            close(accepted.fd);
        }
        return true;
    }
    if (errno == EAGAIN) {
        return false;
    }
    if (error_is_of_one(errno)) {
        return true;
    }
    if (errno == EMFILE || errno == ENFILE) {
        turn_away(listener);
    }
    listener_rest(listener, PAUSE_MS);
    return false;
}

/*
 * As many at an event as there usually are: asking for one more would only hear EAGAIN, and who is left is an event of
 * the next turn. It grows when a few events in a row were used up.
 */
static void learn_allowance(struct listener *listener, unsigned count)
{
    if (count < listener->allowance) {
        listener->allowance = count > 0 ? count : 1;
        listener->used_up = 0;
    } else if (++listener->used_up == USED_UP_TO_GROW) {
        listener->allowance = listener->batch / 2 < count ? listener->batch : count * 2;
        listener->used_up = 0;
    }
}

static void listener_event(struct watch *watch, uint32_t events)
{
    struct listener *listener = (struct listener *)(void *)((char *)watch - offsetof(struct listener, watch));

    unsigned count = 0;

    (void)events;
    while (count < listener->allowance && !listener->stopped && !listener->resting && accept_one(listener)) {
        count++;
    }
    learn_allowance(listener, count);
}

enum err listener_start(struct loop *loop, int fd, unsigned batch, accept_fn *fn, void *arg, struct listener **out)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};

    if (getsockname(fd, (struct sockaddr *)&sa, &(socklen_t){sizeof(sa)}) != 0 || batch == 0) {
        return ERR_INVALID;
    }
    struct listener *listener = malloc(sizeof(*listener));

    if (listener == NULL) {
        return ERR_NO_MEMORY;
    }
    *listener = (struct listener){.loop = loop,
                                  .fd = fd,
                                  .reserve_fd = reserve(),
                                  .batch = batch,
                                  .allowance = 1,
                                  .is_unix = sa.ss_family == AF_UNIX,
                                  .fn = fn,
                                  .arg = arg};
    timer_init(&listener->pause, listener_resume);
    /* Level-triggered: what a full batch leaves is an event of the next turn. */
    enum err err = watch_add(loop, &listener->watch, fd, EPOLLIN, listener_event);

    if (err != ERR_NONE) {
        if (listener->reserve_fd >= 0) {
            close(listener->reserve_fd);
        }
        free(listener);
        return err;
    }
    *out = listener;
    return ERR_NONE;
}

void listener_stop(struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    ASSERT(!listener->stopped);
    listener->stopped = true;
    timer_cancel(&listener->pause);
    watch_remove(listener->loop, &listener->watch);
    close(listener->fd);
    if (listener->reserve_fd >= 0) {
        close(listener->reserve_fd);
    }
    loop_bury(listener->loop, listener, free);
}
