/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnels: every outbound attempt of one worker, from the accepted connection to the outcome record.
 *
 * A tunnel walks the rows of tunnel/step_tbl.h. Always true, and asserted: no DNS query and no packet leaves for a name
 * that was not allowed when its query was first sent; no client byte reaches an upstream and no upstream byte the
 * client before every stage has allowed it; only admitted addresses are dialled; every attempt leaves its records, and
 * one that cannot be written means no egress; a tunnel sees one policy at a time, and a new one re-judges it; bytes in
 * = bytes out + bytes held; a closed tunnel receives no further event; every error path ends in deny.
 *
 * Everything here belongs to the worker's thread.
 */
#ifndef TUNNEL_TUNNELS_H
#define TUNNEL_TUNNELS_H

#include "audit/desk.h"
#include "audit/redact_key.h"
#include "net/lane.h"
#include "net/port.h"
#include "policy/book.h"
#include "tunnel/services.h"
#include "tunnel/tenant.h"
#include "wire/redact.h"

/* Where a client came in. Lives as long as the tunnels that came in by it. */
struct tunnel_listener {
    const char *name;        /* "127.0.0.1:3128", "unix:/run/…" */
    uint32_t index;          /* the daemon's own */
    struct session *session; /* the daemon's own; NULL: none */
    bool closed;             /* of a session, whose worker sets it: no attempt begins here any more */
};

/* What is known of a client before its first byte. */
struct tunnel_client {
    struct ipaddr peer; /* family 0 over a Unix socket */
    uint16_t peer_port;
    bool has_uid;
    uint32_t uid, pid;
};

/* To whom an attempt belongs. Spans live as long as the tenant and the policy. */
struct tunnel_who {
    struct policy *policy; /* borrowed from the book */
    struct tenant *tenant;
    struct span environment;
    struct span session, work, agent; /* empty if none */
    struct narrowing *narrowing;      /* borrowed; what the session leaves of the policy, NULL: all of it */
    struct why *why;                  /* of the session; NULL: the tenant's */
    const struct limits *limits;      /* the policy's as the session narrows them; NULL: the policy's own */
    struct session_use *use;          /* of the session; NULL: none */
    bool alone;                       /* no client of another environment comes in by this listener */
};

/* Identity is the daemon's: handed down as a table. */
struct tunnel_hooks {
    void *ctx;
    /* Limits for a connection whose environment is not known yet. Never NULL. */
    const struct limits *(*limits)(void *ctx, const struct book *book, const struct tunnel_listener *listener);
    /* REASON_NONE and *out filled, or REASON_IDENTITY, REASON_CONFLICT, REASON_CREDENTIAL. */
    enum reason (*identify)(void *ctx, const struct book *book, const struct tunnel_listener *listener,
                            const struct tunnel_client *client, struct tunnel_who *out);
};

#define TUNNEL_VIA_TEXT 16

/* What all workers share of the process. */
struct tunnel_process {
    uint64_t descriptors_max;
    uint64_t memory_max;                     /* 0: no ceiling */
    uint64_t credit_max;                     /* bytes of audit credit an environment's share is taken from */
    uint64_t lookups_max;                    /* that wait at one time in a worker; an environment's share is of it */
    char via_id[TUNNEL_VIA_TEXT + 1];        /* our pseudonym in Via is "sallyport-" and this: random, one a process */
    const struct redact_words *redact_words; /* NULL: none; lives as long as the process */
    _Atomic(const struct redact_key *) redact_key; /* in force; every one of them lives as long as the process */
    atomic_uint
        share_percent; /* of descriptors, memory, lookups, credit that one environment may hold; 100: there is one */
    char apart[64];    /* what follows is written at each attempt */
    struct budget descriptors;
    struct budget memory; /* bytes that connections make the process hold */
};

