/* SPDX-License-Identifier: Apache-2.0 */
/* port: flags and wake-ups over real sockets; above all, that no end and no byte is lost however they arrive. */
#include "net_lab.h"

#include "net/port.h"
#include "port_impl.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    struct loop *loop;
    struct port *port;
    int far; /* the other end */
    unsigned wakes;
};

static void count_wake(struct port *port)
{
    struct fixture *f = port->owner;

    f->wakes++;
}

static void begin(struct fixture *f, const int ends[2], bool tcp)
{
    *f = (struct fixture){.far = ends[1]};
    assert_int_equal(loop_new(&f->loop), ERR_NONE);
    assert_int_equal(port_raw_new(f->loop, ends[0], false, false, count_wake, f, &f->port), ERR_NONE);
    if (tcp) {
        port_raw_is_tcp(f->port);
    }
}

static void begin_tcp(struct fixture *f)
{
    int ends[2];

    lab_tcp_pair(ends);
    begin(f, ends, true);
}

static void end(struct fixture *f)
{
    if (f->port != NULL) {
        port_close(f->port, false);
    }
    if (f->far >= 0) {
        close(f->far);
    }
    loop_turn(f->loop, 0);
    loop_free(f->loop);
}

/* Reads as a lane does, while the flag is set, until an end. Gives the bytes read. */
static size_t read_to_the_end(struct fixture *f, enum port_io *out_last)
{
    char buffer[100];
    size_t total = 0;
    enum port_io io = PORT_AGAIN;

    while (io != PORT_EOF && io != PORT_RESET) {
        UNTIL(f->loop, f->port->readable);
        while (f->port->readable && io != PORT_EOF && io != PORT_RESET) {
            size_t n = 0;

            io = port_recv(f->port, buffer, sizeof(buffer), &n);
            total += n;
        }
    }
    *out_last = io;
    return total;
}

static void test_edges(void **state)
{
    (void)state;
    struct fixture f;
    char buffer[100];
    size_t n = 0;

    begin_tcp(&f);
    UNTIL(f.loop, f.port->writable);
    assert_false(f.port->readable);
    assert_int_equal(f.wakes, 1);
    assert_int_equal(write(f.far, "hello", 5), 5);
    UNTIL(f.loop, f.port->readable);
    assert_int_equal(f.wakes, 2);
    assert_int_equal(port_recv(f.port, buffer, sizeof(buffer), &n), PORT_OK);
    assert_int_equal(n, 5);
    assert_false(f.port->readable); /* the short read said so */
    assert_int_equal(port_recv(f.port, buffer, sizeof(buffer), &n), PORT_AGAIN);
    assert_int_equal(port_send(f.port, "yes", 3, &n), PORT_OK);
    assert_int_equal(n, 3);
    assert_true(f.port->writable);
    assert_int_equal(write(f.far, "again", 5), 5);
    UNTIL(f.loop, f.port->readable);
    end(&f);
}

static uint32_t segments_sent(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return info.tcpi_segs_out;
}

/* The end rides in the last segment: one packet, where send and shutdown make two. */
static void test_last_bytes_take_the_end_along(void **state)
{
    (void)state;
    struct fixture f;
    char buffer[16];
    size_t n = 0;

    begin_tcp(&f);
    uint32_t before = segments_sent(f.port->fd);
    assert_int_equal(port_send_last(f.port, "goodbye", 7, &n), PORT_OK);
    assert_int_equal(n, 7);
    assert_int_equal(segments_sent(f.port->fd) - before, 1);
    assert_int_equal(recv(f.far, buffer, sizeof(buffer), MSG_WAITALL), 7);
    assert_memory_equal(buffer, "goodbye", 7);
    assert_int_equal(recv(f.far, buffer, sizeof(buffer), 0), 0);
    /* Only this direction: what the peer says still arrives. */
    assert_int_equal(write(f.far, "hm", 2), 2);
    UNTIL(f.loop, f.port->readable);
    assert_int_equal(port_recv(f.port, buffer, sizeof(buffer), &n), PORT_OK);
    assert_int_equal(n, 2);
    end(&f);
}

