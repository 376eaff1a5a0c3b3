/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialer: connects to the addresses of one struct admitted and to nothing else, as RFC 8305 (Happy Eyeballs) says:
 * families interleaved beginning with IPv6, a new attempt 250 ms after the last or at once when it failed, the first
 * connection wins, the others are closed. One thread.
 */
#ifndef NET_DIALER_H
#define NET_DIALER_H

#include "net/loop.h"
#include "net/port.h"
#include "wire/admitted.h"

struct dialled {
    int error;          /* 0, or the errno of the last attempt; ETIMEDOUT when the time was up */
    struct port *port;  /* connected; the callee owns it; NULL on error */
    struct ipaddr addr; /* the one that was dialled */
    uint32_t connects;  /* connect() calls */
};

struct dial;
typedef void dial_fn(void *arg, const struct dialled *dialled);

/*
 * Starts. `admitted` is copied. `fn` is called once, never from inside this call. The winner's port has `wake` and
 * `owner` set to NULL: the callee sets its own, and looks at `readable`, which may be set already.
 * ERR_INVALID: nothing was admitted.
 */
MUST_CHECK enum err dial_start(struct loop *loop, const struct admitted *admitted, uint32_t timeout_ms, dial_fn *fn,
                               void *arg, struct dial **out);
/* fn will not be called; what was under way is closed. Gives the number of connect() calls made. */
uint32_t dial_cancel(struct dial *dial);

/* connect() calls of this process since the start. */
uint64_t dial_connects(void);

#endif
