/* SPDX-License-Identifier: Apache-2.0 */
#include "guests.h"

#include "net/loop.h"

#include "base/assert.h"

#include <event2/event.h>

#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#define SEARCH_MAX (1 << 20)

static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config == NULL) {
        return NULL;
    }
    /* IGNORE_ENV: EVENT_NOEPOLL and its kin in the environment choose nothing. */
    if (event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == 0 &&
        event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_O1) == 0) {
        base = event_base_new_with_config(config);
    }
    event_config_free(config);
    return base;
}

static void never_called(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
    ASSERT(false);
}

/* True if `candidate` is an epoll descriptor in which `member` is registered. Repeating the registration as it stands
 * changes nothing there, and fails anywhere else. */
static bool epoll_has(int candidate, int member)
{
    struct epoll_event same = {.events = EPOLLIN, .data.fd = member};

    return epoll_ctl(candidate, EPOLL_CTL_MOD, member, &same) == 0;
}

/* libevent does not tell the descriptor of its epoll; -1 if it cannot be found. `probe_fd` is never readable. */
static int find_epoll_of(struct event_base *base, int probe_fd)
{
    struct event *probe = event_new(base, probe_fd, EV_READ | EV_PERSIST, never_called, NULL);
    struct rlimit files;
    int found = -1;

    if (probe == NULL) {
        return -1;
    }
    if (event_add(probe, NULL) == 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        int end = files.rlim_cur < SEARCH_MAX ? (int)files.rlim_cur : SEARCH_MAX;

        /* Opened at the same time as the probe, it is near by. */
        for (int away = 1; found < 0 && (away <= probe_fd || away < end - probe_fd); away++) {
            if (away < end - probe_fd && epoll_has(probe_fd + away, probe_fd)) {
                found = probe_fd + away;
            } else if (away <= probe_fd && epoll_has(probe_fd - away, probe_fd)) {
                found = probe_fd - away;
            }
        }
    }
    event_free(probe);
    return found;
}

enum err guests_new(int probe_fd, struct event_base **out_base, int *out_epoll_fd)
{
    struct event_base *base = make_base();

    if (base == NULL) {
        return ERR_NO_MEMORY;
    }
    int fd = find_epoll_of(base, probe_fd);

    if (fd < 0) {
        event_base_free(base);
        return ERR_IO;
    }
    *out_base = base;
    *out_epoll_fd = fd;
    return ERR_NONE;
}

const char *loop_library_version(void)
{
    return event_get_version();
}
