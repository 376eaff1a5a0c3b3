/* SPDX-License-Identifier: Apache-2.0 */
/* Signals, as events of main's loop. */
#include "internal.h"

#include "base/log.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct control {
    struct daemon *daemon;
    int signal_fd;
    struct event *signal_event;
};

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct daemon *daemon = arg;
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGHUP: {
            struct load_cause cause = {.automatic = false};
            snprintf(cause.who, sizeof cause.who, "SIGHUP from uid %u", (unsigned)info.ssi_uid);
            daemon_reload(daemon, &cause);
            break;
        }
        case SIGTERM:
        case SIGINT:
            daemon_stop(daemon);
            break;
        default:
            break;
        }
    }
}

/* Blocked before any thread exists, so that only this descriptor hears them. */
static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1); /* heard and without effect: the log is standard error, there is nothing to open again */
    signal(SIGPIPE, SIG_IGN);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

enum err control_open(struct daemon *daemon)
{
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL)
        return ERR_NO_MEMORY;
    control->daemon = daemon;
    control->signal_fd = open_signals();
    daemon->control = control;
    if (control->signal_fd < 0)
        return ERR_IO;
    control->signal_event =
        event_new(loop_base(daemon->loop), control->signal_fd, EV_READ | EV_PERSIST, on_signal, daemon);
    if (control->signal_event == NULL || event_add(control->signal_event, NULL) != 0)
        return ERR_NO_MEMORY;
    return ERR_NONE;
}

void control_close(struct daemon *daemon)
{
    struct control *control = daemon->control;
    if (control == NULL)
        return;
    if (control->signal_event != NULL)
        event_free(control->signal_event);
    if (control->signal_fd >= 0)
        close(control->signal_fd);
    free(control);
    daemon->control = NULL;
}
