/* SPDX-License-Identifier: Apache-2.0 */
/* net_lab: what the tests of this room share: connected sockets, waiting for a fact, random numbers that repeat. */
#ifndef NET_LAB_H
#define NET_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop_impl.h"
#include "wire/ipaddr.h"

/* Turns the loop until `fact` holds; fails the test after ten seconds. */
#define UNTIL(loop, fact)                                                                                              \
    do {                                                                                                               \
        uint64_t give_up = lab_now_ms() + 10000;                                                                       \
        while (!(fact)) {                                                                                              \
            assert_true(lab_now_ms() < give_up);                                                                       \
            loop_turn(loop, 100);                                                                                      \
        }                                                                                                              \
    } while (0)

uint64_t lab_now_ms(void);

/* Repeats for the same seed. */
uint64_t lab_random(uint64_t *state);

struct ipaddr lab_loopback(void);

/* Two ends of a TCP connection over loopback, non-blocking. */
void lab_tcp_pair(int out[2]);
/* The same with small kernel buffers. */
void lab_tcp_pair_small(int out[2]);
/* A listening TCP socket on loopback. */
int lab_tcp_listen(int backlog, uint16_t *out_port);

#endif
