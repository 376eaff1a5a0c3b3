/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pair: one client and its connection to the proxy.
 *
 *     DIALING ──▶ RELAYING ──▶ closed when both directions are over
 *        │  └─▶ WAITING (a Unix socket whose queue is full cannot be waited for: it is asked again)
 *        └────▶ REFUSING (what does the client speak?) ──▶ LINGERING (reads the answer) ──▶ closed
 *
 * Memory is given once, for all pairs. A closed pair is used again only after the turn, so that a late event of the
 * same turn finds it FREE.
 */
#ifndef RELAY_PAIR_H
#define RELAY_PAIR_H

#include "flow.h"
#include "place.h"

enum pair_state { PAIR_FREE, PAIR_DIALING, PAIR_WAITING, PAIR_RELAYING, PAIR_REFUSING, PAIR_LINGERING };

struct pair {
    enum pair_state state;
    bool queued; /* has more to do although no event will say so */
    struct end client, proxy;
    struct flow up, down;
    uint64_t deadline_ms; /* of every state but RELAYING */
    struct pair *next_queued, *next_free;
};

/* What a pair needs of the loop around it. */
struct pair_host {
    const struct place *to;
    struct pipes pipes;
    uint64_t now_ms;
    unsigned open, timed; /* pairs that are not FREE; of those, in a state with a deadline */
    bool (*watch)(struct pair_host *host, struct pair *pair,
                  struct end *end); /* one registration, for the life of it */
    void (*closed)(struct pair_host *host, struct pair *pair);
    void (*queue)(struct pair_host *host, struct pair *pair);
};

#define PAIR_KEPT_BYTES (2 * FLOW_BUFFER_BYTES)

/* Begins with an accepted client, which it owns from now on. `kept` is the pair's own memory, PAIR_KEPT_BYTES of
 * whole pages, which are given back to the system when it closes. */
void pair_open(struct pair *pair, struct pair_host *host, int client_fd, uint8_t *kept);

/* `end` may be readable, writable or broken now, as epoll says. */
void pair_event(struct pair *pair, struct pair_host *host, struct end *end, uint32_t events);

/* Goes on after its budget was spent. */
void pair_continue(struct pair *pair, struct pair_host *host);

/* Looks at the deadline; asks a full queue again. */
void pair_tick(struct pair *pair, struct pair_host *host);

#endif
