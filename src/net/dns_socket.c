/* SPDX-License-Identifier: Apache-2.0 */
#include "dns_socket.h"

#include "loop_impl.h"

#include <event2/event.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

struct dns_socket *dns_socket_of(struct dns_sockets *sockets, int fd)
{
    for (size_t i = 0; i < DNS_SOCKETS_MAX; i++) {
        if (sockets->all[i].of != NULL && sockets->all[i].fd == fd) {
            return &sockets->all[i];
        }
    }
    return NULL;
}

static void on_event(evutil_socket_t fd, short events, void *arg)
{
    const struct dns_sockets *sockets = ((struct dns_socket *)arg)->of;

    sockets->fn(sockets->arg, fd, (events & EV_READ) != 0, (events & EV_WRITE) != 0);
}

void dns_socket_watch(struct dns_socket *s, bool readable, bool writable)
{
    short events = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));

    if (s->watched == events) {
        return;
    }
    if (s->watched != 0) {
        event_del(&s->event);
    }
    s->watched = events;
    if (events != 0) {
        event_assign(&s->event, loop_base(s->of->loop), s->fd, (short)(events | EV_PERSIST), on_event, s);
        /* Without memory the query times out, like one whose answer is lost. */
        int ignored = event_add(&s->event, NULL);

        (void)ignored;
    }
}

static struct dns_socket *free_place(struct dns_sockets *sockets)
{
    for (size_t i = 0; i < DNS_SOCKETS_MAX; i++) {
        if (sockets->all[i].of == NULL) {
            return &sockets->all[i];
        }
    }
    return NULL;
}

int dns_socket_open(struct dns_sockets *sockets, int family, int type, int protocol)
{
    struct dns_socket *s = free_place(sockets);
    int one = 1;

    if (s == NULL) {
        errno = EMFILE;
        return -1;
    }
    s->fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (s->fd < 0) {
        return -1;
    }
    s->of = sockets;
    s->type = type;
    s->watched = 0;
    if (type == SOCK_STREAM) {
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return s->fd;
}

/* A connected UDP socket takes nothing from anybody but the server: the kernel compares address and port. */
int dns_socket_connect(struct dns_socket *s, const struct sockaddr *sa, socklen_t len)
{
    if (ipaddr_from_sockaddr(sa, &s->server.addr, &s->server.port) != ERR_NONE) {
        s->server = (struct resolver_server){0};
    }
    return connect(s->fd, sa, len);
}

int dns_socket_close(struct dns_socket *s)
{
    dns_socket_watch(s, false, false);
    s->of = NULL;
    return close(s->fd);
}
