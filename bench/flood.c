/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flood: a hostile tenant. As many connections as it is told, each of which says something that costs the proxy work, is
 * closed, and begins again at once; what the proxy answers is not its concern. It begins when its standard input says a
 * line, runs for its time, and prints how many it made.
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

#define EVENTS 256

enum kind { KIND_DENY, KIND_HEAD, KIND_HELLO };

enum state { STATE_DIALING, STATE_REPLY };

struct conn {
    int fd;
    enum state state;
};

struct flood {
    enum kind kind;
    struct sockaddr_in proxy;
    const char *host;
    uint64_t port, concurrency;
    double seconds;
    int epoll_fd;
    char request[512];
    size_t request_len;
    uint8_t hello[HELLO_BYTES];
    uint64_t opened, answered;
    struct conn *conns;
};

static void begin(struct flood *flood, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = conn};
    conn->state = STATE_DIALING;
    conn->fd = dial_to(&flood->proxy);
    if (conn->fd < 0 || epoll_ctl(flood->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0)
        die("a connection to flood with");
    flood->opened++;
}

static void again(struct flood *flood, struct conn *conn)
{
    close(conn->fd);
    begin(flood, conn);
}

static void wait_for_reply(struct flood *flood, struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    conn->state = STATE_REPLY;
    if (epoll_ctl(flood->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) != 0)
        die("epoll_ctl");
}

static void speak(struct flood *flood, struct conn *conn)
{
    size_t len = flood->kind == KIND_HEAD ? flood->request_len / 2 : flood->request_len;
    bool said = send(conn->fd, flood->request, len, MSG_NOSIGNAL) == (ssize_t)len;
    if (!said || flood->kind == KIND_HEAD)
        again(flood, conn);
    else
        wait_for_reply(flood, conn);
}

static void listen_to(struct flood *flood, struct conn *conn)
{
    char answer[4096];
    ssize_t got = recv(conn->fd, answer, sizeof answer, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    flood->answered += got > 0;
    bool established = got >= 12 && memcmp(answer + 9, "200", 3) == 0;
    if (flood->kind == KIND_HELLO && established && send(conn->fd, flood->hello, HELLO_BYTES / 2, MSG_NOSIGNAL) < 0)
        errno = 0; /* closed below in any case */
    again(flood, conn);
}

static void run(struct flood *flood)
{
    struct epoll_event events[EVENTS];
    uint64_t end = now_ns() + (uint64_t)(flood->seconds * 1e9);
    for (uint64_t i = 0; i < flood->concurrency; i++)
        begin(flood, &flood->conns[i]);
    while (now_ns() < end) {
        int count = epoll_wait(flood->epoll_fd, events, EVENTS, 100);
        for (int i = 0; i < count; i++) {
            struct conn *conn = events[i].data.ptr;
            if ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0 && conn->state == STATE_DIALING)
                again(flood, conn);
            else if (conn->state == STATE_DIALING)
                speak(flood, conn);
            else
                listen_to(flood, conn);
        }
    }
}

static void options(int argc, char **argv, struct flood *flood)
{
    static const char *const kinds[] = {"deny", "head", "hello"};
    const char *kind = "deny";
    const struct option_row rows[] = {
        {"kind",        OPTION_TEXT,    &kind,               "deny, head (half of one) or hello (half of one)"},
        {"proxy",       OPTION_ADDRESS, &flood->proxy,       "where the proxy listens"                        },
        {"host",        OPTION_TEXT,    &flood->host,        "name to ask for"                                },
        {"port",        OPTION_NUMBER,  &flood->port,        "port to ask for"                                },
        {"concurrency", OPTION_NUMBER,  &flood->concurrency, "connections at one time"                        },
        {"seconds",     OPTION_REAL,    &flood->seconds,     "how long"                                       },
    };
    options_read(argc, argv, "floods a proxy", rows, sizeof rows / sizeof rows[0]);
    while (flood->kind <= KIND_HELLO && strcmp(kinds[flood->kind], kind) != 0)
        flood->kind++;
    errno = 0;
    if (flood->kind > KIND_HELLO)
        die("there is no kind %s", kind);
}

int main(int argc, char **argv)
{
    static struct flood flood = {.host = "denied.test", .port = 443, .concurrency = 64, .seconds = 1};
    options(argc, argv, &flood);
    flood.request_len =
        (size_t)snprintf(flood.request, sizeof flood.request, "CONNECT %.200s:%u HTTP/1.1\r\nHost: %.200s:%u\r\n\r\n",
                         flood.host, (unsigned)flood.port, flood.host, (unsigned)flood.port);
    hello_make(flood.hello, flood.host);
    descriptors_raise();
    flood.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    flood.conns = calloc(flood.concurrency, sizeof *flood.conns);
    if (flood.epoll_fd < 0 || flood.conns == NULL)
        die("no memory or no epoll");
    puts("{\"phase\":\"ready\"}");
    fflush(stdout);
    if (getchar() == EOF)
        return 1;
    run(&flood);
    printf("{\"opened\":%llu,\"answered\":%llu}\n", (unsigned long long)flood.opened,
           (unsigned long long)flood.answered);
    return 0;
}
