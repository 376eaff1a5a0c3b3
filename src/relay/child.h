/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child: signals, the command that the relay runs, and the duties of process 1.
 *
 * Signals are blocked and read from a descriptor. What a terminal sends goes to the whole foreground group, so to the
 * command as well, and is not passed on a second time; what kill(2) sends to the relay is.
 */
#ifndef RELAY_CHILD_H
#define RELAY_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

struct child {
    pid_t pid; /* 0: no command */
    int signal_fd;
    sigset_t mask_before; /* what the command gets back */
    struct sigaction chld_before, pipe_before;
    struct rlimit files_before;
};

enum child_news { CHILD_GOES_ON, CHILD_ENDED /* the relay ends too */ };

/* From here on signals come from signal_fd. False after saying why not. */
bool child_take_signals(struct child *child);

/* Starts the command with the signals and limits that the relay was started with. False after saying why not. */
bool child_start(struct child *child, char *const *command);

/* Reads signals, passes them on and reaps. CHILD_ENDED gives the exit status of the relay. */
enum child_news child_signals(struct child *child, int *out_status);

#endif
