/* SPDX-License-Identifier: Apache-2.0 */
#include "pair.h"

#include "base/assert.h"
#include "refusal.h"
#include "say.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#define DIAL_MS   10000
#define QUEUE_MS  5000 /* how long a full queue is asked again */
#define REFUSE_MS 1000 /* a client that speaks first has spoken by then */
#define LINGER_MS 1000

static bool is_timed(enum pair_state state)
{
    return state != PAIR_FREE && state != PAIR_RELAYING;
}

static void set_state(struct pair *pair, struct pair_host *host, enum pair_state state, uint64_t limit_ms)
{
    host->timed -= is_timed(pair->state) ? 1 : 0;
    host->timed += is_timed(state) ? 1 : 0;
    pair->state = state;
    pair->deadline_ms = host->now_ms + limit_ms;
}

static void close_end(struct end *end)
{
    if (end->fd >= 0)
        close(end->fd);
    end->fd = -1;
}

static void pair_close(struct pair *pair, struct pair_host *host)
{
    ASSERT(pair->state != PAIR_FREE);
    flow_close(&pair->up, &host->pipes);
    flow_close(&pair->down, &host->pipes);
    close_end(&pair->client);
    close_end(&pair->proxy);
    if (pair->up.used_kept || pair->down.used_kept)
        (void)madvise(pair->up.kept, PAIR_KEPT_BYTES, MADV_DONTNEED);
    set_state(pair, host, PAIR_FREE, 0);
    host->open--;
    host->closed(host, pair);
}

/* Closing becomes a reset, so that a part is not taken for the whole. */
static void close_hard(struct end *end)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void relay(struct pair *pair, struct pair_host *host)
{
    bool more = flow_run(&pair->up, &host->pipes);
    more = flow_run(&pair->down, &host->pipes) || more;
    if (pair->up.state == FLOW_RESET || pair->down.state == FLOW_RESET) {
        close_hard(pair->up.state == FLOW_RESET ? &pair->proxy : &pair->client);
        pair_close(pair, host);
    } else if (flow_is_over(&pair->up) && flow_is_over(&pair->down)) {
        pair_close(pair, host);
    } else if (more && !pair->queued) {
        pair->queued = true;
        host->queue(host, pair);
    }
}

/*
 * A PROXY v2 header that names the session would go first into `up`, before any byte of the client: its `kept` is empty
 * here and goes out before anything is read.
 */
static void dialed(struct pair *pair, struct pair_host *host)
{
    set_state(pair, host, PAIR_RELAYING, 0);
    relay(pair, host);
}

static void linger(struct pair *pair, struct pair_host *host)
{
    uint8_t away[4096];
    for (ssize_t got; (got = recv(pair->client.fd, away, sizeof away, 0)) != -1 || errno == EINTR;) {
        if (got == 0) {
            pair_close(pair, host);
            return;
        }
    }
    if (errno != EAGAIN)
        pair_close(pair, host);
}

/* Waits for the first byte of the client, since only HTTP can be answered; then reads on for a while, because bytes
 * left unread would turn the answer into a reset. */
