/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager and this program say to each other, in systemd's protocol, which needs no library: sockets
 * that were opened for us stand from descriptor 3 on (sd_listen_fds(3)), and states go as datagrams to a socket
 * (sd_notify(3)). The variables are read before the environment is cleared.
 */
#include "internal.h"

#include "base/log.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD      3
#define INHERITED_MAX 64

static struct {
    int fds[INHERITED_MAX]; /* -1: taken */
    size_t count;
    struct sockaddr_un notify;
    socklen_t notify_len; /* 0: nobody listens */
    uint64_t watchdog_ms; /* 0: none is wanted */
    struct timer timer;
    struct loop *loop;
} super;

static bool read_number(const char *name, uint64_t max, uint64_t *out)
{
    const char *text = getenv(name);
    return text != NULL && text_u64(span_text(text), max, out) == ERR_NONE;
}

static void read_notify(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    uint64_t pid = 0, usec = 0;
    size_t len = path != NULL ? strlen(path) : 0;
    if (len > 1 && len < sizeof super.notify.sun_path && (path[0] == '/' || path[0] == '@')) {
        super.notify.sun_family = AF_UNIX;
        memcpy(super.notify.sun_path, path, len);
        if (path[0] == '@')
            super.notify.sun_path[0] = '\0';
        super.notify_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    }
    if (read_number("WATCHDOG_USEC", UINT32_MAX * UINT64_C(1000), &usec) &&
        (getenv("WATCHDOG_PID") == NULL || (read_number("WATCHDOG_PID", INT32_MAX, &pid) && pid == (uint64_t)getpid())))
        super.watchdog_ms = usec / 1000;
}

void supervisor_read_environment(void)
{
    uint64_t pid = 0, count = 0;
    read_notify();
    if (!read_number("LISTEN_PID", INT32_MAX, &pid) || pid != (uint64_t)getpid() ||
        !read_number("LISTEN_FDS", INHERITED_MAX, &count))
        return;
    for (; super.count < count; super.count++) {
        int fd = FIRST_FD + (int)super.count;
        super.fds[super.count] = fd;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
}

static bool is_listening(int fd)
{
    int yes = 0, type = 0;
    socklen_t len = sizeof yes;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes != 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){sizeof type}) == 0 && type == SOCK_STREAM;
}

/* The one whose address this is, made ready to be accepted on; -1: there is none. */
static int take(const void *addr, socklen_t addr_len)
{
    for (size_t i = 0; i < super.count; i++) {
        struct sockaddr_storage own;
        socklen_t len = sizeof own;
        memset(&own, 0, sizeof own);
        int fd = super.fds[i];
        if (fd < 0 || getsockname(fd, (struct sockaddr *)&own, &len) != 0 || len < addr_len ||
            memcmp(&own, addr, addr_len) != 0 || !is_listening(fd) || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
            continue;
        super.fds[i] = -1;
        return fd;
    }
    return -1;
}

int supervisor_take_unix(const char *path)
{
    struct sockaddr_un addr;
    size_t len = strlen(path) + 1;
    memset(&addr, 0, sizeof addr);
    addr.sun_family = AF_UNIX;
    if (len > sizeof addr.sun_path)
        return -1;
    memcpy(addr.sun_path, path, len);
    return take(&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

int supervisor_take_tcp(const struct ipaddr *addr, uint16_t port)
{
    struct sockaddr_storage sa;
    memset(&sa, 0, sizeof sa);
    socklen_t len = ipaddr_to_sockaddr(addr, port, &sa);
    return take(&sa, len);
}

size_t supervisor_untaken(void)
{
    size_t left = 0;
    for (size_t i = 0; i < super.count; i++)
        left += super.fds[i] >= 0;
    return left;
}

void supervisor_say(const char *text)
{
    if (super.notify_len == 0)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 ||
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&super.notify, super.notify_len) < 0)
        log_warn("the service manager was not told", "why=%s", strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void on_watchdog(struct timer *timer)
{
    supervisor_say("WATCHDOG=1");
    timer_set(loop_wheel(super.loop), timer, loop_now_ms(super.loop) + super.watchdog_ms / 2);
}

void supervisor_watch(struct loop *loop)
{
    if (super.watchdog_ms < 2)
        return;
    super.loop = loop;
    timer_init(&super.timer, on_watchdog);
    timer_set(loop_wheel(loop), &super.timer, loop_now_ms(loop) + super.watchdog_ms / 2);
}

void supervisor_unwatch(void)
{
    if (super.loop != NULL)
        timer_cancel(&super.timer);
    super.loop = NULL;
}
