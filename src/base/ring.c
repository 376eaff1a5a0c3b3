/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ring.h"

#include "base/assert.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#define RING_CAP_MIN     4096u
#define HEADER_BYTES     8u
#define LINE_BYTES       64
#define RESTART_FROM_MAX 65536u /* an empty ring does not restart before this index: positions would race away */

enum header_kind { HEADER_MESSAGE = 1, HEADER_SKIP = 2 };

struct header {
    uint32_t len;
    uint32_t kind;
};

_Static_assert(sizeof(struct header) == HEADER_BYTES, "messages stay aligned");

struct ring {
    uint8_t *data;
    size_t cap;
    size_t restart_from;

    /* producer */
    _Alignas(LINE_BYTES) uint64_t head; /* its own copy of `published` */
    uint64_t reserved_at;
    size_t reserved_len;
    bool restarting;

    _Alignas(LINE_BYTES) _Atomic uint64_t published;

    /*
     * Written by the consumer, and by the producer when the ring is empty and restarts at the start of the buffer. The
     * two cannot collide: the producer does so only while consumed == published, and then the consumer has nothing it
     * could consume until the next publish, which it sees together with this store.
     */
    _Alignas(LINE_BYTES) _Atomic uint64_t consumed;

    /* consumer */
    uint64_t read;
};

static uint8_t *ring_at(const struct ring *r, uint64_t position)
{
    return r->data + (position & (r->cap - 1));
}

static size_t message_bytes(size_t len)
{
    return HEADER_BYTES + ((len + 7) & ~(size_t)7);
}

static void header_put(uint8_t *at, size_t len, enum header_kind kind)
{
    struct header header = {.len = (uint32_t)len, .kind = kind};
    memcpy(at, &header, sizeof header);
}

enum err ring_new(size_t cap, struct ring **out)
{
    if (cap < RING_CAP_MIN || (cap & (cap - 1)) != 0 || cap > UINT32_MAX)
        return ERR_INVALID;
    struct ring *r = aligned_alloc(LINE_BYTES, sizeof *r);
    if (r == NULL)
        return ERR_NO_MEMORY;
    memset(r, 0, sizeof *r);
    void *map = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        free(r);
        return ERR_NO_MEMORY;
    }
    r->data = map;
    r->cap = cap;
    r->restart_from = cap / 4 < RESTART_FROM_MAX ? cap / 4 : RESTART_FROM_MAX;
    atomic_init(&r->published, 0);
    atomic_init(&r->consumed, 0);
    *out = r;
    return ERR_NONE;
}

void ring_free(struct ring *r)
{
    if (r == NULL)
        return;
    munmap(r->data, r->cap);
    free(r);
}

void *ring_reserve(struct ring *r, size_t len)
{
    if (len > r->cap - HEADER_BYTES)
        return NULL;
    size_t need = message_bytes(len);
    uint64_t consumed = atomic_load_explicit(&r->consumed, memory_order_acquire);
    size_t index = (size_t)(r->head & (r->cap - 1));
    uint64_t at = r->head;
    bool restarting = consumed == at && index >= r->restart_from;
    if (restarting || index + need > r->cap)
        at += r->cap - index;
    if (!restarting) {
        if (at + need - consumed > r->cap)
            return NULL;
        if (at != r->head)
            header_put(ring_at(r, r->head), 0, HEADER_SKIP);
    }
    r->reserved_at = at;
    r->reserved_len = len;
    r->restarting = restarting;
    return ring_at(r, at) + HEADER_BYTES;
}

uint64_t ring_publish(struct ring *r, size_t len)
{
    ASSERT(len <= r->reserved_len);
    header_put(ring_at(r, r->reserved_at), len, HEADER_MESSAGE);
    if (r->restarting)
        atomic_store_explicit(&r->consumed, r->reserved_at, memory_order_relaxed);
    r->head = r->reserved_at + message_bytes(len);
    r->reserved_len = 0;
    r->restarting = false;
    atomic_store_explicit(&r->published, r->head, memory_order_release);
    return r->head;
}

uint64_t ring_consumed(const struct ring *r)
{
    return atomic_load_explicit(&r->consumed, memory_order_acquire);
}

struct span ring_read(struct ring *r)
{
    uint64_t published = atomic_load_explicit(&r->published, memory_order_acquire);
    uint64_t consumed = atomic_load_explicit(&r->consumed, memory_order_relaxed);
    if (r->read < consumed)
        r->read = consumed; /* the producer restarted an empty ring */
    while (r->read < published) {
        struct header header;
        memcpy(&header, ring_at(r, r->read), sizeof header);
        if (header.kind == HEADER_SKIP) {
            r->read += r->cap - (r->read & (r->cap - 1));
            continue;
        }
        ASSERT(header.kind == HEADER_MESSAGE);
        struct span message = span_make(ring_at(r, r->read) + HEADER_BYTES, header.len);
        r->read += message_bytes(header.len);
        return message;
    }
    return span_make(NULL, 0);
}

uint64_t ring_read_position(const struct ring *r)
{
    return r->read;
}

void ring_consume(struct ring *r)
{
    if (r->read > atomic_load_explicit(&r->consumed, memory_order_relaxed))
        atomic_store_explicit(&r->consumed, r->read, memory_order_release);
}

void ring_rewind(struct ring *r)
{
    r->read = atomic_load_explicit(&r->consumed, memory_order_relaxed);
}
