/* SPDX-License-Identifier: Apache-2.0 */
/* dialer: the order of attempts, failures, silence, the time limit and cancelling, over loopback. */
#include "net_lab.h"

#include "net/dialer.h"
#include "wire/admitted_make.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct call {
    struct loop *loop;
    struct dial *dial;
    struct dialled result;
    unsigned calls;
    bool inside_start;
    uint64_t at_ms;
};

static void note(void *arg, const struct dialled *dialled)
{
    struct call *call = arg;

    assert_false(call->inside_start);
    call->result = *dialled;
    call->calls++;
    call->at_ms = lab_now_ms();
}

static void call_begin(struct call *call)
{
    *call = (struct call){0};
    assert_int_equal(loop_new(&call->loop), ERR_NONE);
}

static void call_start(struct call *call, const struct admitted *admitted, uint32_t timeout_ms)
{
    call->inside_start = true;
    assert_int_equal(dial_start(call->loop, admitted, timeout_ms, note, call, &call->dial), ERR_NONE);
    call->inside_start = false;
    assert_int_equal(call->calls, 0);
}

static void call_end(struct call *call)
{
    if (call->result.port != NULL) {
        port_close(call->result.port, false);
    }
    loop_turn(call->loop, 0);
    loop_free(call->loop);
}

static struct ipaddr ip4(uint8_t last)
{
    return (struct ipaddr){
        .family = 4, .bytes = {127, 0, 0, last}
    };
}

static struct ipaddr ip6_loopback(void)
{
    return (struct ipaddr){.family = 6, .bytes = {[15] = 1}};
}

static struct admitted admit(uint16_t port, const struct ipaddr *addresses, size_t count)
{
    struct admitted admitted;

    admitted_begin(&admitted, port);
    for (size_t i = 0; i < count; i++) {
        assert_true(admitted_add(&admitted, &addresses[i]));
    }
    return admitted;
}

/* A socket listening on 127.0.0.`last` and `port`, which is chosen if 0. */
static int listen_on(uint8_t last, uint16_t *port, int backlog)
{
    struct ipaddr addr = ip4(last);
    struct sockaddr_storage sa;
    socklen_t len = ipaddr_to_sockaddr(&addr, *port, &sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &(socklen_t){sizeof(sa)}), 0);
    assert_int_equal(ipaddr_from_sockaddr((struct sockaddr *)&sa, &addr, port), ERR_NONE);
    return fd;
}

/* Fills the queue of a listener with backlog 0, so that further SYNs are dropped: a black hole. */
struct hole {
    int listener;
    int fillers[8];
};

static void hole_open(struct hole *hole, uint8_t last, uint16_t *port)
{
    struct ipaddr addr = ip4(last);
    struct sockaddr_storage sa;

    hole->listener = listen_on(last, port, 0);
    socklen_t len = ipaddr_to_sockaddr(&addr, *port, &sa);

    for (size_t i = 0; i < 8; i++) {
        hole->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(hole->fillers[i], (struct sockaddr *)&sa, len), -1);
        assert_int_equal(errno, EINPROGRESS);
    }
}

static void hole_close(struct hole *hole)
{
    close(hole->listener);
    for (size_t i = 0; i < 8; i++) {
        close(hole->fillers[i]);
    }
}

static void test_connects(void **state)
{
    (void)state;
    struct call call;
    uint16_t port = 0;
    int listener = listen_on(1, &port, 10);
    struct ipaddr addr = ip4(1);
    struct admitted admitted = admit(port, &addr, 1);
    uint64_t before = dial_connects();
    int option = 0;
    size_t n = 0;
    char bytes[8];

    call_begin(&call);
    call_start(&call, &admitted, 5000);
    memset(&admitted, 0, sizeof(admitted)); /* it was copied */
    UNTIL(call.loop, call.calls == 1);
    assert_int_equal(call.result.error, 0);
    assert_true(ipaddr_equal(&call.result.addr, &addr));
    assert_int_equal(call.result.connects, 1);
    assert_int_equal(dial_connects() - before, 1);
    struct port *winner = call.result.port;

    assert_non_null(winner);
    assert_true(winner->wake == NULL);
    assert_null(winner->owner);
    assert_true(winner->writable);
    assert_int_equal(getsockopt(winner->fd, IPPROTO_TCP, TCP_NODELAY, &option, &(socklen_t){sizeof(option)}), 0);
    assert_int_equal(option, 1);
    /* The same registration goes on serving. */
    int server = accept(listener, NULL, NULL);

    assert_true(server >= 0);
    assert_false(winner->readable);
    assert_int_equal(write(server, "hi", 2), 2);
    UNTIL(call.loop, winner->readable);
    assert_int_equal(port_recv(winner, bytes, sizeof(bytes), &n), PORT_OK);
    assert_int_equal(n, 2);
    loop_turn(call.loop, 0);
    assert_int_equal(call.calls, 1);
    close(server);
    close(listener);
    call_end(&call);
}

