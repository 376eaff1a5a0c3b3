/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When is a socket drained? An edge comes once, so `readable` must stay set until nothing is left: neither bytes nor
 * the end behind them. recv(2) saying EAGAIN proves that, and costs a system call for every message relayed. A read
 * shorter than the buffer proves it too, on these conditions:
 *
 *  - The socket is TCP. There a short read means that the receive queue was empty at that moment; only the mark of
 *    urgent data stops a read earlier. (A Unix socket also stops where credentials or descriptors change.)
 *  - No event reported so far had EPOLLRDHUP, EPOLLHUP, EPOLLERR or EPOLLPRI. epoll looks at the socket when it hands an
 *    event over, and each change after that look puts the socket on its list again (as does the registration itself,
 *    if the socket is ready by then). So an end, an error or an urgent mark is either in an event that we have seen, or
 *    in one that will still come and set `readable` again.
 *
 * If one of these was ever seen, or nobody said that it is TCP, EAGAIN or the end counts: it may lie behind the bytes.
 *
 * Where an event said that the peer has ended (EPOLLRDHUP and no error), a short read proves even more: the end comes
 * after the last byte, so nothing but the end is left, and the next read says so without a system call.
 *
 * A send that takes less than it was given has met the full buffer (the kernel notes that somebody waits for space), so
 * it clears `writable` at once. splice(2) may also stop where a pipe has no free slots or at a signal: there EAGAIN
 * alone counts.
 */
#include "net/port.h"

#include "base/assert.h"
#include "loop_impl.h"
#include "port_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS_A_SLAB 64
#define EVENTS_IN    (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET)
#define EVENTS       (EVENTS_IN | EPOLLOUT)
#define EVENTS_END   (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

struct raw_port {
    struct port port;
    struct loop *loop;
    struct watch watch;
    bool is_tcp;
    bool hears_room;  /* registered for EPOLLOUT too */
    bool urgent_seen; /* EPOLLPRI was reported: a short read proves nothing */
    bool end_seen;    /* an end or an error was reported */
    bool error_seen;  /* it was an error */
    bool at_end;      /* everything up to the peer's end was read */
};

static struct raw_port *raw(struct port *port)
{
    return (struct raw_port *)(void *)port;
}

static enum port_io reading_failed(struct port *port)
{
    if (errno == EAGAIN || errno == EINTR) {
        /* EINTR does not happen on a non-blocking read; should it, the flag stays and the owner comes again. */
        port->readable = errno == EINTR;
        return PORT_AGAIN;
    }
    return PORT_RESET;
}

/* It is full. Most sockets never are, and so are not registered for this before. A change of the registration looks at
 * the socket again, so that room which has come meanwhile is an event. */
static void wait_for_room(struct raw_port *r)
{
    r->port.writable = false;
    if (!r->port.deaf && !r->hears_room) {
        watch_change(r->loop, &r->watch, r->port.fd, EVENTS);
        r->hears_room = true;
    }
}

static enum port_io writing_failed(struct port *port)
{
    if (errno == EAGAIN) {
        wait_for_room(raw(port));
        return PORT_AGAIN;
    }
    return errno == EINTR ? PORT_AGAIN : PORT_RESET;
}

static void short_read(struct raw_port *r)
{
    if (!r->is_tcp || r->urgent_seen) {
        return;
    }
    if (!r->end_seen) {
        r->port.readable = false;
    } else if (!r->error_seen) {
        r->at_end = true;
    }
}

static enum port_io raw_recv(struct port *port, void *buf, size_t len, size_t *out_n)
{
    struct raw_port *r = raw(port);

    if (r->at_end) {
        return PORT_EOF;
    }
    ssize_t n = recv(port->fd, buf, len, 0);

    if (n < 0) {
        return reading_failed(port);
    }
    if (n == 0) {
        return PORT_EOF;
    }
    if ((size_t)n < len) {
        short_read(r);
    }
    *out_n = (size_t)n;
    return PORT_OK;
}

static enum port_io send_with(struct port *port, const void *buf, size_t len, int flags, size_t *out_n)
{
    ssize_t n = send(port->fd, buf, len, MSG_NOSIGNAL | flags);

    if (n < 0) {
        return writing_failed(port);
    }
    if ((size_t)n < len) {
        wait_for_room(raw(port));
    }
    *out_n = (size_t)n;
    return PORT_OK;
}

static enum port_io raw_send(struct port *port, const void *buf, size_t len, size_t *out_n)
{
    return send_with(port, buf, len, 0, out_n);
}

static void raw_shutdown_write(struct port *port)
{
    /* ENOTCONN: the peer was faster and the next read says so. */
    int ignored = shutdown(port->fd, SHUT_WR);

    (void)ignored;
}

/* MSG_MORE keeps the bytes back until the end is there to go with them. */
static enum port_io raw_send_last(struct port *port, const void *buf, size_t len, size_t *out_n)
{
    enum port_io io = send_with(port, buf, len, MSG_MORE, out_n);

