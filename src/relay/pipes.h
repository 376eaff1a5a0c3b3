/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipes: empty pipes, kept for the flows that are bulk at the moment. They are made when they are first needed, at most
 * as many as the limit of descriptors leaves; a flow that gets none copies.
 */
#ifndef RELAY_PIPES_H
#define RELAY_PIPES_H

#include <stdbool.h>
#include <stddef.h>

struct pipe_ends {
    int read, write;
};

struct pipes {
    struct pipe_ends *spare; /* a stack; memory for `limit` */
    size_t spare_count;
    size_t made, limit;
};

bool pipes_init(struct pipes *pipes, size_t limit);

/* An empty pipe, or false. */
bool pipes_take(struct pipes *pipes, struct pipe_ends *out);

/* Gives an empty pipe back. */
void pipes_give(struct pipes *pipes, struct pipe_ends ends);

/* For a pipe that holds bytes which nobody will read. */
void pipes_discard(struct pipes *pipes, struct pipe_ends ends);

#endif