/* Counted with relaxed atomics by the worker, read by anyone. */
#define TUNNEL_COUNTER_TABLE(X)                                                                                        \
    X(accepted, "connections accepted")                                                                                \
    X(ended_without_head, "connections that ended before the first byte of a head")                                    \
    X(turned_away, "connections answered 503 before their head was read")                                              \
    X(pages, "requests in origin form that this program answered itself")                                              \
    X(attempts, "attempts recorded one by one")                                                                        \
    X(allowed, "attempts that passed the target stage")                                                                \
    X(denied, "attempts refused, at any stage")                                                                        \
    X(rate_exceeded, "attempts above the rate")                                                                        \
    X(dials, "connect() calls")                                                                                        \
    X(dns_sent, "DNS queries sent for attempts")                                                                       \
    X(bytes_up, "bytes relayed from clients")                                                                          \
    X(bytes_down, "bytes relayed to clients")

struct tunnel_counters {
#define X(name, sentence) atomic_uint_fast64_t name;
    TUNNEL_COUNTER_TABLE(X)
#undef X
    atomic_uint_fast64_t limits[LIMIT_ROWS]; /* how often each was reached */
};

struct tunnels_options {
    struct tunnel_services services;
    struct tunnel_hooks hooks;
    struct tunnel_process *process;
    struct desk *desk;
    /* An attempt that carries bytes is recorded again after this time and after this many of them. 0: never */
    uint64_t traffic_ms, traffic_bytes;
    struct relay_pool *pool;
    struct book *book;            /* a reference is taken */
    const struct own_socket *own; /* borrowed */
    size_t own_count;
};

struct tunnels;
/* `options` is copied; what it points to outlives the tunnels. ERR_NO_MEMORY. */
MUST_CHECK enum err tunnels_new(const struct tunnels_options *options, struct tunnels **out);
/* Every tunnel must have ended, and every question that left for one: the resolver goes first. NULL is allowed. */
void tunnels_free(struct tunnels *tunnels);

/* Takes over a client's port and begins. The port's descriptor is counted against the process here. Gives for how many
 * milliseconds no more should be accepted by this listener, since too many of its clients came to nothing; 0: go on. */
uint32_t tunnels_accept(struct tunnels *tunnels, const struct tunnel_listener *listener,
                        const struct tunnel_client *client, struct port *port);

/* The writer has committed, or the gate has changed: whoever waits for it goes on. */
void tunnels_on_durable(struct tunnels *tunnels);

/* A new book (a reference is taken): tunnels of environments that changed are re-judged, at most 256 in one turn. */
void tunnels_swap(struct tunnels *tunnels, struct book *book);

/* No new work: connections that have not begun are closed; `on_empty` is called once nothing is left. At the deadline
 * (monotonic) what is left is cut with REASON_DRAINED. */
void tunnels_drain(struct tunnels *tunnels, uint64_t deadline_ms, void (*on_empty)(void *arg), void *arg);
/* Cuts everything now. */
void tunnels_cut(struct tunnels *tunnels, enum reason reason);

/* The same for what came in by one listener. */
void tunnels_cut_listener(struct tunnels *tunnels, const struct tunnel_listener *listener, enum reason reason);
/* What may be done by this listener has changed: its tunnels are judged again at once. */
void tunnels_judge_listener(struct tunnels *tunnels, const struct tunnel_listener *listener);
/* False: nothing here knows the listener any more. */
bool tunnels_has_listener(const struct tunnels *tunnels, const struct tunnel_listener *listener);

size_t tunnels_open(const struct tunnels *tunnels); /* connections, whatever step they are in */
/* Of this worker; any thread may read them while it runs. */
const struct tunnel_counters *tunnels_counters(const struct tunnels *tunnels);

/* One row of the step table, for the manual and for tests. */
struct step_row {
    const char *name;
    const char *wakes;    /* what may wake it */
    const char *deadline; /* key of the limits table, or a fixed time */
    enum reason timeout;
    const char *sentence;
};
/* All rows in their order, constant. Not by two threads at once. */
const struct step_row *tunnel_step_rows(size_t *out_count);

#endif