    if (io == PORT_OK && *out_n == len) {
        raw_shutdown_write(port);
    }
    return io;
}

static enum port_io raw_splice_in(struct port *port, int pipe_fd, size_t len, size_t *out_n)
{
    if (raw(port)->at_end) {
        return PORT_EOF;
    }
    ssize_t n = splice(port->fd, NULL, pipe_fd, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    if (n < 0) {
        return reading_failed(port);
    }
    if (n == 0) {
        return PORT_EOF;
    }
    *out_n = (size_t)n;
    return PORT_OK;
}

static enum port_io raw_splice_out(struct port *port, int pipe_fd, size_t len, size_t *out_n)
{
    ssize_t n = splice(pipe_fd, NULL, port->fd, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    if (n <= 0) {
        return n == 0 ? PORT_RESET : writing_failed(port);
    }
    *out_n = (size_t)n;
    return PORT_OK;
}

/* At the end of the turn: until then the owner's callbacks may still look at its flags. */
static void raw_bury(void *object)
{
    struct raw_port *r = object;

    pool_give(&loop_pools(r->loop)->ports, r);
}

static void raw_close(struct port *port, bool reset)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    struct raw_port *r = raw(port);

    ASSERT(port->fd >= 0);
    if (reset) {
        int ignored = setsockopt(port->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));

        (void)ignored;
    }
    if (!port->deaf) {
        watch_remove(r->loop, &r->watch);
    }
    close(port->fd);
    port->fd = -1;
    port->wake = NULL;
    port->owner = NULL;
    port->readable = false;
    port->writable = false;
    loop_bury(r->loop, r, raw_bury);
}

static void raw_event(struct watch *watch, uint32_t events)
{
    struct raw_port *r = (struct raw_port *)(void *)((char *)watch - offsetof(struct raw_port, watch));
    bool readable = (events & (EPOLLIN | EVENTS_END)) != 0;
    bool writable = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    bool gone = (events & EPOLLERR) != 0;
    bool news = (readable && !r->port.readable) || (writable && !r->port.writable) || (gone && !r->port.gone);

    r->end_seen = r->end_seen || (events & EVENTS_END) != 0;
    r->error_seen = r->error_seen || gone;
    r->port.gone = r->port.gone || gone;
    r->urgent_seen = r->urgent_seen || (events & EPOLLPRI) != 0;
    r->port.readable = r->port.readable || readable;
    r->port.writable = r->port.writable || writable;
    if (news && r->port.wake != NULL) {
        r->port.wake(&r->port);
    }
}

static enum err raw_listen(struct port *port)
{
    struct raw_port *r = raw(port);
    enum err err = watch_add(r->loop, &r->watch, port->fd, port->writable ? EVENTS_IN : EVENTS, raw_event);

    if (err == ERR_NONE) {
        port->deaf = false;
        r->hears_room = !port->writable;
    }
    return err;
}

static const struct port_ops raw_ops = {
    .recv = raw_recv,
    .send = raw_send,
    .send_last = raw_send_last,
    .splice_in = raw_splice_in,
    .splice_out = raw_splice_out,
    .shutdown_write = raw_shutdown_write,
    .listen = raw_listen,
    .close = raw_close,
};

static struct raw_port *take(struct loop *loop)
{
    struct pool *pool = &loop_pools(loop)->ports;

    if (pool->size == 0) {
        pool_init(pool, sizeof(struct raw_port), PORTS_A_SLAB);
    }
    return pool_take(pool);
}

enum err port_raw_new(struct loop *loop, int fd, bool readable, bool writable, port_wake_fn *wake, void *owner,
                      struct port **out)
{
    struct raw_port *r = take(loop);

    if (r == NULL) {
        return ERR_NO_MEMORY;
    }
    enum err err = watch_add(loop, &r->watch, fd, EVENTS, raw_event);

    if (err != ERR_NONE) {
        pool_give(&loop_pools(loop)->ports, r);
        return err;
    }
    r->loop = loop;
    r->hears_room = true;
    r->port = (struct port){
        .ops = &raw_ops, .wake = wake, .owner = owner, .fd = fd, .readable = readable, .writable = writable};
    *out = &r->port;
    return ERR_NONE;
}

enum err port_raw_accepted(struct loop *loop, int fd, struct port **out)
{
    struct raw_port *r = take(loop);

    if (r == NULL) {
        return ERR_NO_MEMORY;
    }
    r->loop = loop;
    r->port = (struct port){.ops = &raw_ops, .fd = fd, .readable = true, .writable = true, .deaf = true};
    *out = &r->port;
    return ERR_NONE;
}

void port_raw_is_tcp(struct port *port)
{
    ASSERT(port->ops == &raw_ops);
    raw(port)->is_tcp = true;
}

int port_raw_error(const struct port *port)
{
    int error = 0;
    socklen_t len = sizeof(error);

    return getsockopt(port->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

bool port_raw_end_seen(struct port *port)
{
    ASSERT(port->ops == &raw_ops);
    return raw(port)->end_seen;
}
