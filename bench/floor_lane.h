/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor_lane: one direction of a tunnel of the floor. Copies through one buffer of the process, or splices through a
 * pipe of a pool, or copies until a read fills the buffer and splices from then on (hybrid). A lane that holds nothing
 * owns nothing.
 */
#ifndef BENCH_FLOOR_LANE_H
#define BENCH_FLOOR_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lane_kind { LANE_COPY, LANE_SPLICE, LANE_HYBRID };

enum lane_end {
    LANE_WAITS, /* for an event */
    LANE_MORE,  /* used up its turn: no event will come for what is left */
    LANE_ENDED, /* the sender ended, or one side broke */
};

struct lane {
    bool readable, writable; /* set by edges, cleared by EAGAIN */
    bool end_seen;           /* an edge said that the sender's end is in the queue: no further edge will */
    bool splicing;
    bool hybrid;
    bool from_ended;
    int pipe[2];    /* pipe[0] < 0: none */
    size_t in_pipe; /* bytes */
    uint8_t *held;  /* what a slow reader left of a copy */
    size_t held_from, held_len;
};

void lane_init(struct lane *lane, enum lane_kind kind);
enum lane_end lane_run(struct lane *lane, int from, int to);
bool lane_holds(const struct lane *lane);
void lane_close(struct lane *lane);

#endif