static void test_last_bytes_into_a_full_socket(void **state)
{
    (void)state;
    static char big[8 << 20];
    struct fixture f;
    size_t sent = 0, n = 0, got = 0;
    ssize_t r = 1;

    begin_tcp(&f);
    assert_int_equal(port_send_last(f.port, big, sizeof(big), &n), PORT_OK);
    assert_in_range(n, 1, sizeof(big) - 1); /* not all of it: the direction goes on */
    sent = n;
    while (r > 0 || got < sizeof(big)) {
        r = recv(f.far, big, sizeof(big), MSG_DONTWAIT);
        assert_true(r > 0 || (r == 0 && got == sizeof(big)) || errno == EAGAIN);
        got += r > 0 ? (size_t)r : 0;
        loop_turn(f.loop, r > 0 ? 0 : 1);
        if (sent < sizeof(big) && f.port->writable && port_send_last(f.port, big, sizeof(big) - sent, &n) == PORT_OK) {
            sent += n;
        }
    }
    assert_int_equal(r, 0);
    assert_int_equal(got, sizeof(big));
    end(&f);
}

static void test_full_read_stays_readable(void **state)
{
    (void)state;
    struct fixture f;
    char buffer[4];
    size_t n = 0;

    begin_tcp(&f);
    assert_int_equal(write(f.far, "hello", 5), 5);
    UNTIL(f.loop, f.port->readable);
    assert_int_equal(port_recv(f.port, buffer, 4, &n), PORT_OK);
    assert_true(f.port->readable);
    assert_int_equal(port_recv(f.port, buffer, 4, &n), PORT_OK);
    assert_int_equal(n, 1);
    assert_false(f.port->readable);
    end(&f);
}

/* The bytes and the end lie in the queue before the first look. */
static void test_end_behind_bytes(void **state)
{
    (void)state;
    struct fixture f;
    enum port_io io;

    begin_tcp(&f);
    assert_int_equal(write(f.far, "hello", 5), 5);
    close(f.far);
    f.far = -1;
    assert_int_equal(read_to_the_end(&f, &io), 5);
    assert_int_equal(io, PORT_EOF);
    end(&f);
}

/* The end comes between the event and the read. */
static void test_end_after_the_event(void **state)
{
    (void)state;
    struct fixture f;
    enum port_io io;

    begin_tcp(&f);
    assert_int_equal(write(f.far, "hello", 5), 5);
    UNTIL(f.loop, f.port->readable);
    close(f.far);
    f.far = -1;
    assert_int_equal(read_to_the_end(&f, &io), 5);
    assert_int_equal(io, PORT_EOF);
    end(&f);
}

/* The end was there before the port was, and its flags were given as set: read before the first wait. */
static void test_end_before_the_port(void **state)
{
    (void)state;
    struct fixture f;
    int ends[2];
    enum port_io io;
    char buffer[100];
    size_t n = 0;

    lab_tcp_pair(ends);
    assert_int_equal(write(ends[1], "hello", 5), 5);
    close(ends[1]);
    ends[1] = -1;
    begin(&f, ends, true);
    f.port->readable = true;
    assert_int_equal(port_recv(f.port, buffer, sizeof(buffer), &n), PORT_OK);
    assert_int_equal(n, 5);
    assert_int_equal(read_to_the_end(&f, &io), 0);
    assert_int_equal(io, PORT_EOF);
    end(&f);
}

static void reset_far(struct fixture *f)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(f->far, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(f->far);
    f->far = -1;
}

static void test_reset_behind_bytes(void **state)
{
    (void)state;
    struct fixture f;
    enum port_io io;

    begin_tcp(&f);
    assert_int_equal(write(f.far, "hello", 5), 5);
    reset_far(&f);
    read_to_the_end(&f, &io);
    assert_int_equal(io, PORT_RESET);
    end(&f);
}

static void test_reset_after_the_event(void **state)
{
    (void)state;
    struct fixture f;
    enum port_io io;

    begin_tcp(&f);
    assert_int_equal(write(f.far, "hello", 5), 5);
    UNTIL(f.loop, f.port->readable);
    reset_far(&f);
    read_to_the_end(&f, &io);
    assert_int_equal(io, PORT_RESET);
    end(&f);
}

