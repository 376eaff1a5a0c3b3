/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool: what every program of bench/ needs: words on the command line, addresses, listening sockets, a clock, and the
 * one line that tells the runner where a program listens. A program of the bench that cannot do its work says so and
 * ends: a figure of a half-working instrument is worse than none.
 */
#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Prints the message, with errno if it is set, and ends with status 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t now_ns(void); /* CLOCK_MONOTONIC */

/* One "--name value" or "--name" of the command line. */
struct option_row {
    const char *name;
    enum { OPTION_TEXT, OPTION_NUMBER, OPTION_REAL, OPTION_FLAG, OPTION_ADDRESS } kind;
    void *target; /* const char *, uint64_t, double, bool, struct sockaddr_in */
    const char *help;
};

/* Fills the targets; "--help" and anything unknown print the rows and end. */
void options_read(int argc, char **argv, const char *what, const struct option_row *rows, size_t count);

/* "127.0.0.1:443", in numbers only. */
struct sockaddr_in address_read(const char *text);

/* Raises the soft limit of descriptors to the hard one and gives it. */
size_t descriptors_raise(void);

enum accept_when { ACCEPT_AT_ONCE, ACCEPT_WITH_DATA };

/* A listening socket, non-blocking, with TCP_NODELAY for what it accepts. */
int listen_at(struct sockaddr_in *address, enum accept_when when);

/* A non-blocking socket on its way to `address`, or -1 with errno. */
int dial_to(const struct sockaddr_in *address);

/* {"ready":true,"address":"…"} on standard output. */
void announce(const struct sockaddr_in *address);

#endif
