/* SPDX-License-Identifier: Apache-2.0 */
#include "relay_pool.h"

#include "base/assert.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define BUFFER_DEFAULT ((size_t)64 * 1024)
#define PIPE_DEFAULT   ((size_t)512 * 1024)
#define BYTES_MAX      ((size_t)1 << 30)
#define SMALLEST_BITS  12U /* 4 KiB */
#define CLASSES        20U
#define KEPT_BYTES     ((size_t)1024 * 1024) /* of each size, so that a worker keeps a few MiB at the most */

struct class
{
    struct lane_chunk *free;
    size_t count;
};

struct relay_pool {
    unsigned char *buffer;
    size_t buffer_bytes;
    struct lane_chunk *reserve; /* of at least buffer_bytes */
    struct class classes[CLASSES];
    struct lane_pipe *free_pipes;
    size_t pipe_bytes;
    size_t pipes; /* open, with a lane or without */
    size_t pipes_max;
};

/* splice(2) to a socket whose peer is gone raises the signal, and knows no MSG_NOSIGNAL. */
static void ignore_sigpipe(void)
{
    struct sigaction now;

    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        ASSERT(sigaction(SIGPIPE, &now, NULL) == 0);
    }
}

enum err relay_pool_new(const struct relay_pool_options *options, struct relay_pool **out)
{
    if (options->buffer_bytes > BYTES_MAX || options->pipe_bytes > BYTES_MAX) {
        return ERR_INVALID;
    }
    struct relay_pool *pool = calloc(1, sizeof(*pool));

    if (pool == NULL) {
        return ERR_NO_MEMORY;
    }
    pool->buffer_bytes = options->buffer_bytes == 0 ? BUFFER_DEFAULT : options->buffer_bytes;
    pool->pipe_bytes = options->pipe_bytes == 0 ? PIPE_DEFAULT : options->pipe_bytes;
    pool->pipes_max = options->pipes_max;
    pool->buffer = malloc(pool->buffer_bytes);
    if (pool->buffer == NULL) {
        free(pool);
        return ERR_NO_MEMORY;
    }
    if (pool->pipes_max > 0) {
        ignore_sigpipe();
    }
    *out = pool;
    return ERR_NONE;
}

static void pipe_end(struct relay_pool *pool, struct lane_pipe *pipe)
{
    close(pipe->read_fd);
    close(pipe->write_fd);
    free(pipe);
    pool->pipes--;
}

void relay_pool_free(struct relay_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    for (size_t i = 0; i < CLASSES; i++) {
        while (pool->classes[i].free != NULL) {
            struct lane_chunk *chunk = pool->classes[i].free;

            pool->classes[i].free = chunk->next;
            free(chunk);
        }
    }
    while (pool->free_pipes != NULL) {
        struct lane_pipe *pipe = pool->free_pipes;

        pool->free_pipes = pipe->next;
        pipe_end(pool, pipe);
    }
    ASSERT(pool->pipes == 0);
    free(pool->reserve);
    free(pool->buffer);
    free(pool);
}

unsigned char *relay_pool_buffer(struct relay_pool *pool, size_t *out_len)
{
    *out_len = pool->buffer_bytes;
    return pool->buffer;
}

/* Chunks. */

static unsigned class_of(size_t len)
{
    unsigned i = 0;

    while (len > (size_t)1 << (i + SMALLEST_BITS)) {
        i++;
    }
    return i;
}

static struct lane_chunk *chunk_new(size_t len)
{
    unsigned i = class_of(len);
    size_t cap = (size_t)1 << (i + SMALLEST_BITS);
    struct lane_chunk *chunk = malloc(sizeof(*chunk) + cap);

    if (chunk != NULL) {
        chunk->cap = cap;
    }
    return chunk;
}

static struct lane_chunk *chunk_take(struct relay_pool *pool, size_t len)
{
    struct class *class = &pool->classes[class_of(len)];
    struct lane_chunk *chunk = class->free;

    if (chunk == NULL) {
        return chunk_new(len);
    }
    class->free = chunk->next;
    class->count--;
    return chunk;
}

enum err relay_pool_reserve(struct relay_pool *pool)
{
    if (pool->reserve == NULL) {
        pool->reserve = chunk_take(pool, pool->buffer_bytes);
    }
    return pool->reserve == NULL ? ERR_NO_MEMORY : ERR_NONE;
}

struct lane_chunk *relay_pool_hold(struct relay_pool *pool, const void *bytes, size_t len)
{
    struct lane_chunk *chunk = len <= BYTES_MAX ? chunk_take(pool, len) : NULL;

    if (chunk == NULL && pool->reserve != NULL && len <= pool->reserve->cap) {
        chunk = pool->reserve;
        pool->reserve = NULL;
    }
    if (chunk != NULL) {
        memcpy(chunk->bytes, bytes, len);
        chunk->start = 0;
        chunk->end = len;
    }
    return chunk;
}

void relay_pool_give_chunk(struct relay_pool *pool, struct lane_chunk *chunk)
{
    struct class *class = &pool->classes[class_of(chunk->cap)];

    if ((class->count + 1) * chunk->cap > KEPT_BYTES) {
        free(chunk);
        return;
    }
    chunk->next = class->free;
    class->free = chunk;
    class->count++;
}

/* Pipes. */

static struct lane_pipe *pipe_new(struct relay_pool *pool)
{
    struct lane_pipe *pipe = malloc(sizeof(*pipe));
    int fds[2];

    if (pipe == NULL) {
        return NULL;
    }
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) {
        free(pipe);
        return NULL;
    }
    pool->pipes++;
    *pipe = (struct lane_pipe){.read_fd = fds[0], .write_fd = fds[1]};
    int cap = fcntl(pipe->write_fd, F_SETPIPE_SZ, (int)pool->pipe_bytes);

    /* Refused where this user's pipes have too many pages already: a small pipe is slower than copying. */
    if (cap <= 0) {
        pipe_end(pool, pipe);
        return NULL;
    }
    pipe->cap = (size_t)cap;
    return pipe;
}

struct lane_pipe *relay_pool_take_pipe(struct relay_pool *pool)
{
    struct lane_pipe *pipe = pool->free_pipes;

    if (pipe != NULL) {
        pool->free_pipes = pipe->next;
        return pipe;
    }
    return pool->pipes < pool->pipes_max ? pipe_new(pool) : NULL;
}

void relay_pool_give_pipe(struct relay_pool *pool, struct lane_pipe *pipe, bool empty)
{
    if (!empty) {
        pipe_end(pool, pipe);
        return;
    }
    pipe->next = pool->free_pipes;
    pool->free_pipes = pipe;
}

size_t relay_pool_pipes(const struct relay_pool *pool)
{
    return pool->pipes;
}
