/* SPDX-License-Identifier: Apache-2.0 */
#include "ahead.h"

#include "base/assert.h"
#include "tree.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNKS      6u
#define CHUNK_BYTES (2u * FRAME_BATCH_MAX) /* a whole batch always fits, wherever it begins */
#define HELPERS_MAX 3u

enum chunk_state {
    CHUNK_EMPTY,
    CHUNK_READ,  /* nobody hashes it yet */
    CHUNK_TAKEN, /* somebody does */
    CHUNK_HASHED,
};

/* What one read of the file gave: whole batches, with the hashes of all their leaves in a row. */
struct chunk {
    enum chunk_state state; /* under the lock */
    uint8_t *bytes;
    size_t have;
    struct batch *batches;
    size_t count, cap, at; /* at: the next one to be given out */
    uint8_t (*hashes)[DIGEST_BYTES];
    size_t hash_cap, hash_at;
};

struct ahead {
    int fd;
    uint64_t offset; /* of the first byte of the file that is in no batch of a chunk */
    bool ended;      /* `end` follows the batches that were read */
    enum segment_result end;
    int error;
    struct chunk chunks[CHUNKS];
    size_t head, filled; /* the chunk that batches are given from, and how many from there on are not empty */
    struct digest *digest;

    pthread_mutex_t lock;
    pthread_cond_t work, done;
    bool stop;
    pthread_t helpers[HELPERS_MAX];
    size_t helper_count, helpers_wanted;
};

static void hash_chunk(struct chunk *c, struct digest *digest)
{
    size_t at = 0;
    for (size_t i = 0; i < c->count; i++) {
        struct span entries = c->batches[i].entries, leaf;
        while (frame_next(&entries, &leaf))
            tree_leaf_hash(digest, leaf, c->hashes[at++]);
    }
}

/* The oldest chunk that nobody hashes; NULL if there is none. Under the lock. */
static struct chunk *claim(struct ahead *a)
{
    for (size_t i = 0; i < CHUNKS; i++) {
        struct chunk *c = &a->chunks[(a->head + i) % CHUNKS];
        if (c->state == CHUNK_READ) {
            c->state = CHUNK_TAKEN;
            return c;
        }
    }
    return NULL;
}

static void *help(void *arg)
{
    struct ahead *a = arg;
    struct digest *digest = NULL;
    if (digest_new(&digest) != ERR_NONE)
        return NULL; /* the asking thread hashes what nobody takes */
    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        struct chunk *c = claim(a);
        if (c == NULL) {
            pthread_cond_wait(&a->work, &a->lock);
            continue;
        }
        pthread_mutex_unlock(&a->lock);
        hash_chunk(c, digest);
        pthread_mutex_lock(&a->lock);
        c->state = CHUNK_HASHED;
        pthread_cond_signal(&a->done);
    }
    pthread_mutex_unlock(&a->lock);
    digest_free(digest);
    return NULL;
}

enum err ahead_new(struct ahead **out)
{
    struct ahead *a = calloc(1, sizeof *a);
    if (a == NULL || digest_new(&a->digest) != ERR_NONE) {
        free(a);
        return ERR_NO_MEMORY;
    }
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->work, NULL);
    pthread_cond_init(&a->done, NULL);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    a->helpers_wanted = cores < 2 ? 0 : (size_t)cores - 1 < HELPERS_MAX ? (size_t)cores - 1 : HELPERS_MAX;
    a->fd = -1;
    a->ended = true;
    a->end = SEGMENT_END;
    *out = a;
    return ERR_NONE;
}

void ahead_free(struct ahead *a)
{
    if (a == NULL)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->lock);
    for (size_t i = 0; i < a->helper_count; i++)
        pthread_join(a->helpers[i], NULL);
    pthread_cond_destroy(&a->done);
    pthread_cond_destroy(&a->work);
    pthread_mutex_destroy(&a->lock);
    for (size_t i = 0; i < CHUNKS; i++) {
        free(a->chunks[i].bytes);
        free(a->chunks[i].batches);
        free(a->chunks[i].hashes);
    }
    digest_free(a->digest);
    free(a);
}

/* Until nobody hashes chunk `c` any more; what nobody took is hashed here, if that is wanted. */
static void settle(struct ahead *a, struct chunk *c, bool wanted)
{
    pthread_mutex_lock(&a->lock);
    while (c->state == CHUNK_TAKEN)
        pthread_cond_wait(&a->done, &a->lock);
    bool mine = c->state == CHUNK_READ;
    if (mine)
        c->state = CHUNK_TAKEN;
    pthread_mutex_unlock(&a->lock);
    if (mine && wanted)
        hash_chunk(c, a->digest);
    pthread_mutex_lock(&a->lock);
    c->state = wanted ? CHUNK_HASHED : CHUNK_EMPTY;
    pthread_mutex_unlock(&a->lock);
}

