/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor: the least that a proxy can do, as the measure for those that do more. It knows no names, list, log or limits:
 * it reads a CONNECT up to its empty line, dials one fixed origin, answers 200 and relays; or it answers every CONNECT
 * with a 403. One epoll loop, one edge-triggered registration a socket, no timer, no allocation after the start but
 * for bytes that a slow reader leaves behind. Both sides are closed at the first end, unlike in a proxy that keeps
 * half-closed connections.
 */
#include "floor_lane.h"
#include "tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS     256
#define ACCEPTS    64
#define HEAD_MAX   4096
#define ORIGIN_BIT ((uint64_t)1)

enum state { FREE, HEAD, DIALING, RELAYING };

/*
 * Events carry the address of the tunnel, with its lowest bit set for the origin's side. The memory of a closed tunnel
 * is used again only after the turn, so a late event of the turn finds it FREE.
 */
struct tunnel {
    enum state state;
    bool queued; /* has more to do although no event will say so */
    int client, origin;
    uint32_t held; /* of the head */
    char *head;    /* a head that came in parts */
    struct lane up, down;
    struct tunnel *next;
};

static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";
static const char refused[] = "HTTP/1.1 403 Forbidden\r\n"
                              "Content-Type: application/json\r\n"
                              "Content-Length: 96\r\n"
                              "Cache-Control: no-store\r\n"
                              "Connection: close\r\n"
                              "\r\n"
                              "{\"error\":\"forbidden\",\"reason\":\"host_not_allowed\",\"retry\":false,"
                              "\"hint\":\"this floor knows no names\"}\n";

static struct tunnel *spare;     /* closed ones, used again */
static struct tunnel *graveyard; /* closed in this turn */
static struct tunnel *more;      /* with more to do */
static int epoll_fd;
static struct sockaddr_in origin_address;
static enum lane_kind kind;
static bool deny, raw;

static void tunnel_close(struct tunnel *tunnel)
{
    if (tunnel->state == FREE)
        return;
    lane_close(&tunnel->up);
    lane_close(&tunnel->down);
    free(tunnel->head);
    tunnel->head = NULL;
    close(tunnel->client);
    if (tunnel->origin >= 0)
        close(tunnel->origin);
    tunnel->state = FREE;
    if (!tunnel->queued) {
        tunnel->next = graveyard;
        graveyard = tunnel;
    }
}

static void watch(struct tunnel *tunnel, bool origin)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = (uint64_t)(uintptr_t)tunnel | (origin ? ORIGIN_BIT : 0)};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, origin ? tunnel->origin : tunnel->client, &event) != 0)
        die("epoll_ctl");
}

static void relay(struct tunnel *tunnel)
{
    enum lane_end up = lane_run(&tunnel->up, tunnel->client, tunnel->origin);
    enum lane_end down = lane_run(&tunnel->down, tunnel->origin, tunnel->client);
    if (up == LANE_ENDED || down == LANE_ENDED) {
        tunnel_close(tunnel);
    } else if ((up == LANE_MORE || down == LANE_MORE) && !tunnel->queued) {
        tunnel->queued = true;
        tunnel->next = more;
        more = tunnel;
    }
}

static void dial(struct tunnel *tunnel)
{
    tunnel->origin = dial_to(&origin_address);
    if (tunnel->origin < 0) {
        tunnel_close(tunnel);
        return;
    }
    tunnel->state = DIALING;
    watch(tunnel, true);
}

static void dialed(struct tunnel *tunnel)
{
    tunnel->state = RELAYING;
    tunnel->up.writable = tunnel->down.writable = true;
    size_t len = sizeof established - 1;
    if (!raw && send(tunnel->client, established, len, MSG_NOSIGNAL) != (ssize_t)len) {
        tunnel_close(tunnel);
        return;
    }
    /* The raw floor dials before it has read anything. */
    tunnel->up.readable = raw;
    relay(tunnel);
}

static void head_done(struct tunnel *tunnel)
{
    free(tunnel->head);
    tunnel->head = NULL;
    if (!deny) {
        dial(tunnel);
        return;
    }
    ssize_t sent = send(tunnel->client, refused, sizeof refused - 1, MSG_NOSIGNAL);
    (void)sent;
    tunnel_close(tunnel);
}

