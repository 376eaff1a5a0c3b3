/* SPDX-License-Identifier: Apache-2.0 */
#include "floor_lane.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COPY_BYTES ((size_t)64 * 1024)
#define PIPE_BYTES (512 * 1024)
#define POOL_MAX   64
/* A turn: what one lane may do before its neighbours are looked at. */
#define ROUNDS 16

enum step {
    STEP_ON,    /* go on */
    STEP_STOP,  /* until an event */
    STEP_BROKE, /* one side is gone */
};

static int pool[POOL_MAX][2];
static size_t pooled;

static bool pipe_take(struct lane *lane)
{
    if (pooled > 0) {
        pooled--;
        memcpy(lane->pipe, pool[pooled], sizeof lane->pipe);
        return true;
    }
    if (pipe2(lane->pipe, O_NONBLOCK | O_CLOEXEC) != 0) {
        lane->pipe[0] = lane->pipe[1] = -1;
        return false;
    }
    /* May fail for a user without privileges (fs.pipe-user-pages-soft): a smaller pipe works as well. */
    fcntl(lane->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
    return true;
}

static void pipe_give(struct lane *lane)
{
    if (lane->pipe[0] < 0)
        return;
    /* One with bytes in it belongs to no other tunnel. */
    if (lane->in_pipe == 0 && pooled < POOL_MAX) {
        memcpy(pool[pooled++], lane->pipe, sizeof lane->pipe);
    } else {
        close(lane->pipe[0]);
        close(lane->pipe[1]);
    }
    lane->in_pipe = 0;
    lane->pipe[0] = lane->pipe[1] = -1;
}

void lane_init(struct lane *lane, enum lane_kind kind)
{
    *lane = (struct lane){
        .pipe = {-1, -1},
          .splicing = kind == LANE_SPLICE, .hybrid = kind == LANE_HYBRID
    };
}

bool lane_holds(const struct lane *lane)
{
    return lane->in_pipe > 0 || lane->held_len > 0;
}

void lane_close(struct lane *lane)
{
    pipe_give(lane);
    free(lane->held);
    lane->held = NULL;
    lane->held_len = 0;
}

static enum step failed(bool *ready)
{
    if (errno != EAGAIN)
        return STEP_BROKE;
    *ready = false;
    return STEP_STOP;
}

static enum step copy_keep(struct lane *lane, const uint8_t *rest, size_t len)
{
    lane->held = malloc(len);
    if (lane->held == NULL)
        return STEP_BROKE;
    memcpy(lane->held, rest, len);
    lane->held_from = 0;
    lane->held_len = len;
    lane->writable = false;
    return STEP_STOP;
}

static enum step copy_rest(struct lane *lane, int to)
{
    ssize_t sent = send(to, lane->held + lane->held_from, lane->held_len, MSG_NOSIGNAL);
    if (sent < 0)
        return failed(&lane->writable);
    lane->held_from += (size_t)sent;
    lane->held_len -= (size_t)sent;
    if (lane->held_len == 0) {
        free(lane->held);
        lane->held = NULL;
    }
    return STEP_ON;
}

static enum step copy(struct lane *lane, int from, int to)
{
    static uint8_t buffer[COPY_BYTES];
    ssize_t got = recv(from, buffer, sizeof buffer, 0);
    if (got < 0)
        return failed(&lane->readable);
    if (got == 0) {
        lane->from_ended = true;
        return STEP_STOP;
    }
    if ((size_t)got < sizeof buffer)
        lane->readable = lane->end_seen; /* drained: the next bytes are a new edge */
    else if (lane->hybrid)
        lane->splicing = true;
    ssize_t sent = send(to, buffer, (size_t)got, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return STEP_BROKE;
    if (sent < got) {
        size_t done = sent < 0 ? 0 : (size_t)sent;
        return copy_keep(lane, buffer + done, (size_t)got - done);
    }
    return lane->readable ? STEP_ON : STEP_STOP;
}

static enum step splice_out(struct lane *lane, int to)
{
    ssize_t sent = splice(lane->pipe[0], NULL, to, NULL, lane->in_pipe, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (sent < 0)
        return failed(&lane->writable);
    lane->in_pipe -= (size_t)sent;
    if (lane->in_pipe == 0)
        pipe_give(lane);
    return STEP_ON;
}

static enum step splice_in(struct lane *lane, int from)
{
    if (lane->pipe[0] < 0 && !pipe_take(lane)) {
        lane->splicing = false; /* no pipe: copying works without one */
        return STEP_ON;
    }
    ssize_t got = splice(from, NULL, lane->pipe[1], NULL, PIPE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (got > 0) {
        lane->in_pipe += (size_t)got;
        return STEP_ON;
    }
    pipe_give(lane);
    if (got == 0) {
        lane->from_ended = true;
        return STEP_STOP;
    }
    return failed(&lane->readable);
}

static enum step lane_step(struct lane *lane, int from, int to)
{
    if (lane->held_len > 0)
        return lane->writable ? copy_rest(lane, to) : STEP_STOP;
    if (lane->in_pipe > 0)
        return lane->writable ? splice_out(lane, to) : STEP_STOP;
    if (!lane->readable || lane->from_ended)
        return STEP_STOP;
    return lane->splicing ? splice_in(lane, from) : copy(lane, from, to);
}

enum lane_end lane_run(struct lane *lane, int from, int to)
{
    for (int round = 0; round < ROUNDS; round++) {
        enum step step = lane_step(lane, from, to);
        if (step == STEP_BROKE)
            return LANE_ENDED;
        if (step == STEP_STOP)
            return lane->from_ended && !lane_holds(lane) ? LANE_ENDED : LANE_WAITS;
    }
    return LANE_MORE;
}
