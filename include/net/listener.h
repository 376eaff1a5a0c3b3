/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener: sockets that accept. TCP sockets are reuse-port, with TCP_DEFER_ACCEPT and TCP_NODELAY (inherited); a Unix
 * socket belongs to one worker.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/loop.h"
#include "wire/ipaddr.h"

#include <sys/un.h>

struct listener;

struct accepted {
    int fd;             /* non-blocking, close-on-exec; the callee owns it */
    struct ipaddr peer; /* family 0 over a Unix socket */
    uint16_t peer_port;
    bool has_uid;
    uint32_t uid, gid, pid; /* SO_PEERCRED of a Unix socket */
};
typedef void accept_fn(void *arg, const struct accepted *accepted);

/* Opens a listening TCP socket (not yet accepting). Port 0 asks for a free one. Any thread, before the workers run.
 * ERR_EXISTS: somebody listens there; ERR_DENIED: this account may not; ERR_IO. The descriptor is the caller's. */
MUST_CHECK enum err listen_tcp(const struct ipaddr *addr, uint16_t port, int *out_fd, uint16_t *out_port);

/*
 * Opens a listening Unix socket with this mode. A stale socket file is replaced only if nothing listens on it
 * (connect() is refused); anything else that is there, a path of 108 bytes or more, or a parent directory that others
 * may write to (sticky ones too) is ERR_EXISTS, ERR_TOO_BIG or ERR_DENIED, and `message` says why.
 */
MUST_CHECK enum err listen_unix(const char *path, unsigned mode, int *out_fd, char *message, size_t message_cap);

/* Accepts on `fd` in this loop: at most `batch` connections an event. The listener owns fd from now on. On EMFILE
 * and ENFILE it pauses for 100 ms. */
MUST_CHECK enum err listener_start(struct loop *loop, int fd, unsigned batch, accept_fn *fn, void *arg,
                                   struct listener **out);
/* Accepts nothing for some milliseconds: who comes waits in the kernel's queue. Without effect while it rests
 * already. In the accept function too. */
void listener_rest(struct listener *listener, uint32_t ms);
/* Stops accepting and closes; NULL is allowed. */
void listener_stop(struct listener *listener);

#endif