/* Helpers look from there on for what is oldest. */
static void move_head(struct ahead *a, size_t head)
{
    pthread_mutex_lock(&a->lock);
    a->head = head;
    pthread_mutex_unlock(&a->lock);
}

void ahead_begin(struct ahead *a, int fd, uint64_t offset)
{
    for (size_t i = 0; i < CHUNKS; i++)
        settle(a, &a->chunks[i], false);
    a->fd = fd;
    a->offset = offset;
    a->ended = false;
    a->filled = 0;
    move_head(a, 0);
}

static bool room_for_batch(struct chunk *c)
{
    if (c->count < c->cap)
        return true;
    size_t cap = c->cap == 0 ? 64 : 2 * c->cap;
    struct batch *more = realloc(c->batches, cap * sizeof *more);
    if (more == NULL)
        return false;
    c->batches = more;
    c->cap = cap;
    return true;
}

static bool room_for_hashes(struct chunk *c, size_t leaves)
{
    if (leaves <= c->hash_cap)
        return true;
    ASSERT(leaves > 0 && leaves <= CHUNK_BYTES); /* each has bytes in the chunk */
    free(c->hashes);
    c->hashes = malloc(leaves * DIGEST_BYTES);
    c->hash_cap = c->hashes == NULL ? 0 : leaves;
    return c->hashes != NULL;
}

static bool end_here(struct ahead *a, enum segment_result end, int error)
{
    a->ended = true;
    a->end = end;
    a->error = error;
    return end != SEGMENT_FAILED;
}

static bool read_chunk(struct ahead *a, struct chunk *c)
{
    c->have = 0;
    while (c->have < CHUNK_BYTES) {
        ssize_t got = pread(a->fd, c->bytes + c->have, CHUNK_BYTES - c->have, (off_t)(a->offset + c->have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return end_here(a, SEGMENT_FAILED, errno);
        if (got == 0)
            break;
        c->have += (size_t)got;
    }
    return true;
}

/* Cuts what was read into batches; what is left over is read again at the front of the next chunk. */
static bool cut_chunk(struct ahead *a, struct chunk *c)
{
    size_t at = 0, leaves = 0;
    enum frame_result result = FRAME_DONE;
    c->count = c->at = c->hash_at = 0;
    for (;;) {
        if (!room_for_batch(c))
            return end_here(a, SEGMENT_FAILED, ENOMEM);
        struct batch *b = &c->batches[c->count];
        result = frame_batch(span_make(c->bytes + at, c->have - at), &b->entries, &b->commit, &b->len);
        if (result != FRAME_DONE)
            break;
        b->offset = a->offset;
        a->offset += b->len;
        at += b->len;
        leaves += b->commit.count;
        c->count++;
    }
    if (!room_for_hashes(c, leaves))
        return end_here(a, SEGMENT_FAILED, ENOMEM);
    if (result == FRAME_BROKEN)
        end_here(a, SEGMENT_BROKEN, 0);
    else if (c->have < CHUNK_BYTES) /* the file has no more */
        end_here(a, at == c->have ? SEGMENT_END : SEGMENT_SHORT, 0);
    return true;
}

/* Helpers are begun when there is enough for them to do. */
static void wake_helper(struct ahead *a)
{
    if (a->helper_count < a->helpers_wanted && a->filled > 1) {
        if (pthread_create(&a->helpers[a->helper_count], NULL, help, a) == 0)
            a->helper_count++;
        else
            a->helpers_wanted = a->helper_count;
    }
    pthread_cond_signal(&a->work);
}

static void fill(struct ahead *a)
{
    while (!a->ended && a->filled < CHUNKS) {
        struct chunk *c = &a->chunks[(a->head + a->filled) % CHUNKS];
        if (c->bytes == NULL && (c->bytes = malloc(CHUNK_BYTES)) == NULL) {
            end_here(a, SEGMENT_FAILED, ENOMEM);
            return;
        }
        if (!read_chunk(a, c) || !cut_chunk(a, c))
            return;
        pthread_mutex_lock(&a->lock);
        c->state = CHUNK_READ;
        pthread_mutex_unlock(&a->lock);
        a->filled++;
        wake_helper(a);
    }
}

enum segment_result ahead_next(struct ahead *a, struct batch *out, const uint8_t (**out_hashes)[DIGEST_BYTES])
{
    for (;;) {
        struct chunk *c = &a->chunks[a->head];
        if (a->filled > 0 && c->at < c->count) {
            *out = c->batches[c->at++];
            *out_hashes = (const uint8_t(*)[DIGEST_BYTES])(c->hashes + c->hash_at);
            c->hash_at += out->commit.count;
            return SEGMENT_BATCH;
        }
        if (a->filled > 0) { /* given out: it is free again */
            settle(a, c, false);
            move_head(a, (a->head + 1) % CHUNKS);
            a->filled--;
        }
        fill(a);
        if (a->filled == 0) {
            errno = a->error;
            return a->end;
        }
        settle(a, &a->chunks[a->head], true);
    }
}
