/* SPDX-License-Identifier: Apache-2.0 */
/* server: the loop. A turn: events, then pairs with more to do, deadlines, and the closed ones. */
#ifndef RELAY_SERVER_H
#define RELAY_SERVER_H

#include "child.h"
#include "pair.h"

struct server {
    struct pair_host host; /* first: a host is its server */
    struct child *child;
    int epoll_fd, listen_fd;
    unsigned max;
    struct pair *pairs;
    uint8_t *kept;
    struct pair *free, *graves, *more;
    uint64_t tick_ms, resume_ms; /* next look at deadlines; end of a pause in accepting, 0 if there is none */
};

/* Raises the limit of descriptors as far as needed and allowed, and gives how many connections fit; the old limit goes
 * to `before`, for the command. */
unsigned server_fit(unsigned wanted, struct rlimit *before, size_t *out_pipes);

/* False after saying why not. */
bool server_init(struct server *server, struct child *child, const struct place *to, int listen_fd, unsigned max,
                 size_t pipes);

/* Until the command or a signal ends it; gives the exit status. */
int server_run(struct server *server);

#endif
