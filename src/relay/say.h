/* SPDX-License-Identifier: Apache-2.0 */
/*
 * say: what the relay says to people, one line a fact on standard error, each with one write(2). Its lines stand
 * between those of the command that it runs, so each one names the program.
 */
#ifndef RELAY_SAY_H
#define RELAY_SAY_H

#include <stdint.h>

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A fact that may come with every connection: at most one line a second, with the number of those left out. */
struct say_rate {
    uint64_t next_ms;
    uint64_t silent;
};

void say_rated(struct say_rate *rate, uint64_t now_ms, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