/* A read stops at the mark of urgent data with bytes behind it: these must not be forgotten. */
static void test_urgent_mark(void **state)
{
    (void)state;
    struct fixture f;
    enum port_io io;

    begin_tcp(&f);
    assert_int_equal(send(f.far, "abc", 3, 0), 3);
    assert_int_equal(send(f.far, "!", 1, MSG_OOB), 1);
    assert_int_equal(send(f.far, "defgh", 5, 0), 5);
    /* Everything has arrived before the first look. */
    char peeked[16];
    UNTIL(f.loop, recv(f.port->fd, peeked, sizeof(peeked), MSG_PEEK) >= 3);
    f.port->readable = false;
    loop_turn(f.loop, 10);
    size_t total = 0;
    while (total < 8) {
        char buffer[100];
        size_t n = 0;

        UNTIL(f.loop, f.port->readable);
        if (port_recv(f.port, buffer, sizeof(buffer), &n) == PORT_OK) {
            total += n;
        }
    }
    assert_int_equal(total, 8); /* the urgent byte itself is left out */
    close(f.far);
    f.far = -1;
    assert_int_equal(read_to_the_end(&f, &io), 0);
    assert_int_equal(io, PORT_EOF);
    end(&f);
}

/* A read from a Unix socket stops behind a descriptor that was sent along. */
static void test_unix_socket_with_descriptor(void **state)
{
    (void)state;
    struct fixture f;
    int ends[2];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {
        .align = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}
    };
    struct iovec iov = {.iov_base = (char[]){"abc"}, .iov_len = 3};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    enum port_io io;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    begin(&f, ends, false);
    memcpy(CMSG_DATA(&control.align), &f.far, sizeof(int));
    assert_int_equal(write(f.far, "12", 2), 2);
    assert_int_equal(sendmsg(f.far, &message, 0), 3);
    assert_int_equal(write(f.far, "3456", 4), 4);
    assert_int_equal(shutdown(f.far, SHUT_WR), 0);
    assert_int_equal(read_to_the_end(&f, &io), 9);
    assert_int_equal(io, PORT_EOF);
    end(&f);
}

static void test_writable_again(void **state)
{
    (void)state;
    static char big[1 << 20];
    struct fixture f;
    int ends[2];
    size_t sent = 0;

    lab_tcp_pair_small(ends);
    begin(&f, ends, true);
    UNTIL(f.loop, f.port->writable);
    while (f.port->writable) {
        size_t n = 0;
        enum port_io io = port_send(f.port, big, sizeof(big), &n);

        assert_true(io == PORT_OK || io == PORT_AGAIN);
        sent += n;
    }
    assert_true(sent > 0);
    loop_turn(f.loop, 0);
    assert_false(f.port->writable);
    size_t got = 0;
    while (!f.port->writable) {
        ssize_t n = read(f.far, big, sizeof(big));

        got += n > 0 ? (size_t)n : 0;
        loop_turn(f.loop, 10);
    }
    assert_true(got > 0);
    end(&f);
}

static void test_no_wake_after_close(void **state)
{
    (void)state;
    struct fixture f;

    begin_tcp(&f);
    UNTIL(f.loop, f.port->writable);
    assert_int_equal(write(f.far, "hello", 5), 5);
    unsigned wakes = f.wakes;
    struct port *port = f.port;

    port_close(port, false);
    f.port = NULL;
    assert_int_equal(port->fd, -1);
    loop_turn(f.loop, 10);
    assert_int_equal(f.wakes, wakes);
    end(&f);
}

static void test_close_with_and_without_reset(void **state)
{
    (void)state;
    char byte;

    for (int reset = 0; reset < 2; reset++) {
        struct fixture f;

        begin_tcp(&f);
        port_close(f.port, reset == 1);
        f.port = NULL;
        ssize_t n = read(f.far, &byte, 1);

        assert_int_equal(n, reset == 1 ? -1 : 0);
        if (reset == 1) {
            assert_int_equal(errno, ECONNRESET);
        }
        end(&f);
    }
}

static void test_shutdown_write(void **state)
{
    (void)state;
    struct fixture f;
    char byte;

    begin_tcp(&f);
    port_shutdown_write(f.port);
    assert_int_equal(read(f.far, &byte, 1), 0);
    assert_int_equal(write(f.far, "still", 5), 5);
    UNTIL(f.loop, f.port->readable);
    end(&f);
}

/* Ports come from the pool: the same memory after the turn has ended, not before. */
static void test_pooled(void **state)
{
    (void)state;
    struct fixture f;
    int ends[2];
    struct port *second;
    struct port *third;

    begin_tcp(&f);
    struct port *first = f.port;

    lab_tcp_pair(ends);
    port_close(first, false);
    f.port = NULL;
    assert_int_equal(port_raw_new(f.loop, ends[0], true, true, NULL, NULL, &second), ERR_NONE);
    assert_ptr_not_equal(first, second);
    loop_turn(f.loop, 0);
    assert_int_equal(port_raw_new(f.loop, ends[1], true, true, NULL, NULL, &third), ERR_NONE);
    assert_ptr_equal(first, third);
    port_close(second, false);
    port_close(third, false);
    end(&f);
}

