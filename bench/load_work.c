/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define PING_BYTES 1024
#define HTTP_BODY  1024

static void ping(struct load *load, struct conn *conn)
{
    conn->start_ns = now_ns();
    conn->got = 0;
    conn->state = STATE_PING;
    conn_say(load, conn, pattern_at(conn->position), PING_BYTES);
}

static void http_ask(struct load *load, struct conn *conn)
{
    conn->start_ns = now_ns();
    conn->got = 0;
    conn->state = STATE_HTTP;
    conn_request(load, conn);
}

static void order(struct load *load, struct conn *conn, enum order_kind kind, uint64_t count)
{
    uint8_t bytes[ORDER_BYTES];
    order_write(bytes, (struct order){.kind = kind, .count = count});
    conn->position = 0;
    conn->wrong = 0;
    conn->left = count;
    conn_say(load, conn, bytes, sizeof bytes);
}

void work_start(struct load *load, struct conn *conn)
{
    conn->start_ns = conn->progress_ns = now_ns();
    switch (load->mode) {
    case MODE_BULK_DOWN:
        conn->state = STATE_DOWN;
        order(load, conn, ORDER_SEND, load->bytes / load->concurrency);
        return;
    case MODE_BULK_UP:
        conn->state = STATE_UP;
        order(load, conn, ORDER_TAKE, load->bytes / load->concurrency);
        if (conn->state == STATE_UP)
            conn_watch(load, conn, EPOLLIN | EPOLLOUT);
        return;
    case MODE_PING:
        order(load, conn, ORDER_ECHO, 0);
        if (conn->fd >= 0)
            ping(load, conn);
        return;
    case MODE_HTTP:
        http_ask(load, conn);
        return;
    case MODE_TUNNELS:
    case MODE_DENY:
    case MODE_IDLE:
        return;
    }
}

static void take_down(struct load *load, struct conn *conn)
{
    ptrdiff_t got = pattern_take(conn->fd, conn->position, conn->left, load->every_byte, &conn->wrong);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        conn_fail(load, conn, ERROR_ended);
        return;
    }
    conn->position += (uint64_t)got;
    conn->left -= (uint64_t)got;
    load->moved_bytes += (uint64_t)got;
    if (conn->left == 0 && conn->wrong > 0)
        conn_fail(load, conn, ERROR_bytes);
    else if (conn->left == 0)
        load_operation_done(load, conn);
}

static void send_up(struct load *load, struct conn *conn)
{
    size_t part = conn->left < PATTERN_RUN ? (size_t)conn->left : PATTERN_RUN;
    ssize_t sent = send(conn->fd, pattern_at(conn->position), part, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN)
        return;
    if (sent < 0) {
        conn_fail(load, conn, ERROR_ended);
        return;
    }
    conn->position += (uint64_t)sent;
    conn->left -= (uint64_t)sent;
    load->moved_bytes += (uint64_t)sent;
    if (conn->left > 0)
        return;
    conn->state = STATE_REPORT;
    conn->got = 0;
    conn_watch(load, conn, EPOLLIN);
}

/* Reads up to `want` bytes into conn->in; false while they are not all there, or when it failed. */
static bool read_small(struct load *load, struct conn *conn, uint32_t want)
{
    ssize_t got = recv(conn->fd, conn->in + conn->got, HEAD_MAX - conn->got, 0);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0) {
        conn_fail(load, conn, ERROR_ended);
        return false;
    }
    conn->got += (uint32_t)got;
    if (conn->got <= want)
        return conn->got == want;
    conn_fail(load, conn, ERROR_bytes);
    return false;
}

static void read_report(struct load *load, struct conn *conn)
{
    if (!read_small(load, conn, REPORT_BYTES))
        return;
    struct report report = report_read(conn->in);
    if (report.count != conn->position || report.wrong != 0)
        conn_fail(load, conn, ERROR_bytes);
    else
        load_operation_done(load, conn);
}

static void read_echo(struct load *load, struct conn *conn)
{
    if (!read_small(load, conn, PING_BYTES))
        return;
    if (!pattern_holds(conn->position, conn->in, PING_BYTES)) {
        conn_fail(load, conn, ERROR_bytes);
        return;
    }
    conn->position += PING_BYTES;
    load->moved_bytes += PING_BYTES;
    load_operation_done(load, conn);
    if (conn->state == STATE_STANDING)
        ping(load, conn);
}

static void read_http(struct load *load, struct conn *conn)
{
    ssize_t got = recv(conn->fd, conn->in + conn->got, HEAD_MAX - conn->got, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        conn_fail(load, conn, ERROR_ended);
        return;
    }
    conn->got += (uint32_t)got;
    const uint8_t *end = memmem(conn->in, conn->got, "\r\n\r\n", 4);
    if (end == NULL)
        return;
    size_t head_len = (size_t)(end - conn->in) + 4;
    if (memcmp(conn->in, "HTTP/1.1 200", 12) != 0) {
        conn_fail(load, conn, ERROR_status);
    } else if (conn->got > head_len + HTTP_BODY) {
        conn_fail(load, conn, ERROR_bytes);
    } else if (conn->got == head_len + HTTP_BODY) {
        if (!pattern_holds(0, end + 4, HTTP_BODY)) {
            conn_fail(load, conn, ERROR_bytes);
            return;
        }
        load_operation_done(load, conn);
        if (conn->state == STATE_STANDING)
            http_ask(load, conn);
    }
}

void work_event(struct load *load, struct conn *conn, uint32_t events)
{
    switch (conn->state) {
    case STATE_DOWN:
        take_down(load, conn);
        return;
    case STATE_UP:
        /* Nothing is to come before the report: what is readable is the end. */
        if ((events & (EPOLLERR | EPOLLHUP | EPOLLIN)) != 0)
            conn_fail(load, conn, ERROR_ended);
        else
            send_up(load, conn);
        return;
    case STATE_REPORT:
        read_report(load, conn);
        return;
    case STATE_PING:
        read_echo(load, conn);
        return;
    case STATE_HTTP:
        read_http(load, conn);
        return;
    case STATE_STANDING:
    case STATE_DONE:
        /* Nobody has anything to say here. */
        conn_fail(load, conn, ERROR_ended);
        return;
    case STATE_IDLE:
    case STATE_DIALING:
    case STATE_REPLY:
    case STATE_ANSWER:
        return;
    }
}