static void refuse(struct pair *pair, struct pair_host *host)
{
    uint8_t first;
    ssize_t got = recv(pair->client.fd, &first, 1, MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    struct span text = refusal_text();
    if (got != 1 || !refusal_is_for(first) || send(pair->client.fd, text.data, text.len, MSG_NOSIGNAL) < 0) {
        pair_close(pair, host);
        return;
    }
    (void)shutdown(pair->client.fd, SHUT_WR);
    set_state(pair, host, PAIR_LINGERING, LINGER_MS);
    linger(pair, host);
}

static void dial_failed(struct pair *pair, struct pair_host *host, int error)
{
    static struct say_rate rate;
    say_rated(&rate, host->now_ms, "%s: %s", refusal_cause(error, place_is_unix(host->to)), host->to->text);
    close_end(&pair->proxy);
    set_state(pair, host, PAIR_REFUSING, REFUSE_MS);
    refuse(pair, host);
}

static void tune(int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
}

static void dial(struct pair *pair, struct pair_host *host)
{
    if (connect(pair->proxy.fd, (const struct sockaddr *)&host->to->addr, host->to->len) == 0) {
        dialed(pair, host);
    } else if (errno == EAGAIN && pair->proxy.is_unix) {
        if (pair->state != PAIR_WAITING)
            set_state(pair, host, PAIR_WAITING, QUEUE_MS);
    } else if (errno != EINPROGRESS && errno != EINTR) {
        dial_failed(pair, host, errno);
    }
}

void pair_open(struct pair *pair, struct pair_host *host, int client_fd, uint8_t *kept)
{
    ASSERT(pair->state == PAIR_FREE);
    bool is_unix = place_is_unix(host->to);
    pair->client = (struct end){.fd = client_fd};
    pair->proxy = (struct end){.fd = -1, .is_unix = is_unix};
    flow_init(&pair->up, &pair->client, &pair->proxy, kept);
    flow_init(&pair->down, &pair->proxy, &pair->client, kept + FLOW_BUFFER_BYTES);
    host->open++;
    set_state(pair, host, PAIR_DIALING, DIAL_MS);
    tune(client_fd);
    pair->proxy.fd = socket(host->to->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (!host->watch(host, pair, &pair->client)) {
        say("a connection cannot be watched: %s", strerror(errno));
        pair_close(pair, host);
        return;
    }
    if (pair->proxy.fd < 0) {
        dial_failed(pair, host, errno);
        return;
    }
    if (!is_unix)
        tune(pair->proxy.fd);
    dial(pair, host);
    /* Registered after connect(): a socket that is not connected yet would report that it hung up. */
    if (pair->proxy.fd >= 0 && pair->state != PAIR_WAITING && !host->watch(host, pair, &pair->proxy))
        pair_close(pair, host);
}

static void event_dialing(struct pair *pair, struct pair_host *host, struct end *end, uint32_t events)
{
    if (end == &pair->client) {
        if ((events & (EPOLLHUP | EPOLLERR)) != 0)
            pair_close(pair, host);
        return;
    }
    int error = 0;
    socklen_t len = sizeof error;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) == 0)
        return;
    if (getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0)
        dial_failed(pair, host, error);
    else
        dialed(pair, host);
}

void pair_event(struct pair *pair, struct pair_host *host, struct end *end, uint32_t events)
{
    /* A broken socket tells its error to whoever reads or writes. */
    bool broken = (events & (EPOLLHUP | EPOLLERR)) != 0;
    end->readable = end->readable || broken || (events & (EPOLLIN | EPOLLRDHUP)) != 0;
    end->writable = end->writable || broken || (events & EPOLLOUT) != 0;
    switch (pair->state) {
    case PAIR_FREE:
        break; /* closed earlier in this turn */
    case PAIR_DIALING:
    case PAIR_WAITING:
        event_dialing(pair, host, end, events);
        break;
    case PAIR_RELAYING:
        relay(pair, host);
        break;
    case PAIR_REFUSING:
        refuse(pair, host);
        break;
    case PAIR_LINGERING:
        linger(pair, host);
        break;
    }
}

void pair_continue(struct pair *pair, struct pair_host *host)
{
    pair->queued = false;
    if (pair->state == PAIR_RELAYING)
        relay(pair, host);
}

void pair_tick(struct pair *pair, struct pair_host *host)
{
    if (!is_timed(pair->state))
        return;
    bool late = host->now_ms >= pair->deadline_ms;
    if (late && (pair->state == PAIR_DIALING || pair->state == PAIR_WAITING)) {
        dial_failed(pair, host, pair->state == PAIR_DIALING ? ETIMEDOUT : EAGAIN);
    } else if (late) {
        pair_close(pair, host);
    } else if (pair->state == PAIR_WAITING) {
        dial(pair, host);
        if (pair->state == PAIR_RELAYING && !host->watch(host, pair, &pair->proxy))
            pair_close(pair, host);
    }
}