static void begin_deaf(struct fixture *f)
{
    int ends[2];

    lab_tcp_pair(ends);
    *f = (struct fixture){.far = ends[1]};
    assert_int_equal(loop_new(&f->loop), ERR_NONE);
    assert_int_equal(port_raw_accepted(f->loop, ends[0], &f->port), ERR_NONE);
    port_raw_is_tcp(f->port);
    f->port->wake = count_wake;
    f->port->owner = f;
}

static void test_deaf_until_it_listens(void **state)
{
    (void)state;
    struct fixture f;
    char buffer[100];
    size_t n = 0;
    enum port_io last = PORT_OK;

    begin_deaf(&f);
    assert_true(f.port->readable && f.port->writable && f.port->deaf);
    assert_int_equal(port_recv(f.port, buffer, sizeof(buffer), &n), PORT_AGAIN);
    assert_false(f.port->readable);
    assert_int_equal(write(f.far, "hello", 5), 5);
    loop_turn(f.loop, 20);
    assert_int_equal(f.wakes, 0);
    assert_false(f.port->readable);
    assert_int_equal(port_listen(f.port), ERR_NONE);
    assert_false(f.port->deaf);
    assert_int_equal(port_listen(f.port), ERR_NONE); /* nothing more to do */
    UNTIL(f.loop, f.port->readable);
    assert_int_equal(f.wakes, 1);
    assert_int_equal(write(f.far, "again", 5), 5);
    assert_int_equal(shutdown(f.far, SHUT_WR), 0);
    assert_int_equal(read_to_the_end(&f, &last), 10);
    assert_int_equal(last, PORT_EOF);
    end(&f);
    begin_deaf(&f);
    end(&f); /* closed without having listened */
}

/* One that never was full hears of no room; one that was hears of it, whether it listened before or after. */
static void room_is_heard_of(bool listens_first)
{
    struct fixture f;
    static char big[1 << 16];
    size_t n = 0, total = 0, got = 0;

    begin_deaf(&f);
    if (listens_first) {
        assert_int_equal(port_listen(f.port), ERR_NONE);
        loop_turn(f.loop, 0);
        assert_int_equal(f.wakes, 0);
    }
    while (f.port->writable) {
        if (port_send(f.port, big, sizeof(big), &n) == PORT_OK) {
            total += n;
        }
    }
    assert_int_equal(port_listen(f.port), ERR_NONE);
    loop_turn(f.loop, 0);
    assert_false(f.port->writable);
    while (got < total) {
        ssize_t r = recv(f.far, big, sizeof(big), 0);

        assert_true(r > 0);
        got += (size_t)r;
    }
    UNTIL(f.loop, f.port->writable);
    assert_int_equal(port_send(f.port, big, 1, &n), PORT_OK);
    end(&f);
}

static void test_room_is_heard_of(void **state)
{
    (void)state;
    room_is_heard_of(true);
    room_is_heard_of(false);
}

static void test_bad_descriptor(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct port *port = NULL;

    assert_int_equal(loop_new(&loop), ERR_NONE);
    assert_int_equal(port_raw_new(loop, 9999, true, true, NULL, NULL, &port), ERR_IO);
    assert_null(port);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_last_bytes_take_the_end_along),
        cmocka_unit_test(test_last_bytes_into_a_full_socket),
        cmocka_unit_test(test_full_read_stays_readable),
        cmocka_unit_test(test_end_behind_bytes),
        cmocka_unit_test(test_end_after_the_event),
        cmocka_unit_test(test_end_before_the_port),
        cmocka_unit_test(test_reset_behind_bytes),
        cmocka_unit_test(test_reset_after_the_event),
        cmocka_unit_test(test_urgent_mark),
        cmocka_unit_test(test_unix_socket_with_descriptor),
        cmocka_unit_test(test_writable_again),
        cmocka_unit_test(test_no_wake_after_close),
        cmocka_unit_test(test_close_with_and_without_reset),
        cmocka_unit_test(test_shutdown_write),
        cmocka_unit_test(test_pooled),
        cmocka_unit_test(test_deaf_until_it_listens),
        cmocka_unit_test(test_room_is_heard_of),
        cmocka_unit_test(test_bad_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
