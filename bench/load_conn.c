/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAMES_MAX      64
#define NAME_MAX_BYTES 128

/* What is said for one name, made once. */
struct words {
    char request[512];
    size_t request_len;
    uint8_t hello[HELLO_BYTES];
};

static struct words *words_of(struct load *load, uint32_t name)
{
    static struct words *made[NAMES_MAX];
    if (name >= NAMES_MAX)
        die("at most %d names", NAMES_MAX);
    if (made[name] != NULL)
        return made[name];
    struct words *words = malloc(sizeof *words);
    if (words == NULL)
        die("no memory");
    char host[NAME_MAX_BYTES];
    const char *mark = strchr(load->host, '%');
    int len = mark == NULL
                  ? snprintf(host, sizeof host, "%s", load->host)
                  : snprintf(host, sizeof host, "%.*s%u%s", (int)(mark - load->host), load->host, name, mark + 1);
    if (len < 0 || (size_t)len >= sizeof host)
        die("the name %s is too long", load->host);
    unsigned port = (unsigned)load->port;
    len =
        load->mode == MODE_HTTP
            ? snprintf(
                  words->request, sizeof words->request,
                  "GET http://%s:%u/some/where?x=1 HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n",
                  host, port, host, port)
            : snprintf(words->request, sizeof words->request,
                       "CONNECT %s:%u HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: bench\r\n\r\n", host, port, host, port);
    words->request_len = (size_t)len;
    hello_make(words->hello, host);
    made[name] = words;
    return words;
}

