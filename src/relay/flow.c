/* SPDX-License-Identifier: Apache-2.0 */
#include "flow.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BULK         (256 * 1024)
#define SPLICE_BYTES 65536 /* what a pipe holds unless the system keeps it smaller */
#define ROUNDS       8     /* a turn; then the neighbours come first */

/* Between recv and send of one round; one thread, so one for all. */
static uint8_t scratch[FLOW_BUFFER_BYTES];

enum moved {
    MOVED,
    MOVED_NOT, /* has to wait for an event, or is over */
};

void flow_init(struct flow *flow, struct end *from, struct end *to, uint8_t *kept)
{
    *flow = (struct flow){.from = from, .to = to, .kept = kept};
}

bool flow_is_over(const struct flow *flow)
{
    return flow->state == FLOW_ENDED || flow->state == FLOW_UNSENT || flow->state == FLOW_RESET;
}

static void let_pipe_go(struct flow *flow, struct pipes *pipes)
{
    if (!flow->has_pipe)
        return;
    if (flow->piped == 0)
        pipes_give(pipes, flow->pipe);
    else
        pipes_discard(pipes, flow->pipe);
    flow->has_pipe = false;
    flow->piped = 0;
}

void flow_close(struct flow *flow, struct pipes *pipes)
{
    let_pipe_go(flow, pipes);
}

/* Nothing waits any more and the source has ended: say so to the sink. */
static void finish(struct flow *flow)
{
    if (flow->from->cut) {
        flow->state = FLOW_RESET;
        return;
    }
    flow->state = FLOW_ENDED;
    /* Fails if the sink is gone, which its own direction finds out. */
    (void)shutdown(flow->to->fd, SHUT_WR);
}

/*
 * What a failed read means. A Unix socket says ECONNRESET when its peer closed with bytes unread, after all that the
 * peer said has been read: its words are complete. TCP says it when words may be missing.
 */
static enum moved source_failed(struct flow *flow, int error)
{
    if (error == EAGAIN) {
        flow->from->readable = false;
        return MOVED_NOT;
    }
    flow->state = FLOW_LAST;
    flow->from->cut = !(error == ECONNRESET && flow->from->is_unix);
    return MOVED;
}

/* EPIPE says that the peer takes no more; other errors that it was cut off, which the socket tells only once. */
static enum moved sink_failed(struct flow *flow, int error)
{
    if (error == EAGAIN) {
        flow->to->writable = false;
        return MOVED_NOT;
    }
    flow->to->cut = flow->to->cut || (error != EPIPE && !flow->to->is_unix);
    flow->state = FLOW_UNSENT;
    return MOVED_NOT;
}

static void keep(struct flow *flow, const uint8_t *data, size_t len)
{
    ASSERT(flow->kept_len == 0 && len <= FLOW_BUFFER_BYTES);
    memcpy(flow->kept, data, len);
    flow->used_kept = true;
    flow->start = 0;
    flow->kept_len = (uint32_t)len;
}

static enum moved copy_round(struct flow *flow)
{
    ssize_t got = recv(flow->from->fd, scratch, sizeof scratch, 0);
    if (got < 0)
        return errno == EINTR ? MOVED : source_failed(flow, errno);
    if (got == 0) {
        flow->state = FLOW_LAST;
        return MOVED;
    }
    ssize_t sent = send(flow->to->fd, scratch, (size_t)got, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR)
        sink_failed(flow, errno);
    if (flow->state == FLOW_UNSENT)
        return MOVED_NOT;
    size_t done = sent < 0 ? 0 : (size_t)sent;
    flow->passed += done;
    if (done < (size_t)got)
        keep(flow, scratch + done, (size_t)got - done);
    return MOVED;
}

/* Sockets that cannot be spliced: what is in the pipe already comes out by reading. */
static enum moved stop_splicing(struct flow *flow)
{
    flow->mode = FLOW_COPY;
    return MOVED;
}

static bool is_unsupported(int error)
{
    return error == EINVAL || error == ENOSYS || error == EPERM || error == EOPNOTSUPP;
}

static enum moved splice_in(struct flow *flow)
{
    ssize_t got = splice(flow->from->fd, NULL, flow->pipe.write, NULL, SPLICE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (got > 0)
        flow->piped = (uint32_t)got;
    else if (got == 0)
        flow->state = FLOW_LAST;
    else if (is_unsupported(errno))
        return stop_splicing(flow);
    else
        return errno == EINTR ? MOVED : source_failed(flow, errno);
    return MOVED;
}

static enum moved splice_out(struct flow *flow)
{
    ssize_t sent = splice(flow->pipe.read, NULL, flow->to->fd, NULL, flow->piped, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (sent > 0) {
        flow->piped -= (uint32_t)sent;
        flow->passed += (uint64_t)sent;
        return MOVED;
    }
    int error = sent == 0 ? EPIPE : errno;
    if (is_unsupported(error))
        return stop_splicing(flow);
    return error == EINTR ? MOVED : sink_failed(flow, error);
}

static enum moved pipe_to_kept(struct flow *flow)
{
    ssize_t got = read(flow->pipe.read, scratch, sizeof scratch);
    if (got <= 0) {
        flow->state = FLOW_UNSENT; /* cannot be: the pipe holds bytes */
        return MOVED_NOT;
    }
    flow->piped -= (uint32_t)got;
    keep(flow, scratch, (size_t)got);
    return MOVED;
}

static enum moved send_kept(struct flow *flow)
{
    ssize_t sent = send(flow->to->fd, flow->kept + flow->start, flow->kept_len, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EINTR ? MOVED : sink_failed(flow, errno);
    flow->start += (uint32_t)sent;
    flow->kept_len -= (uint32_t)sent;
    flow->passed += (uint64_t)sent;
    return MOVED;
}

static bool wants_pipe(const struct flow *flow)
{
    return flow->mode == FLOW_BULK || (flow->mode == FLOW_SMALL && flow->passed >= BULK);
}

static enum moved take_more(struct flow *flow, struct pipes *pipes)
{
    /* Reading before the sink can take bytes would only hold them. */
    if (!flow->from->readable || !flow->to->writable)
        return MOVED_NOT;
    if (!flow->has_pipe && wants_pipe(flow)) {
        flow->has_pipe = pipes_take(pipes, &flow->pipe);
        flow->mode = flow->has_pipe ? FLOW_BULK : flow->mode;
    }
    return flow->has_pipe && flow->mode == FLOW_BULK ? splice_in(flow) : copy_round(flow);
}

static enum moved round_of(struct flow *flow, struct pipes *pipes)
{
    if (flow->kept_len > 0)
        return flow->to->writable ? send_kept(flow) : MOVED_NOT;
    if (flow->piped > 0 && flow->mode == FLOW_COPY)
        return pipe_to_kept(flow);
    if (flow->piped > 0)
        return flow->to->writable ? splice_out(flow) : MOVED_NOT;
    if (flow->state == FLOW_LAST) {
        finish(flow);
        return MOVED_NOT;
    }
    return take_more(flow, pipes);
}

bool flow_run(struct flow *flow, struct pipes *pipes)
{
    enum moved moved = MOVED;
    for (int i = 0; i < 2 * ROUNDS && moved == MOVED; i++)
        moved = flow_is_over(flow) ? MOVED_NOT : round_of(flow, pipes);
    if (flow->piped == 0 && (moved == MOVED_NOT || flow->mode == FLOW_COPY))
        let_pipe_go(flow, pipes);
    return moved == MOVED;
}
