/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_pool: what lanes of one worker share: the copy buffer, chunks for what a receiver did not take, and pipes.
 *
 * Chunks come in sizes of a power of two from 4 KiB to the buffer's, and a few of each are kept. One of the largest
 * lies in reserve before anything is read, so that bytes that were read can always be held. Pipes are kept for good: an
 * empty one costs no memory worth speaking of, but counts against what an unprivileged user may have.
 */
#ifndef NET_RELAY_POOL_H
#define NET_RELAY_POOL_H

#include "net/lane.h"

struct lane_chunk {
    struct lane_chunk *next; /* while in the pool */
    size_t cap;
    size_t start, end; /* held bytes: [start, end) */
    unsigned char bytes[];
};

struct lane_pipe {
    struct lane_pipe *next; /* while in the pool */
    int read_fd, write_fd;
    size_t cap;
};

unsigned char *relay_pool_buffer(struct relay_pool *pool, size_t *out_len);

/* Makes sure that relay_pool_hold() cannot fail for up to a buffer of bytes. ERR_NO_MEMORY. */
MUST_CHECK enum err relay_pool_reserve(struct relay_pool *pool);
/* A chunk that holds a copy of the bytes; NULL: no memory. */
struct lane_chunk *relay_pool_hold(struct relay_pool *pool, const void *bytes, size_t len);
void relay_pool_give_chunk(struct relay_pool *pool, struct lane_chunk *chunk);

/* An empty pipe, or NULL when there is none to be had. */
struct lane_pipe *relay_pool_take_pipe(struct relay_pool *pool);
/* One with bytes in it is closed: they belong to nobody any more. */
void relay_pool_give_pipe(struct relay_pool *pool, struct lane_pipe *pipe, bool empty);

/* Pipes that are open, for tests. */
size_t relay_pool_pipes(const struct relay_pool *pool);

#endif