/* A client waits for the 200 before it says more, so a head ends with what was read. */
static void head_read(struct tunnel *tunnel)
{
    char bytes[HEAD_MAX];
    size_t len = tunnel->held;
    if (len > 0)
        memcpy(bytes, tunnel->head, len);
    ssize_t got = recv(tunnel->client, bytes + len, sizeof bytes - len, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        tunnel_close(tunnel);
        return;
    }
    len += (size_t)got;
    if (len >= 4 && memcmp(bytes + len - 4, "\r\n\r\n", 4) == 0) {
        head_done(tunnel);
        return;
    }
    if (len == sizeof bytes || (tunnel->head == NULL && (tunnel->head = malloc(HEAD_MAX)) == NULL)) {
        tunnel_close(tunnel);
        return;
    }
    memcpy(tunnel->head, bytes, len);
    tunnel->held = (uint32_t)len;
}

static struct tunnel *tunnel_new(int client)
{
    struct tunnel *tunnel = spare;
    if (tunnel != NULL)
        spare = tunnel->next;
    else if ((tunnel = malloc(sizeof *tunnel)) == NULL)
        die("no memory");
    *tunnel = (struct tunnel){.state = HEAD, .client = client, .origin = -1};
    lane_init(&tunnel->up, kind);
    lane_init(&tunnel->down, kind);
    return tunnel;
}

static void accept_some(int listener)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct tunnel *tunnel = tunnel_new(fd);
        if (raw)
            dial(tunnel);
        else
            head_read(tunnel);
        if (tunnel->state != FREE)
            watch(tunnel, false);
    }
}

static void event_dialing(struct tunnel *tunnel, bool origin, uint32_t events)
{
    if ((events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0)
        tunnel_close(tunnel);
    else if (origin && (events & EPOLLOUT) != 0)
        dialed(tunnel);
}

static void event_relaying(struct tunnel *tunnel, bool origin, uint32_t events)
{
    struct lane *from = origin ? &tunnel->down : &tunnel->up;
    struct lane *to = origin ? &tunnel->up : &tunnel->down;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        from->end_seen = true;
    from->readable |= from->end_seen || (events & EPOLLIN) != 0;
    to->writable |= (events & EPOLLOUT) != 0;
    if (from->readable || lane_holds(to))
        relay(tunnel);
}

static void event_take(uint64_t data, uint32_t events)
{
    struct tunnel *tunnel = (struct tunnel *)(uintptr_t)(data & ~ORIGIN_BIT);
    bool origin = (data & ORIGIN_BIT) != 0;
    switch (tunnel->state) {
    case FREE:
        return;
    case HEAD:
        if ((events & ~(uint32_t)EPOLLOUT) != 0)
            head_read(tunnel);
        return;
    case DIALING:
        event_dialing(tunnel, origin, events);
        return;
    case RELAYING:
        event_relaying(tunnel, origin, events);
        return;
    }
}

static void run_more(void)
{
    struct tunnel *list = more;
    more = NULL;
    while (list != NULL) {
        struct tunnel *tunnel = list;
        list = tunnel->next;
        tunnel->queued = false;
        if (tunnel->state == RELAYING) {
            relay(tunnel);
        } else {
            tunnel->next = graveyard;
            graveyard = tunnel;
        }
    }
    while (graveyard != NULL) {
        struct tunnel *tunnel = graveyard;
        graveyard = tunnel->next;
        tunnel->next = spare;
        spare = tunnel;
    }
}

static void options(int argc, char **argv, struct sockaddr_in *listen)
{
    const char *mode = "hybrid";
    const struct option_row rows[] = {
        {"listen", OPTION_ADDRESS, listen,          "where to listen"                            },
        {"origin", OPTION_ADDRESS, &origin_address, "the only place that is dialled"             },
        {"mode",   OPTION_TEXT,    &mode,           "copy, splice, hybrid or deny"               },
        {"raw",    OPTION_FLAG,    &raw,            "no CONNECT: dial as soon as bytes are there"},
    };
    options_read(argc, argv, "the least that a proxy can do", rows, sizeof rows / sizeof rows[0]);
    deny = strcmp(mode, "deny") == 0;
    if (strcmp(mode, "copy") == 0)
        kind = LANE_COPY;
    else if (strcmp(mode, "splice") == 0)
        kind = LANE_SPLICE;
    else if (strcmp(mode, "hybrid") == 0 || deny)
        kind = LANE_HYBRID;
    else
        die("there is no mode %s", mode);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = address_read("127.0.0.1:0");
    options(argc, argv, &address);
    descriptors_raise();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        die("epoll_create1");
    int listener = listen_at(&address, ACCEPT_WITH_DATA);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0)
        die("epoll_ctl");
    announce(&address);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll_fd, events, EVENTS, more == NULL ? -1 : 0);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == 0)
                accept_some(listener);
            else
                event_take(events[i].data.u64, events[i].events);
        }
        run_more();
    }
}
