/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane: one direction of a relay.
 *
 *    from ──recv/splice──▶ [ held: chunk or pipe ] ──send/splice──▶ to
 *    runs when        (from.readable and held = 0)  or  (to.writable and held > 0)
 *    budget spent     ⇒ LANE_MORE: the owner queues itself, since no new edge will come
 *    eof and held = 0 ⇒ shutdown(to, write) once, LANE_DONE
 *
 * Always: bytes_in - bytes_out = bytes held. It copies through the worker's shared buffer; what the receiver did not
 * take is kept in a pooled chunk; once a read fills the shared buffer the lane splices through a pooled pipe, which it
 * holds only while bytes are in it. An idle lane owns neither.
 */
#ifndef NET_LANE_H
#define NET_LANE_H

#include "net/port.h"

/* One a worker: the shared buffer and the pools. */
struct relay_pool;
struct relay_pool_options {
    size_t buffer_bytes; /* shared copy buffer; 0: 64 KiB */
    size_t pipe_bytes;   /* asked of F_SETPIPE_SZ; 0: 512 KiB */
    size_t pipes_max;    /* pipes at one time; when none is to be had a lane copies. 0: never splice */
};
/* ERR_NO_MEMORY; ERR_INVALID above 1 GiB. With pipes, SIGPIPE is ignored from here on if nobody handles it. */
MUST_CHECK enum err relay_pool_new(const struct relay_pool_options *options, struct relay_pool **out);
void relay_pool_free(struct relay_pool *pool); /* NULL is allowed */

enum lane_result {
    LANE_WAIT,       /* nothing to do until an edge */
    LANE_MORE,       /* budget spent */
    LANE_DONE,       /* eof was passed on */
    LANE_FROM_RESET, /* the reading side is gone */
    LANE_TO_RESET,   /* the writing side is gone */
    LANE_CEILING,    /* `ceiling` bytes have passed */
    LANE_NO_MEMORY,
};

struct lane_chunk;
struct lane_pipe;

struct lane {
    struct port *from, *to;
    uint64_t bytes_in, bytes_out;
    uint64_t ceiling; /* stop when bytes_out reaches it; 0: none. Never passed by a byte */
    struct lane_chunk *chunk;
    struct lane_pipe *pipe;
    const struct lane *opposite; /* see lane_pair(); else NULL */
    uint8_t small;               /* pieces in a row that were hardly worth a splice */
    bool eof, done, bulk;
};

/* Begins with nothing held; the ports stay the caller's and outlive the lane. */
void lane_open(struct lane *lane, struct port *from, struct port *to, uint64_t ceiling);

/*
 * Says that two open lanes are the two directions of one relay, whose owner closes both ports when both lanes are done.
 * Whichever is done last then leaves its shutdown to that close: a system call less.
 */
void lane_pair(struct lane *a, struct lane *b);

/* Bytes that were read before the lane existed: they go first and unchanged. Counted in bytes_in. ERR_NO_MEMORY. */
MUST_CHECK enum err lane_preload(struct lane *lane, struct relay_pool *pool, struct span bytes);

/* Moves at most `rounds` reads and about `bytes` bytes. Again after LANE_WAIT and LANE_MORE alone. */
enum lane_result lane_run(struct lane *lane, struct relay_pool *pool, unsigned rounds, size_t bytes);

/* Bytes held now. */
uint64_t lane_held(const struct lane *lane);

/* Gives back what it owns; the ports stay. */
void lane_close(struct lane *lane, struct relay_pool *pool);

#endif
