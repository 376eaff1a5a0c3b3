/* SPDX-License-Identifier: Apache-2.0 */
/* Freelists of one worker: in the steady state an attempt allocates nothing. Bounded, so that a burst does not stay. */
#include "internal.h"

#include <stdlib.h>

#define POOL_KEEP    512u
#define BUFFER_SMALL 4096u
#define BUFFER_LARGE 65536u

uint32_t buffer_cap(size_t bytes)
{
    return bytes <= BUFFER_SMALL ? BUFFER_SMALL : bytes <= BUFFER_LARGE ? BUFFER_LARGE : (uint32_t)bytes;
}

struct buffer *buffer_get(struct tunnels *home, size_t bytes)
{
    uint32_t cap = buffer_cap(bytes);
    unsigned class = cap == BUFFER_SMALL ? 0 : 1;
    struct buffer *buffer = cap <= BUFFER_LARGE ? home->free_buffers[class] : NULL;
    if (buffer != NULL) {
        home->free_buffers[class] = buffer->next;
        home->pooled[class]--;
        return buffer;
    }
    buffer = malloc(sizeof *buffer + cap);
    if (buffer != NULL)
        buffer->cap = cap;
    return buffer;
}

void buffer_put(struct tunnels *home, struct buffer *buffer)
{
    if (buffer == NULL)
        return;
    unsigned class = buffer->cap == BUFFER_SMALL ? 0 : 1;
    uint32_t keep = class == 0 ? POOL_KEEP : POOL_KEEP / 16;
    if (buffer->cap > BUFFER_LARGE || home->pooled[class] >= keep) {
        free(buffer);
        return;
    }
    buffer->next = home->free_buffers[class];
    home->free_buffers[class] = buffer;
    home->pooled[class]++;
}

struct tunnel *tunnel_get(struct tunnels *home)
{
    struct tunnel *t = home->free_tunnels;
    if (t == NULL)
        return calloc(1, sizeof *t);
    home->free_tunnels = t->next;
    home->pooled[2]--;
    memset(t, 0, sizeof *t);
    return t;
}

void tunnel_put(struct tunnels *home, struct tunnel *t)
{
    if (home->pooled[2] >= POOL_KEEP) {
        free(t);
        return;
    }
    t->next = home->free_tunnels;
    home->free_tunnels = t;
    home->pooled[2]++;
}

struct setup *setup_get(struct tunnels *home)
{
    struct setup *s = home->free_setups;
    if (s == NULL)
        return calloc(1, sizeof *s);
    memcpy(&home->free_setups, s, sizeof(void *));
    home->pooled[3]--;
    setup_clear(s);
    return s;
}

void setup_put(struct tunnels *home, struct setup *s)
{
    if (home->pooled[3] >= POOL_KEEP) {
        free(s);
        return;
    }
    memcpy(s, &home->free_setups, sizeof(void *));
    home->free_setups = s;
    home->pooled[3]++;
}

void pools_free(struct tunnels *home)
{
    lookup_notes_free(home);
    for (unsigned class = 0; class < 2; class ++)
        while (home->free_buffers[class] != NULL) {
            struct buffer *buffer = home->free_buffers[class];
            home->free_buffers[class] = buffer->next;
            free(buffer);
        }
    while (home->free_tunnels != NULL) {
        struct tunnel *t = home->free_tunnels;
        home->free_tunnels = t->next;
        free(t);
    }
    while (home->free_setups != NULL) {
        struct setup *s = home->free_setups;
        memcpy(&home->free_setups, s, sizeof(void *));
        free(s);
    }
}
