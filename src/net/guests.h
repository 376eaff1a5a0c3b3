/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guests: the libevent base of a loop, for those who bring events of libevent's kind: the sockets of c-ares, the
 * daemon's signals and admin socket. The loop waits for its epoll descriptor and lets it run when that is readable.
 */
#ifndef NET_GUESTS_H
#define NET_GUESTS_H

#include "base/err.h"

struct event_base;

/* `probe_fd`: some descriptor that epoll can hold, never readable while this runs. ERR_NO_MEMORY, ERR_IO. */
MUST_CHECK enum err guests_new(int probe_fd, struct event_base **out_base, int *out_epoll_fd);

#endif
