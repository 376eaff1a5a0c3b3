/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow: one direction of a connection.
 *
 *     from ──recv──▶ scratch ──send──▶ to              small amounts; what `to` does not take at once waits in `kept`
 *     from ─splice─▶ [ pipe ] ─splice─▶ to             once BULK bytes have passed, until the source pauses
 *
 * Nothing is read while bytes wait, so a flow never holds more than one buffer or one pipe. Registrations are
 * edge-triggered: `readable` and `writable` are set by events and cleared by EAGAIN alone.
 */
#ifndef RELAY_FLOW_H
#define RELAY_FLOW_H

#include "pipes.h"

#include <stdint.h>

#define FLOW_BUFFER_BYTES 16384

struct end {
    int fd;
    bool readable, writable;
    bool is_unix;
    bool cut; /* the connection broke: its last word may be missing */
};

enum flow_state {
    FLOW_OPEN,
    FLOW_LAST,   /* the source has ended, bytes wait for the sink */
    FLOW_ENDED,  /* all of it delivered, and the end of it */
    FLOW_UNSENT, /* the sink takes no more; the other direction may go on */
    FLOW_RESET,  /* the source was cut off: the sink must not take what it has for the whole */
};

enum flow_mode {
    FLOW_SMALL,
    FLOW_BULK,
    FLOW_COPY, /* the kernel cannot splice these sockets */
};

struct flow {
    struct end *from, *to;
    uint8_t *kept;            /* FLOW_BUFFER_BYTES, untouched as long as the sink is quick */
    uint32_t start, kept_len; /* what waits in it */
    uint32_t piped;           /* what waits in the pipe */
    bool has_pipe, used_kept;
    enum flow_state state;
    enum flow_mode mode;
    struct pipe_ends pipe;
    uint64_t passed;
};

void flow_init(struct flow *flow, struct end *from, struct end *to, uint8_t *kept);

/* Moves what can be moved now, within a budget. True if it stopped for the budget: no event will say so. */
bool flow_run(struct flow *flow, struct pipes *pipes);

bool flow_is_over(const struct flow *flow);

/* Lets go of the pipe. */
void flow_close(struct flow *flow, struct pipes *pipes);

#endif
