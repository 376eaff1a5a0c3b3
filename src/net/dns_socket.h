/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_socket: the sockets of one DNS channel: opened, watched in the loop's libevent base, and closed as the library
 * asks for it. It knows no message and no library; the channel decides what is read from them. One thread.
 */
#ifndef NET_DNS_SOCKET_H
#define NET_DNS_SOCKET_H

#include "net/resolver.h"

#include <event2/event_struct.h>
#include <sys/socket.h>

#define DNS_SERVERS_MAX 8
#define DNS_SOCKETS_MAX ((size_t)2 * DNS_SERVERS_MAX) /* one for UDP and one for TCP each */

struct dns_sockets;

struct dns_socket {
    struct dns_sockets *of; /* NULL: free */
    int fd;
    int type; /* SOCK_DGRAM or SOCK_STREAM */
    struct resolver_server server;
    short watched; /* EV_READ and EV_WRITE, as it was last asked for */
    struct event event;
};

/* A socket may be read, written, or both. */
typedef void dns_ready_fn(void *arg, int fd, bool readable, bool writable);

struct dns_sockets {
    struct loop *loop;
    dns_ready_fn *fn;
    void *arg;
    struct dns_socket all[DNS_SOCKETS_MAX];
};

/* NULL: it is none of these. */
struct dns_socket *dns_socket_of(struct dns_sockets *sockets, int fd);
/* As socket(2), non-blocking and close-on-exec: the descriptor, or -1 with errno; EMFILE also when all places are
 * taken. */
int dns_socket_open(struct dns_sockets *sockets, int family, int type, int protocol);
/* As connect(2); notes the server. */
int dns_socket_connect(struct dns_socket *s, const struct sockaddr *sa, socklen_t len);
/* Calls `fn` for this from now on; neither: for nothing. */
void dns_socket_watch(struct dns_socket *s, bool readable, bool writable);
/* As close(2). The place is free. */
int dns_socket_close(struct dns_socket *s);

#endif
