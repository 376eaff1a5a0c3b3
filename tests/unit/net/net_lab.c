/* SPDX-License-Identifier: Apache-2.0 */
#include "net_lab.h"

#include "base/clock.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

uint64_t lab_now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

uint64_t lab_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct ipaddr lab_loopback(void)
{
    return (struct ipaddr){
        .family = 4, .bytes = {127, 0, 0, 1}
    };
}

int lab_tcp_listen(int backlog, uint16_t *out_port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *out_port = ntohs(sa.sin_port);
    return fd;
}

static void tcp_pair(int out[2], int buffer_bytes)
{
    uint16_t port;
    int listener = lab_tcp_listen(1, &port);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int one = 1;

    out[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(out[0] >= 0);
    if (buffer_bytes > 0) {
        assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes)), 0);
        assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes)), 0);
        assert_int_equal(setsockopt(out[0], SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes)), 0);
        assert_int_equal(setsockopt(out[0], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes)), 0);
    }
    assert_int_equal(connect(out[0], (struct sockaddr *)&sa, sizeof(sa)), 0);
    out[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(out[1] >= 0);
    close(listener);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(setsockopt(out[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    }
    assert_int_equal(fcntl(out[0], F_SETFL, O_NONBLOCK), 0);
}

void lab_tcp_pair(int out[2])
{
    tcp_pair(out, 0);
}

void lab_tcp_pair_small(int out[2])
{
    tcp_pair(out, 4096);
}
