/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port: one end of a lane: a socket seen as "may be read", "may be written", recv, send. The raw port is a non-blocking
 * stream socket with one edge-triggered registration; its callback only sets the flags and wakes the owner, and EAGAIN
 * clears them. A dialled socket is registered for both directions at once, an accepted one when its owner first has to
 * hear of it, and for writing when it first was full. A TLS port or a test's fake has other operations behind the same
 * struct.
 */
#ifndef NET_PORT_H
#define NET_PORT_H

#include "base/err.h"
#include "base/span.h"
#include "net/loop.h"

struct port;

enum port_io {
    PORT_OK,    /* *out_n bytes moved, at least one */
    PORT_AGAIN, /* would block: the flag was cleared, an edge will come */
    PORT_EOF,   /* read: the peer ended its direction */
    PORT_RESET, /* the connection is gone */
};

struct port_ops {
    enum port_io (*recv)(struct port *port, void *buf, size_t len, size_t *out_n);
    enum port_io (*send)(struct port *port, const void *buf, size_t len, size_t *out_n);
    /* As port_send_last() says; NULL where nothing is gained by it. */
    enum port_io (*send_last)(struct port *port, const void *buf, size_t len, size_t *out_n);
    /* Moves bytes without copying; NULL where it cannot be (TLS, fakes). `pipe_fd` is the end to write to or read
     * from. */
    enum port_io (*splice_in)(struct port *port, int pipe_fd, size_t len, size_t *out_n);
    enum port_io (*splice_out)(struct port *port, int pipe_fd, size_t len, size_t *out_n);
    void (*shutdown_write)(struct port *port);
    enum err (*listen)(struct port *port); /* as port_listen() says; NULL where every port hears from the start */
    /* Ends it, with a reset instead of an orderly close if `reset`. The port must not be used afterwards. */
    void (*close)(struct port *port, bool reset);
};

typedef void port_wake_fn(struct port *port);

struct port {
    const struct port_ops *ops;
    port_wake_fn *wake; /* called after a flag was set, at most once an event */
    void *owner;
    int fd; /* -1 for a fake */
    bool readable, writable;
    bool deaf; /* no event comes before port_listen() */
    bool gone; /* the connection is reset, known without reading: whoever has read its end already is told by this */
};

/* What the operations of this port say: at most `len` bytes, and how many of them in *out_n with PORT_OK alone. */
static inline enum port_io port_recv(struct port *p, void *buf, size_t len, size_t *out_n)
{
    return p->ops->recv(p, buf, len, out_n);
}
static inline enum port_io port_send(struct port *p, const void *buf, size_t len, size_t *out_n)
{
    return p->ops->send(p, buf, len, out_n);
}
/* Ends this direction; what was sent still arrives. Once. */
static inline void port_shutdown_write(struct port *p)
{
    p->ops->shutdown_write(p);
}
/* Sends the last bytes of this direction, and ends it as soon as all of them are taken: on TCP the end rides in the
 * last segment, which saves a packet, its way through the kernel and a wake-up of the peer. *out_n < len: not ended
 * yet. */
static inline enum port_io port_send_last(struct port *p, const void *buf, size_t len, size_t *out_n)
{
    if (p->ops->send_last != NULL)
        return p->ops->send_last(p, buf, len, out_n);
    enum port_io io = p->ops->send(p, buf, len, out_n);
    if (io == PORT_OK && *out_n == len)
        p->ops->shutdown_write(p);
    return io;
}
/* From now on events come, beginning with what has happened meanwhile. On failure it stays deaf. */
MUST_CHECK static inline enum err port_listen(struct port *p)
{
    return p->deaf ? p->ops->listen(p) : ERR_NONE;
}
static inline void port_close(struct port *p, bool reset)
{
    p->ops->close(p, reset);
}

/*
 * A raw port from the loop's pool around a connected or connecting non-blocking socket, which it owns from now on.
 * On failure the socket stays the caller's. `readable` and `writable` begin as given.
 * port_close() unregisters, closes and returns it to the pool at the end of the turn.
 */
MUST_CHECK enum err port_raw_new(struct loop *loop, int fd, bool readable, bool writable, port_wake_fn *wake,
                                 void *owner, struct port **out);

/*
 * The same around a socket that was just accepted: readable and writable, so that it is read before the first wait, and
 * deaf. Many clients are answered and gone before anything had to be heard of them.
 */
MUST_CHECK enum err port_raw_accepted(struct loop *loop, int fd, struct port **out);

/*
 * Says that the socket is TCP, right after port_raw_new(): a read that is shorter than its buffer then clears
 * `readable` without another recv() that would say EAGAIN. Saved once a message; src/net/port.c says why it is safe,
 * and why it is not for a Unix socket. The dialer says it itself.
 */
void port_raw_is_tcp(struct port *port);

/* SO_ERROR of a connecting socket: 0 connected, else the errno. */
int port_raw_error(const struct port *port);

#endif
