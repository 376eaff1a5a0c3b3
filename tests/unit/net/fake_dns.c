/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_dns.h"

#include "base/outbuf.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_MAX 4000

static void log_question(struct fake_dns *dns, const uint8_t *q, size_t len, uint16_t port, bool tcp)
{
    assert_true(dns->count < FAKE_LOG_MAX);
    struct fake_question *entry = &dns->log[dns->count++];
    size_t at = 12;
    size_t n = 0;

    *entry = (struct fake_question){.from_port = port, .tcp = tcp};
    while (at < len && q[at] != 0) {
        for (uint8_t left = q[at++]; left > 0 && at < len; left--, at++) {
            entry->mixed_case = entry->mixed_case || (q[at] >= 'A' && q[at] <= 'Z');
            entry->name[n++] = (char)(q[at] | (q[at] >= 'A' && q[at] <= 'Z' ? 0x20 : 0));
        }
        entry->name[n++] = '.';
    }
    entry->name[n > 0 ? n - 1 : 0] = '\0';
    entry->type = (uint16_t)(q[at + 1] << 8 | q[at + 2]);
}

static bool starts(const struct fake_question *q, const char *prefix)
{
    return strncmp(q->name, prefix, strlen(prefix)) == 0;
}

/* The question of the query with these flags and counts. */
static void reply_head(struct outbuf *out, const uint8_t *q, size_t len, uint16_t flags, uint16_t answers,
                       uint16_t authorities)
{
    outbuf_bytes(out, q, 2);
    outbuf_be16(out, flags);
    outbuf_be16(out, 1);
    outbuf_be16(out, answers);
    outbuf_be16(out, authorities);
    outbuf_be16(out, 0);
    outbuf_bytes(out, q + 12, len - 12);
}

static void reply_address(struct outbuf *out, uint16_t type, uint32_t ttl_s, uint8_t last)
{
    static const uint8_t four[3] = {11, 22, 33};
    static const uint8_t six[15] = {0x26, 0x06, 0, 1};

    outbuf_be16(out, 0xc00c);
    outbuf_be16(out, type);
    outbuf_be16(out, 1);
    outbuf_be32(out, ttl_s);
    outbuf_be16(out, type == DNS_TYPE_A ? 4 : 16);
    outbuf_bytes(out, type == DNS_TYPE_A ? four : six, type == DNS_TYPE_A ? 3 : 15);
    outbuf_u8(out, last);
}

static void reply_soa(struct outbuf *out, uint32_t minimum_s)
{
    outbuf_be16(out, 0xc00c);
    outbuf_be16(out, 6);
    outbuf_be16(out, 1);
    outbuf_be32(out, minimum_s);
    outbuf_be16(out, 22);
    outbuf_be16(out, 0);
    for (int i = 0; i < 4; i++) {
        outbuf_be32(out, 1);
    }
    outbuf_be32(out, minimum_s);
}

static void compose_reply(const struct fake_dns *dns, const struct fake_question *q, const uint8_t *query, size_t len,
                          struct outbuf *out)
{
    bool only_four = starts(q, "four") && q->type == DNS_TYPE_AAAA;

    if (dns->refuses || starts(q, "servfail")) {
        reply_head(out, query, len, 0x8182, 0, 0);
    } else if (starts(q, "refused")) {
        reply_head(out, query, len, 0x8185, 0, 0);
    } else if (starts(q, "truncated") && !q->tcp) {
        reply_head(out, query, len, 0x8380, 0, 0);
    } else if (starts(q, "malformed")) {
        reply_head(out, query, len, 0x8180, 1, 0);
        outbuf_be16(out, 0xc0ff);
    } else if (starts(q, "nx")) {
        reply_head(out, query, len, 0x8183, 0, 1);
        reply_soa(out, dns->ttl_s);
    } else if (only_four || starts(q, "nodata")) {
        reply_head(out, query, len, 0x8180, 0, 1);
        reply_soa(out, dns->ttl_s);
    } else {
        uint16_t count = starts(q, "many") && q->type == DNS_TYPE_A ? 20 : 1;

        reply_head(out, query, len, 0x8180, count, 0);
        for (uint8_t i = 0; i < count; i++) {
            reply_address(out, q->type, dns->ttl_s, (uint8_t)(i + 1));
        }
    }
}

static void send_to(int fd, uint16_t port, const void *bytes, size_t len)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};

    assert_int_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&sa, sizeof(sa)), len);
}

/* Everything that must be dropped: from elsewhere, empty, short, the query itself, another id, another case, another
 * type, another name, two questions. Each tells an address that nobody may believe. */
static void send_lies(struct fake_dns *dns, uint16_t port, const uint8_t *query, size_t len)
{
    uint8_t lie[REPLY_MAX];
    struct outbuf out = outbuf_make(lie, sizeof(lie));
    uint16_t type = (uint16_t)(query[len - 4] << 8 | query[len - 3]);

    reply_head(&out, query, len, 0x8180, 1, 0);
    reply_address(&out, type, 300, 66);
    send_to(dns->stranger_fd, port, lie, out.len);
    send_to(dns->udp_fd, port, "", 0);
    send_to(dns->udp_fd, port, lie, 11);
    send_to(dns->udp_fd, port, query, len);
    lie[0] ^= 1;
    send_to(dns->udp_fd, port, lie, out.len);
    lie[0] ^= 1;
    for (size_t i = 13; i < len - 5; i++) {
        lie[i] ^= (lie[i] | 0x20) >= 'a' && (lie[i] | 0x20) <= 'z' ? 0x20 : 0;
        if (lie[i] != query[i]) {
            send_to(dns->udp_fd, port, lie, out.len);
        }
        lie[i] = query[i];
    }
    lie[len - 3] ^= 3;
    send_to(dns->udp_fd, port, lie, out.len);
    lie[len - 3] ^= 3;
    lie[5] = 2;
    send_to(dns->udp_fd, port, lie, out.len);
}

