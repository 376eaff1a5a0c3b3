/* SPDX-License-Identifier: Apache-2.0 */
#include "net/lane.h"

#include "base/assert.h"
#include "relay_pool.h"

/* So many small pieces in a row end the splicing. */
#define SMALL_MAX 8

void lane_open(struct lane *lane, struct port *from, struct port *to, uint64_t ceiling)
{
    *lane = (struct lane){.from = from, .to = to, .ceiling = ceiling};
}

void lane_pair(struct lane *a, struct lane *b)
{
    a->opposite = b;
    b->opposite = a;
}

uint64_t lane_held(const struct lane *lane)
{
    return lane->bytes_in - lane->bytes_out;
}

enum err lane_preload(struct lane *lane, struct relay_pool *pool, struct span bytes)
{
    ASSERT(lane_held(lane) == 0 && lane->chunk == NULL);
    if (bytes.len == 0) {
        return ERR_NONE;
    }
    lane->chunk = relay_pool_hold(pool, bytes.data, bytes.len);
    if (lane->chunk == NULL) {
        return ERR_NO_MEMORY;
    }
    lane->bytes_in += bytes.len;
    return ERR_NONE;
}

/* At most `len`, and never so much that the ceiling could be passed by what stands at `passed`. */
static size_t below_ceiling(const struct lane *lane, uint64_t passed, size_t len)
{
    uint64_t left = passed < lane->ceiling ? lane->ceiling - passed : 0;

    return lane->ceiling == 0 || len < left ? len : (size_t)left;
}

static bool at_ceiling(const struct lane *lane)
{
    return lane->ceiling != 0 && lane->bytes_out >= lane->ceiling;
}

/* Sends until all is gone, the receiver is full or the ceiling is reached. Gives the bytes that left. */
static enum port_io send_bytes(struct lane *lane, const unsigned char *bytes, size_t len, size_t *out_sent)
{
    size_t sent = 0;
    enum port_io io = PORT_OK;

    while (io == PORT_OK && lane->to->writable) {
        size_t want = below_ceiling(lane, lane->bytes_out, len - sent);
        size_t n = 0;

        if (want == 0) {
            break;
        }
        io = port_send(lane->to, bytes + sent, want, &n);
        if (io == PORT_OK) {
            sent += n;
            lane->bytes_out += n;
        }
    }
    *out_sent = sent;
    return io == PORT_AGAIN ? PORT_OK : io;
}

static enum port_io flush_chunk(struct lane *lane, struct relay_pool *pool)
{
    struct lane_chunk *chunk = lane->chunk;
    size_t sent;
    enum port_io io = send_bytes(lane, chunk->bytes + chunk->start, chunk->end - chunk->start, &sent);

    chunk->start += sent;
    if (chunk->start == chunk->end) {
        relay_pool_give_chunk(pool, chunk);
        lane->chunk = NULL;
    }
    return io;
}

static enum port_io flush_pipe(struct lane *lane, struct relay_pool *pool)
{
    enum port_io io = PORT_OK;

    ASSERT(lane->to->ops->splice_out != NULL); /* or there is no pipe */

    while (io == PORT_OK && lane->to->writable && lane_held(lane) > 0) {
        size_t n = 0;
        size_t want = below_ceiling(lane, lane->bytes_out, (size_t)lane_held(lane));

        if (want == 0) {
            break;
        }
        io = lane->to->ops->splice_out(lane->to, lane->pipe->read_fd, want, &n);
        if (io == PORT_OK) {
            lane->bytes_out += n;
        }
    }
    if (lane_held(lane) == 0) {
        relay_pool_give_pipe(pool, lane->pipe, true);
        lane->pipe = NULL;
    }
    return io == PORT_AGAIN ? PORT_OK : io;
}

static enum port_io flush(struct lane *lane, struct relay_pool *pool)
{
    return lane->pipe != NULL ? flush_pipe(lane, pool) : flush_chunk(lane, pool);
}

/* What a read came to. */
enum reading { READ_BYTES, READ_NOTHING, READ_FROM_RESET, READ_TO_RESET, READ_NO_MEMORY };

static enum reading reading_of(struct lane *lane, enum port_io io)
{
    lane->eof = lane->eof || io == PORT_EOF;
    return io == PORT_RESET ? READ_FROM_RESET : READ_NOTHING;
}