void conn_watch(struct load *load, struct conn *conn, uint32_t events)
{
    if (conn->events == events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (epoll_ctl(load->epoll_fd, conn->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, conn->fd, &event) != 0)
        die("epoll_ctl");
    conn->events = events;
}

void conn_close(struct load *load, struct conn *conn)
{
    (void)load;
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    conn->events = 0;
    conn->got = 0;
    conn->state = STATE_IDLE;
}

void conn_fail(struct load *load, struct conn *conn, enum load_error error)
{
    load->errors[error]++;
    conn_close(load, conn);
    load_next(load, conn);
}

/* All that load says but for bulk is small: a socket that cannot take it whole is broken. */
bool conn_say(struct load *load, struct conn *conn, const void *data, size_t len)
{
    if (send(conn->fd, data, len, MSG_NOSIGNAL) == (ssize_t)len)
        return true;
    conn_fail(load, conn, ERROR_ended);
    return false;
}

void conn_request(struct load *load, struct conn *conn)
{
    struct words *words = words_of(load, conn->name);
    conn_say(load, conn, words->request, words->request_len);
}

static void say_hello(struct load *load, struct conn *conn)
{
    struct words *words = words_of(load, conn->name);
    conn->tag = ++load->next_tag;
    hello_tag(words->hello, conn->tag);
    conn->state = STATE_ANSWER;
    conn->got = 0;
    conn_say(load, conn, words->hello, HELLO_BYTES);
}

/* The first words of a connection. On loopback the handshake is over when connect() returns, so they are tried at
 * once: one wake-up less for each operation. */
static void say_first(struct load *load, struct conn *conn)
{
    struct words *words = words_of(load, conn->name);
    if (load->mode == MODE_HTTP) {
        conn_watch(load, conn, EPOLLIN);
        load_standing(load, conn);
        return;
    }
    const void *data = words->request;
    size_t len = words->request_len;
    if (load->raw) {
        conn->tag = ++load->next_tag;
        hello_tag(words->hello, conn->tag);
        data = words->hello;
        len = HELLO_BYTES;
    }
    ssize_t sent = send(conn->fd, data, len, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
        conn_watch(load, conn, EPOLLIN | EPOLLOUT);
        return;
    }
    if (sent != (ssize_t)len) {
        conn_fail(load, conn, ERROR_connect);
        return;
    }
    conn->state = load->raw ? STATE_ANSWER : STATE_REPLY;
    conn_watch(load, conn, EPOLLIN);
}

void conn_open(struct load *load, struct conn *conn)
{
    conn->start_ns = conn->progress_ns = now_ns();
    conn->name = (uint32_t)(load->opened++ % load->names);
    conn->fd = dial_to(&load->proxy);
    if (conn->fd < 0) {
        conn_fail(load, conn, ERROR_connect);
        return;
    }
    conn->state = STATE_DIALING;
    say_first(load, conn);
}

/* The body's length that a head announces, or -1: then the end of the connection is the end of the body. */
static long content_length(const char *head)
{
    static const char name[] = "\r\ncontent-length:";
    for (const char *at = head; (at = strchr(at, '\r')) != NULL; at++) {
        if (strncasecmp(at, name, sizeof name - 1) == 0)
            return strtol(at + sizeof name - 1, NULL, 10);
    }
    return -1;
}

static void reply_denied(struct load *load, struct conn *conn, const char *head, size_t head_len, bool ended)
{
    long body = content_length(head);
    if (strncmp(head, "HTTP/1.1 403", 12) != 0) {
        conn_fail(load, conn, ERROR_status);
    } else if (body >= 0 && conn->got >= head_len + (size_t)body) {
        load_operation_done(load, conn);
    } else if (ended) {
        if (body >= 0)
            conn_fail(load, conn, ERROR_ended);
        else
            load_operation_done(load, conn);
    } else if (conn->got == HEAD_MAX) {
        conn_fail(load, conn, ERROR_bytes);
    }
}

static void reply_allowed(struct load *load, struct conn *conn, const char *head, size_t head_len)
{
    if (strncmp(head, "HTTP/1.1 200", 12) != 0 && strncmp(head, "HTTP/1.0 200", 12) != 0)
        conn_fail(load, conn, ERROR_status);
    else if (conn->got != head_len) /* nobody may speak before the hello */
        conn_fail(load, conn, ERROR_bytes);
    else
        say_hello(load, conn);
}

static void read_reply(struct load *load, struct conn *conn)
{
    ssize_t got = recv(conn->fd, conn->in + conn->got, HEAD_MAX - conn->got, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    conn->got += got > 0 ? (uint32_t)got : 0;
    const uint8_t *end = memmem(conn->in, conn->got, "\r\n\r\n", 4);
    if (end == NULL) {
        if (got <= 0)
            conn_fail(load, conn, ERROR_ended);
        else if (conn->got == HEAD_MAX)
            conn_fail(load, conn, ERROR_bytes);
        return;
    }
    size_t head_len = (size_t)(end - conn->in) + 4;
    conn->in[conn->got] = '\0';
    if (load->mode == MODE_DENY)
        reply_denied(load, conn, (const char *)conn->in, head_len, got <= 0);
    else
        reply_allowed(load, conn, (const char *)conn->in, head_len);
}

static void read_answer(struct load *load, struct conn *conn)
{
    ssize_t got = recv(conn->fd, conn->in + conn->got, HEAD_MAX - conn->got, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        /* A name refused by its SNI ends without a word, or with a TLS alert. */
        bool refused = load->raw && load->mode == MODE_DENY && (conn->got == 0 || conn->in[0] == 0x15);
        if (refused)
            load_operation_done(load, conn);
        else
            conn_fail(load, conn, ERROR_ended);
        return;
    }
    conn->got += (uint32_t)got;
    if (conn->got < ANSWER_BYTES)
        return;
    struct words *words = words_of(load, conn->name);
    uint8_t answer[ANSWER_BYTES];
    hello_tag(words->hello, conn->tag);
    answer_make(answer, words->hello);
    if (load->mode == MODE_DENY)
        conn_fail(load, conn, ERROR_status);
    else if (conn->got != ANSWER_BYTES || memcmp(answer, conn->in, ANSWER_BYTES) != 0)
        conn_fail(load, conn, ERROR_bytes);
    else if (load->mode == MODE_TUNNELS)
        load_operation_done(load, conn);
    else
        load_standing(load, conn);
}

void conn_event(struct load *load, struct conn *conn, uint32_t events)
{
    conn->progress_ns = now_ns();
    switch (conn->state) {
    case STATE_DIALING:
        if ((events & (EPOLLERR | EPOLLHUP)) != 0)
            conn_fail(load, conn, ERROR_connect);
        else
            say_first(load, conn);
        return;
    case STATE_REPLY:
        read_reply(load, conn);
        return;
    case STATE_ANSWER:
        read_answer(load, conn);
        return;
    case STATE_IDLE:
        return;
    case STATE_STANDING:
    case STATE_PING:
    case STATE_DOWN:
    case STATE_UP:
    case STATE_REPORT:
    case STATE_HTTP:
    case STATE_DONE:
        work_event(load, conn, events);
        return;
    }
}
