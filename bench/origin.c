/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin: the far end of the tunnels. It reads a whole ClientHello, answers it, and then does what the order in the
 * tunnel says (talk.h). A connection that begins with a letter is plain HTTP and is answered with 1 KiB a request. One
 * epoll loop, one connection a descriptor; whatever breaks the talk is closed, and load sees and counts it.
 */
#include "talk.h"
#include "tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS    256
#define ACCEPTS   64
#define HTTP_BODY 1024
#define HEAD_MAX  1024

enum state { WAIT_HELLO, WAIT_ORDER, ECHO, SENDING, TAKING, HTTP };

struct peer {
    enum state state;
    uint16_t held;     /* bytes in `early` */
    bool wants_out;    /* EPOLLOUT is asked for */
    uint8_t *early;    /* a hello, order or head that came in parts */
    uint64_t position; /* of the pattern */
    uint64_t left;     /* of the order */
    uint64_t wrong;
};

static struct peer *peers;
static size_t peers_max;
static int epoll_fd;
static bool look_at_all;

static void peer_close(int fd)
{
    free(peers[fd].early);
    peers[fd] = (struct peer){.state = WAIT_HELLO};
    close(fd);
}

static void wants_out(int fd, bool wants)
{
    if (peers[fd].wants_out == wants)
        return;
    struct epoll_event event = {.events = wants ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
        die("epoll_ctl");
    peers[fd].wants_out = wants;
}

/* Small answers go out whole or the connection is not worth keeping. */
static bool say(int fd, const void *data, size_t len)
{
    return send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Sends of the pattern until the socket is full or the order done; false if the connection broke. */
static bool send_more(int fd)
{
    struct peer *peer = &peers[fd];
    for (int round = 0; round < 4 && peer->left > 0; round++) {
        size_t part = peer->left < PATTERN_RUN ? (size_t)peer->left : PATTERN_RUN;
        ssize_t sent = send(fd, pattern_at(peer->position), part, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            return false;
        peer->position += (uint64_t)sent;
        peer->left -= (uint64_t)sent;
    }
    wants_out(fd, peer->left > 0);
    if (peer->left == 0)
        peer->state = WAIT_ORDER;
    return true;
}

static bool take_more(int fd)
{
    struct peer *peer = &peers[fd];
    ptrdiff_t got = pattern_take(fd, peer->position, peer->left, look_at_all, &peer->wrong);
    if (got < 0)
        return errno == EAGAIN;
    if (got == 0)
        return false;
    peer->position += (uint64_t)got;
    peer->left -= (uint64_t)got;
    if (peer->left > 0)
        return true;
    uint8_t report[REPORT_BYTES];
    report_write(report, (struct report){.count = peer->position, .wrong = peer->wrong});
    peer->state = WAIT_ORDER;
    return say(fd, report, sizeof report);
}

/* One read, one write: a peer that pings does not send more before it has its echo. */
static bool echo(int fd)
{
    static uint8_t buffer[PATTERN_RUN];
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0)
        return errno == EAGAIN;
    return got > 0 && say(fd, buffer, (size_t)got);
}

static bool order_start(int fd, const uint8_t bytes[static ORDER_BYTES])
{
    struct peer *peer = &peers[fd];
    struct order order;
    if (!order_read(bytes, &order))
        return false;
    peer->position = 0;
    peer->left = order.count;
    peer->wrong = 0;
    switch (order.kind) {
    case ORDER_ECHO:
        peer->state = ECHO;
        return true;
    case ORDER_SEND:
        peer->state = SENDING;
        return send_more(fd);
    case ORDER_TAKE:
        peer->state = TAKING;
        return true;
    }
    return false;
}

static bool http_answer(int fd)
{
    static char answer[HEAD_MAX + HTTP_BODY];
    static size_t len;
    if (len == 0) {
        int head = snprintf(answer, HEAD_MAX,
                            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n",
                            HTTP_BODY);
        memcpy(answer + head, pattern_at(0), HTTP_BODY);
        len = (size_t)head + HTTP_BODY;
    }
    return say(fd, answer, len);
}

/* How many bytes the thing that begins with `bytes` has, 0 if that is not known yet. */
static size_t unit_length(enum state state, const uint8_t *bytes, size_t len)
{
    if (state == WAIT_HELLO)
        return HELLO_BYTES;
    if (state == WAIT_ORDER)
        return ORDER_BYTES;
    const uint8_t *end = memmem(bytes, len, "\r\n\r\n", 4);
    return end == NULL ? 0 : (size_t)(end - bytes) + 4;
}

static bool unit_done(int fd, const uint8_t *unit)
{
    uint8_t answer[ANSWER_BYTES];
    switch (peers[fd].state) {
    case WAIT_HELLO:
        if (unit[0] != 0x16)
            return false;
        answer_make(answer, unit);
        peers[fd].state = WAIT_ORDER;
        return say(fd, answer, sizeof answer);
    case WAIT_ORDER:
        return order_start(fd, unit);
    case HTTP:
        return http_answer(fd);
    case ECHO:
    case SENDING:
    case TAKING:
        break;
    }
    return false;
}

/* Hellos, orders and heads: read with what came before, done when whole. */
static bool read_unit(int fd)
{
    struct peer *peer = &peers[fd];
    uint8_t bytes[HEAD_MAX];
    size_t len = peer->held;
    memcpy(bytes, peer->early != NULL ? peer->early : bytes, len);
    /* Bytes of the pattern may follow an order in the same segment: they are left to the next read. */
    size_t room = peer->state == WAIT_ORDER ? ORDER_BYTES - len : sizeof bytes - len;
    ssize_t got = recv(fd, bytes + len, room, 0);
    if (got < 0)
        return errno == EAGAIN;
    if (got == 0)
        return false;
    len += (size_t)got;
    if (peer->state == WAIT_HELLO && bytes[0] >= 'A' && bytes[0] <= 'Z')
        peer->state = HTTP;
    size_t unit = unit_length(peer->state, bytes, len);
    if (unit != 0 && len > unit)
        return false; /* more than was asked for: the talk is broken */
    if (unit != 0 && len == unit) {
        peer->held = 0;
        return unit_done(fd, bytes);
    }
    if (peer->early == NULL && (peer->early = malloc(HEAD_MAX)) == NULL)
        return false;
    memcpy(peer->early, bytes, len);
    peer->held = (uint16_t)len;
    return len < HEAD_MAX;
}

static bool serve(int fd, uint32_t events)
{
    switch (peers[fd].state) {
    case WAIT_HELLO:
    case WAIT_ORDER:
    case HTTP:
        return read_unit(fd);
    case ECHO:
        return echo(fd);
    case SENDING:
        /* Nothing is to come while we send: what is readable is the end. */
        return (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 && send_more(fd);
    case TAKING:
        return take_more(fd);
    }
    return false;
}

static void accept_some(int listener)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
            return;
        if (fd < 0)
            die("accept4");
        if ((size_t)fd >= peers_max)
            die("descriptor %d is above the limit", fd);
        if (!serve(fd, EPOLLIN)) {
            peer_close(fd);
            continue;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
            die("epoll_ctl");
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = address_read("127.0.0.1:0");
    const struct option_row rows[] = {
        {"listen", OPTION_ADDRESS, &address,     "where to listen"                  },
        {"every",  OPTION_FLAG,    &look_at_all, "look at every byte, not at blocks"},
    };
    options_read(argc, argv, "answers hellos, echoes, sends and takes bytes", rows, sizeof rows / sizeof rows[0]);
    peers_max = descriptors_raise();
    peers = calloc(peers_max, sizeof *peers);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (peers == NULL || epoll_fd < 0)
        die("no memory or no epoll");
    int listener = listen_at(&address, ACCEPT_WITH_DATA);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0)
        die("epoll_ctl");
    announce(&address);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_some(listener);
            else if (!serve(events[i].data.fd, events[i].events))
                peer_close(events[i].data.fd);
        }
    }
}