static enum reading read_by_copy(struct lane *lane, struct relay_pool *pool)
{
    size_t len;
    size_t n = 0;
    size_t sent;
    unsigned char *buffer = relay_pool_buffer(pool, &len);

    if (relay_pool_reserve(pool) != ERR_NONE) {
        return READ_NO_MEMORY;
    }
    enum port_io io = port_recv(lane->from, buffer, below_ceiling(lane, lane->bytes_in, len), &n);

    if (io != PORT_OK) {
        return reading_of(lane, io);
    }
    lane->bytes_in += n;
    lane->bulk = n == len;
    lane->small = 0;
    io = send_bytes(lane, buffer, n, &sent);
    if (sent < n) {
        lane->chunk = relay_pool_hold(pool, buffer + sent, n - sent);
        ASSERT(lane->chunk != NULL);
    }
    return io == PORT_RESET ? READ_TO_RESET : READ_BYTES;
}

static enum reading read_by_splice(struct lane *lane, struct relay_pool *pool)
{
    size_t buffer_len;
    size_t n = 0;
    size_t want = below_ceiling(lane, lane->bytes_in, lane->pipe->cap);

    ASSERT(lane->from->ops->splice_in != NULL); /* or there is no pipe */

    relay_pool_buffer(pool, &buffer_len);
    enum port_io io = lane->from->ops->splice_in(lane->from, lane->pipe->write_fd, want, &n);

    if (io != PORT_OK) {
        relay_pool_give_pipe(pool, lane->pipe, true);
        lane->pipe = NULL;
        return reading_of(lane, io);
    }
    lane->bytes_in += n;
    /* Small pieces are cheaper to copy; but a reader that keeps up with a fast sender meets a small one now and then. */
    lane->small = n >= buffer_len / 4 ? 0 : lane->small + 1;
    lane->bulk = lane->small < SMALL_MAX;
    return flush_pipe(lane, pool) == PORT_RESET ? READ_TO_RESET : READ_BYTES;
}

static enum reading read_some(struct lane *lane, struct relay_pool *pool)
{
    if (lane->bulk && lane->from->ops->splice_in != NULL && lane->to->ops->splice_out != NULL) {
        lane->pipe = relay_pool_take_pipe(pool);
    }
    return lane->pipe != NULL ? read_by_splice(lane, pool) : read_by_copy(lane, pool);
}

static enum lane_result lane_finish(struct lane *lane)
{
    lane->done = true;
    if (lane->opposite == NULL || !lane->opposite->done) {
        port_shutdown_write(lane->to);
    }
    return LANE_DONE;
}

static enum lane_result result_of(enum reading reading)
{
    switch (reading) {
    case READ_FROM_RESET:
        return LANE_FROM_RESET;
    case READ_TO_RESET:
        return LANE_TO_RESET;
    case READ_NO_MEMORY:
    case READ_BYTES:
    case READ_NOTHING:
        break;
    }
    return LANE_NO_MEMORY;
}

enum lane_result lane_run(struct lane *lane, struct relay_pool *pool, unsigned rounds, size_t bytes)
{
    uint64_t stop = lane->bytes_in + bytes;

    if (lane->done) {
        return LANE_DONE;
    }
    for (;;) {
        if (lane_held(lane) > 0 && !at_ceiling(lane)) {
            if (lane->to->writable && flush(lane, pool) == PORT_RESET) {
                return LANE_TO_RESET;
            }
            if (lane_held(lane) > 0 && !at_ceiling(lane)) {
                return LANE_WAIT;
            }
        }
        if (at_ceiling(lane)) {
            return LANE_CEILING;
        }
        if (lane->eof) {
            return lane_finish(lane);
        }
        if (!lane->from->readable) {
            return LANE_WAIT;
        }
        if (rounds == 0 || lane->bytes_in >= stop) {
            return LANE_MORE;
        }
        rounds--;
        enum reading reading = read_some(lane, pool);

        if (reading != READ_BYTES && reading != READ_NOTHING) {
            return result_of(reading);
        }
    }
}

void lane_close(struct lane *lane, struct relay_pool *pool)
{
    if (lane->chunk != NULL) {
        relay_pool_give_chunk(pool, lane->chunk);
        lane->chunk = NULL;
    }
    if (lane->pipe != NULL) {
        relay_pool_give_pipe(pool, lane->pipe, lane_held(lane) == 0);
        lane->pipe = NULL;
    }
}