/* A server that speaks and closes before anybody looks. */
static void test_closed_at_once_is_still_connected(void **state)
{
    (void)state;
    struct call call;
    uint16_t port = 0;
    int listener = listen_on(1, &port, 10);
    struct ipaddr addr = ip4(1);
    struct admitted admitted = admit(port, &addr, 1);

    call_begin(&call);
    call_start(&call, &admitted, 5000);
    int server = accept(listener, NULL, NULL);

    assert_true(server >= 0);
    assert_int_equal(write(server, "bye", 3), 3);
    close(server);
    UNTIL(call.loop, call.calls == 1);
    assert_int_equal(call.result.error, 0);
    assert_true(call.result.port->readable);
    close(listener);
    call_end(&call);
}

static void test_refused(void **state)
{
    (void)state;
    struct call call;
    uint16_t port = 0;
    int listener = listen_on(1, &port, 10);
    struct ipaddr addresses[2] = {ip4(1), ip4(2)};
    struct admitted admitted = admit(port, addresses, 2);
    uint64_t before = dial_connects();

    close(listener);
    call_begin(&call);
    call_start(&call, &admitted, 5000);
    loop_turn(call.loop, 1000);
    assert_int_equal(dial_connects() - before, 2); /* the second did not wait for 250 ms */
    UNTIL(call.loop, call.calls == 1);
    assert_int_equal(call.result.error, ECONNREFUSED);
    assert_null(call.result.port);
    assert_int_equal(call.result.connects, 2);
    call_end(&call);
}

static void test_first_refused_second_answers(void **state)
{
    (void)state;
    struct call call;
    uint16_t port = 0;
    int listener = listen_on(2, &port, 10);
    struct ipaddr addresses[2] = {ip4(1), ip4(2)};
    struct admitted admitted = admit(port, addresses, 2);

    call_begin(&call);
    call_start(&call, &admitted, 5000);
    UNTIL(call.loop, call.calls == 1);
    assert_int_equal(call.result.error, 0);
    assert_true(ipaddr_equal(&call.result.addr, &addresses[1]));
    assert_int_equal(call.result.connects, 2);
    close(listener);
    call_end(&call);
}