static void on_udp(struct watch *watch, uint32_t events)
{
    struct fake_dns *dns = (struct fake_dns *)(void *)((char *)watch - offsetof(struct fake_dns, udp_watch));
    uint8_t query[600];
    uint8_t reply[REPLY_MAX];
    struct sockaddr_in from;
    ssize_t n = recvfrom(dns->udp_fd, query, sizeof(query), 0, (struct sockaddr *)&from, &(socklen_t){sizeof(from)});
    struct outbuf out = outbuf_make(reply, sizeof(reply));

    (void)events;
    if (n < 17) {
        return;
    }
    uint16_t port = ntohs(from.sin_port);

    log_question(dns, query, (size_t)n, port, false);
    const struct fake_question *q = &dns->log[dns->count - 1];

    if (dns->mute || starts(q, "silent")) {
        return;
    }
    if (starts(q, "lies")) {
        send_lies(dns, port, query, (size_t)n);
    }
    compose_reply(dns, q, query, (size_t)n, &out);
    if (starts(q, "slow") && q->type == DNS_TYPE_AAAA) {
        memcpy(dns->held, reply, out.len);
        dns->held_len = out.len;
        dns->held_port = port;
        return;
    }
    send_to(dns->udp_fd, port, reply, out.len);
}

static void connection_close(struct fake_connection *c)
{
    watch_remove(c->dns->loop, &c->watch);
    close(c->fd);
    c->fd = -1;
}

/* Queries are small and come in one piece, with their length before them; perhaps two at once. */
static void on_connection(struct watch *watch, uint32_t events)
{
    struct fake_connection *c = (struct fake_connection *)(void *)watch;
    uint8_t bytes[1500];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
    size_t at = 0;

    (void)events;
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            connection_close(c);
        }
        return;
    }
    while (at + 2 < (size_t)n) {
        size_t len = (size_t)(bytes[at] << 8 | bytes[at + 1]);
        uint8_t reply[REPLY_MAX];
        struct outbuf out = outbuf_make(reply, sizeof(reply));

        assert_true(at + 2 + len <= (size_t)n);
        log_question(c->dns, bytes + at + 2, len, 0, true);
        outbuf_be16(&out, 0);
        compose_reply(c->dns, &c->dns->log[c->dns->count - 1], bytes + at + 2, len, &out);
        reply[0] = (uint8_t)((out.len - 2) >> 8);
        reply[1] = (uint8_t)(out.len - 2);
        /* In two pieces, so that the reader meets a half. */
        assert_int_equal(send(c->fd, reply, 7, MSG_NOSIGNAL), 7);
        assert_int_equal(send(c->fd, reply + 7, out.len - 7, MSG_NOSIGNAL), out.len - 7);
        at += 2 + len;
    }
}

static void on_tcp(struct watch *watch, uint32_t events)
{
    struct fake_dns *dns = (struct fake_dns *)(void *)((char *)watch - offsetof(struct fake_dns, tcp_watch));
    int fd = accept4(dns->tcp_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    for (size_t i = 0; i < 8 && fd >= 0; i++) {
        struct fake_connection *c = &dns->connections[i];

        if (c->fd < 0) {
            c->dns = dns;
            c->fd = fd;
            assert_int_equal(watch_add(dns->loop, &c->watch, fd, EPOLLIN, on_connection), ERR_NONE);
            return;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

static int udp_socket(uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void fake_dns_open(struct fake_dns *dns, struct loop *loop)
{
    *dns = (struct fake_dns){.loop = loop, .ttl_s = 60, .udp_fd = -1};
    while (dns->udp_fd < 0) { /* until a port is free for both */
        dns->tcp_fd = lab_tcp_listen(16, &dns->port);
        dns->udp_fd = udp_socket(dns->port);
        if (dns->udp_fd < 0) {
            close(dns->tcp_fd);
        }
    }
    dns->stranger_fd = udp_socket(0);
    assert_int_equal(watch_add(loop, &dns->udp_watch, dns->udp_fd, EPOLLIN, on_udp), ERR_NONE);
    assert_int_equal(watch_add(loop, &dns->tcp_watch, dns->tcp_fd, EPOLLIN, on_tcp), ERR_NONE);
    for (size_t i = 0; i < 8; i++) {
        dns->connections[i].fd = -1;
    }
}

void fake_dns_close(struct fake_dns *dns)
{
    for (size_t i = 0; i < 8; i++) {
        if (dns->connections[i].fd >= 0) {
            connection_close(&dns->connections[i]);
        }
    }
    watch_remove(dns->loop, &dns->udp_watch);
    watch_remove(dns->loop, &dns->tcp_watch);
    close(dns->udp_fd);
    close(dns->tcp_fd);
    close(dns->stranger_fd);
}

void fake_dns_release(struct fake_dns *dns)
{
    assert_true(dns->held_len > 0);
    send_to(dns->udp_fd, dns->held_port, dns->held, dns->held_len);
    dns->held_len = 0;
}

size_t fake_dns_questions(const struct fake_dns *dns, const char *name, uint16_t type)
{
    size_t count = 0;

    for (size_t i = 0; i < dns->count; i++) {
        count += strcmp(dns->log[i].name, name) == 0 && dns->log[i].type == type ? 1 : 0;
    }
    return count;
}
