/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: the near end of the tunnels. Every connection is a small state machine over one level-triggered epoll; what it
 * gets is compared with what it must get, and anything else is an error that is counted by its kind.
 *
 *   short work (tunnels, deny)      open ─▶ done ─▶ open the next one, `concurrency` at a time
 *   standing work (bulk, ping,      open all ─▶ "ready" ─▶ wait for a line on standard input ─▶ work ─▶ done
 *     http, idle)
 *
 * The runner reads the subject's CPU between "ready" and its line, and again after the result: nothing else happens in
 * that interval.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "histogram.h"
#include "talk.h"
#include "tool.h"

enum mode { MODE_TUNNELS, MODE_DENY, MODE_BULK_DOWN, MODE_BULK_UP, MODE_PING, MODE_HTTP, MODE_IDLE };

#define ERROR_TABLE(X)                                                                                                 \
    X(connect, "the connection could not be made")                                                                     \
    X(status, "another status than the one asked for")                                                                 \
    X(bytes, "bytes that are not those that were sent")                                                                \
    X(ended, "ended before everything had come")                                                                       \
    X(timeout, "no progress for too long")

enum load_error {
#define X(name, sentence) ERROR_##name,
    ERROR_TABLE(X)
#undef X
        ERRORS
};

enum state {
    STATE_IDLE,     /* no socket */
    STATE_DIALING,  /* the request waits for the connection */
    STATE_REPLY,    /* reads the head of the answer, and its body when refused */
    STATE_ANSWER,   /* reads the origin's answer to the hello */
    STATE_STANDING, /* the tunnel stands, nothing is under way */
    STATE_PING,     /* waits for the echo */
    STATE_DOWN,     /* takes bytes */
    STATE_UP,       /* sends bytes */
    STATE_REPORT,   /* waits for what the origin says about them */
    STATE_HTTP,     /* waits for an answer */
    STATE_DONE,     /* has done all of its work */
};

#define HEAD_MAX 4096

struct conn {
    enum state state;
    int fd;
    uint32_t events; /* asked of epoll */
    uint32_t name;   /* index of the name that it asks for */
    uint64_t tag;
    uint64_t start_ns;    /* of the operation under way */
    uint64_t progress_ns; /* last time that a byte moved */
    uint64_t position;    /* of the pattern */
    uint64_t left;        /* bytes of bulk */
    uint64_t wrong;
    uint32_t got; /* bytes in `in` */
    uint8_t *in;  /* HEAD_MAX bytes and one more */
};

struct load {
    /* what is asked for */
    enum mode mode;
    struct sockaddr_in proxy;
    bool raw;         /* no CONNECT: the hello goes at once */
    bool every_byte;  /* look at every byte of bulk */
    const char *host; /* with "%" in it: replaced by 0 to names - 1 */
    uint64_t port, names, concurrency, warm_up, count, bytes;
    double seconds, stall_seconds;
    /* what happens */
    int epoll_fd;
    struct conn *conns;
    struct conn **again; /* closed ones that the loop opens again or retires */
    size_t again_count;
    bool measuring;
    uint64_t begin_ns, end_ns, deadline_ns;
    uint64_t next_tag, opened;
    uint64_t phase_started, phase_target; /* operations of this phase; target 0: until the deadline */
    uint64_t busy;                        /* connections with work under way */
    uint64_t standing;
    /* what came out of it */
    uint64_t done, moved_bytes;
    uint64_t errors[ERRORS];
    struct histogram latency;
};

/* load_conn.c: opening, the request, the answer of the proxy and of the origin. */
void conn_open(struct load *load, struct conn *conn);
void conn_fail(struct load *load, struct conn *conn, enum load_error error);
void conn_close(struct load *load, struct conn *conn);
void conn_event(struct load *load, struct conn *conn, uint32_t events);
void conn_watch(struct load *load, struct conn *conn, uint32_t events);
bool conn_say(struct load *load, struct conn *conn, const void *data, size_t len);
void conn_request(struct load *load, struct conn *conn);

/* load_work.c: what is done in a tunnel that stands. */
void work_start(struct load *load, struct conn *conn);
void work_event(struct load *load, struct conn *conn, uint32_t events);

/* load.c: what follows the end of an operation, a tunnel that stands, a connection that was closed. */
void load_operation_done(struct load *load, struct conn *conn);
void load_standing(struct load *load, struct conn *conn);
void load_next(struct load *load, struct conn *conn);

#endif