/* IPv6 is tried first even when it was admitted last; where it is refused or does not exist, IPv4 follows. */
static void test_ipv6_goes_first(void **state)
{
    (void)state;
    struct call call;
    uint16_t port = 0;
    int listener = listen_on(1, &port, 10);
    struct ipaddr addresses[2] = {ip4(1), ip6_loopback()};
    struct admitted admitted = admit(port, addresses, 2);
    struct sockaddr_storage sa;
    int six = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    bool has_six = six >= 0 && setsockopt(six, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0 &&
                   bind(six, (struct sockaddr *)&sa, ipaddr_to_sockaddr(&addresses[1], port, &sa)) == 0 &&
                   listen(six, 10) == 0;

    call_begin(&call);
    call_start(&call, &admitted, 5000);
    UNTIL(call.loop, call.calls == 1);
    assert_int_equal(call.result.error, 0);
    assert_int_equal(call.result.addr.family, has_six ? 6 : 4);
    assert_int_equal(call.result.connects <= 2, 1);
    port_close(call.result.port, false);
    call.result.port = NULL;
    if (has_six) {
        call.calls = 0;
        close(six);
        call_start(&call, &admitted, 5000);
        UNTIL(call.loop, call.calls == 1);
        assert_int_equal(call.result.addr.family, 4);
        assert_int_equal(call.result.connects, 2);
    }
    close(listener);
    call_end(&call);
}

static void test_silence_starts_the_next_after_250_ms(void **state)
{
    (void)state;
    struct call call;
    struct hole hole;
    uint16_t port = 0;
    int listener;
    struct ipaddr addresses[3] = {ip4(1), ip4(2), ip4(3)};

    hole_open(&hole, 1, &port);
    listener = listen_on(2, &port, 10);
    struct admitted admitted = admit(port, addresses, 3);

    uint64_t since = lab_now_ms();
    call_begin(&call);

    call_start(&call, &admitted, 5000);
    UNTIL(call.loop, call.calls == 1);
    assert_int_equal(call.result.error, 0);
    assert_true(ipaddr_equal(&call.result.addr, &addresses[1]));
    assert_int_equal(call.result.connects, 2);
    assert_in_range(call.at_ms - since, 249, 4000);
    hole_close(&hole);
    close(listener);
    call_end(&call);
}

static void test_time_is_up(void **state)
{
    (void)state;
    struct call call;
    struct hole hole;
    uint16_t port = 0;
    struct ipaddr addr = ip4(1);

    hole_open(&hole, 1, &port);
    struct admitted admitted = admit(port, &addr, 1);

    /* Before the loop: its timers count from the time of its turn, which may be a while ago when the call starts. */
    uint64_t since = lab_now_ms();

    call_begin(&call);
    call_start(&call, &admitted, 60);
    UNTIL(call.loop, call.calls == 1);
    assert_int_equal(call.result.error, ETIMEDOUT);
    assert_null(call.result.port);
    assert_int_equal(call.result.connects, 1);
    assert_in_range(call.at_ms - since, 59, 4000);
    hole_close(&hole);
    call_end(&call);
}

static void test_cancel(void **state)
{
    (void)state;
    struct call call;
    struct hole hole;
    uint16_t port = 0;
    struct ipaddr addr = ip4(1);

    hole_open(&hole, 1, &port);
    struct admitted admitted = admit(port, &addr, 1);

    call_begin(&call);
    call_start(&call, &admitted, 50);
    assert_int_equal(dial_cancel(call.dial), 1); /* at once */
    call_start(&call, &admitted, 50);
    loop_turn(call.loop, 5);
    assert_int_equal(dial_cancel(call.dial), 1); /* under way */
    loop_skip_ms(call.loop, 1000);
    loop_turn(call.loop, 0);
    hole_close(&hole);
    /* Connected, but the answer has not been given yet. */
    int listener = listen_on(2, &port, 10);

    addr = ip4(2);
    admitted = admit(port, &addr, 1);
    call_start(&call, &admitted, 5000);
    int server = accept(listener, NULL, NULL);

    assert_true(server >= 0);
    assert_int_equal(dial_cancel(call.dial), 1);
    char byte;

    assert_int_equal(read(server, &byte, 1), 0);
    loop_turn(call.loop, 20);
    assert_int_equal(call.calls, 0);
    close(server);
    close(listener);
    call_end(&call);
}

static void test_nothing_admitted(void **state)
{
    (void)state;
    struct call call;
    struct admitted admitted;

    memset(&admitted, 0, sizeof(admitted));
    call_begin(&call);
    assert_int_equal(dial_start(call.loop, &admitted, 100, note, &call, &call.dial), ERR_INVALID);
    call_end(&call);
}

/* All fail inside dial_start(): the answer still comes later, once. */
static void test_all_fail_at_once(void **state)
{
    (void)state;
    struct call call;
    /* Broadcast is refused by connect(2) itself. */
    struct ipaddr addresses[2] = {
        {.family = 4, .bytes = {255, 255, 255, 255}},
        {.family = 4, .bytes = {255, 255, 255, 255}}
    };
    struct admitted admitted = admit(443, addresses, 2);

    call_begin(&call);
    call_start(&call, &admitted, 1000);
    loop_turn(call.loop, 1000);
    assert_int_equal(call.calls, 1);
    assert_true(call.result.error == EACCES || call.result.error == ENETUNREACH);
    assert_null(call.result.port);
    assert_int_equal(call.result.connects, 2);
    call.calls = 0;
    call_start(&call, &admitted, 1000);
    assert_int_equal(dial_cancel(call.dial), 2);
    loop_turn(call.loop, 5);
    assert_int_equal(call.calls, 0);
    call_end(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connects),         cmocka_unit_test(test_closed_at_once_is_still_connected),
        cmocka_unit_test(test_refused),          cmocka_unit_test(test_first_refused_second_answers),
        cmocka_unit_test(test_ipv6_goes_first),  cmocka_unit_test(test_silence_starts_the_next_after_250_ms),
        cmocka_unit_test(test_time_is_up),       cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_nothing_admitted), cmocka_unit_test(test_all_fail_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
