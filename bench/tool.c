/* SPDX-License-Identifier: Apache-2.0 */
#include "tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000u
#define BACKLOG  4096
/* With TCP_DEFER_ACCEPT the kernel gives a connection without data to accept() after this long. */
#define DEFER_SECONDS 3

void die(const char *format, ...)
{
    int error = errno;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (error != 0)
        fprintf(stderr, ": %s", strerror(error));
    fputc('\n', stderr);
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static _Noreturn void usage(const char *program, const char *what, const struct option_row *rows, size_t count)
{
    static const char *const kinds[] = {" TEXT", " NUMBER", " SECONDS", "", " ADDRESS:PORT"};
    fprintf(stderr, "%s: %s\n", program, what);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "  --%s%s: %s\n", rows[i].name, kinds[rows[i].kind], rows[i].help);
    exit(64);
}

static bool option_take(const struct option_row *row, const char *value)
{
    char *end = NULL;
    errno = 0;
    switch (row->kind) {
    case OPTION_TEXT:
        *(const char **)row->target = value;
        return true;
    case OPTION_NUMBER:
        *(uint64_t *)row->target = strtoull(value, &end, 10);
        return errno == 0 && end != value && *end == '\0' && value[0] != '-';
    case OPTION_REAL:
        *(double *)row->target = strtod(value, &end);
        return errno == 0 && end != value && *end == '\0';
    case OPTION_ADDRESS:
        *(struct sockaddr_in *)row->target = address_read(value);
        return true;
    case OPTION_FLAG:
        break;
    }
    return false;
}

void options_read(int argc, char **argv, const char *what, const struct option_row *rows, size_t count)
{
    for (int i = 1; i < argc; i++) {
        size_t row = 0;
        while (row < count && (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, rows[row].name) != 0))
            row++;
        if (row == count)
            usage(argv[0], what, rows, count);
        if (rows[row].kind == OPTION_FLAG) {
            *(bool *)rows[row].target = true;
            continue;
        }
        if (i + 1 == argc || !option_take(&rows[row], argv[++i]))
            usage(argv[0], what, rows, count);
    }
}

struct sockaddr_in address_read(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const char *colon = strrchr(text, ':');
    char host[INET_ADDRSTRLEN];
    errno = 0;
    if (colon == NULL || (size_t)(colon - text) >= sizeof host)
        die("%s is not ADDRESS:PORT", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    char *end = NULL;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1 || end == colon + 1 || *end != '\0' || port > UINT16_MAX)
        die("%s is not ADDRESS:PORT", text);
    address.sin_port = htons((uint16_t)port);
    return address;
}

size_t descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("setrlimit");
    return (size_t)limit.rlim_cur;
}

static void set_option(int fd, int level, int name, int value)
{
    if (setsockopt(fd, level, name, &value, sizeof value) != 0)
        die("setsockopt");
}

int listen_at(struct sockaddr_in *address, enum accept_when when)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (when == ACCEPT_WITH_DATA)
        set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, DEFER_SECONDS);
    socklen_t len = sizeof *address;
    if (bind(fd, (struct sockaddr *)address, len) != 0 || listen(fd, BACKLOG) != 0)
        die("listen at port %u", ntohs(address->sin_port));
    if (getsockname(fd, (struct sockaddr *)address, &len) != 0)
        die("getsockname");
    return fd;
}

int dial_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

void announce(const struct sockaddr_in *address)
{
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    printf("{\"ready\":true,\"address\":\"%s:%u\"}\n", host, ntohs(address->sin_port));
    fflush(stdout);
}
