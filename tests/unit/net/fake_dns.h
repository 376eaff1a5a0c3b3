/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_dns: a name server on loopback in the test's own loop, over UDP and TCP. What it answers depends on the first
 * label; every question is written down as it came.
 */
#ifndef FAKE_DNS_H
#define FAKE_DNS_H

#include "net_lab.h"
#include "wire/dnsmsg.h"

#define FAKE_LOG_MAX 4096

struct fake_question {
    char name[256]; /* lower case, as dotted text */
    uint16_t type;
    uint16_t from_port;
    bool tcp;
    bool mixed_case;
};

struct fake_dns {
    struct loop *loop;
    struct watch udp_watch, tcp_watch;
    int udp_fd, tcp_fd, stranger_fd;
    uint16_t port;
    uint32_t ttl_s;
    bool mute;    /* answers nothing */
    bool refuses; /* SERVFAIL to everything */
    size_t count;
    struct fake_question log[FAKE_LOG_MAX];
    /* One answer kept back by "slow…": sent by fake_dns_release(). */
    uint8_t held[600];
    size_t held_len;
    uint16_t held_port;
    struct fake_connection {
        struct watch watch;
        struct fake_dns *dns;
        int fd; /* -1: free */
    } connections[8];
};

void fake_dns_open(struct fake_dns *dns, struct loop *loop);
void fake_dns_close(struct fake_dns *dns);
void fake_dns_release(struct fake_dns *dns);
size_t fake_dns_questions(const struct fake_dns *dns, const char *name, uint16_t type);

#endif
