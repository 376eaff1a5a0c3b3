/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that speak to a running proxy over its admin socket: status, health, reload. */
#include "cli/verbs.h"

#include "base/span.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

struct control_options {
    const char *admin;
};

static const struct argp_option options[] = {
    {"admin",      'a', "unix:PATH", 0, "admin socket (admin.sock under the runtime directory)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct control_options *o = state->input;
    if (key != 'a')
        return ARGP_ERR_UNKNOWN;
    if (strncmp(arg, "unix:", 5) != 0 || arg[5] == '\0')
        argp_error(state, "--admin wants unix:PATH, not '%s'", arg);
    o->admin = arg + 5;
    return 0;
}

/* The same place that `run` chooses when nothing is said. */
static bool default_admin(char *out, size_t cap)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int n;
    if (geteuid() == 0)
        n = snprintf(out, cap, "/run/sallyport/admin.sock");
    else if (runtime != NULL && runtime[0] == '/')
        n = snprintf(out, cap, "%s/sallyport/admin.sock", runtime);
    else if (state != NULL && state[0] == '/')
        n = snprintf(out, cap, "%s/sallyport/run/admin.sock", state);
    else
        n = snprintf(out, cap, "%s/.local/state/sallyport/run/admin.sock", home != NULL ? home : "");
    return n > 0 && (size_t)n < cap;
}

static int connect_admin(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof addr.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)&addr, sizeof addr) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* One request, one answer; prints the body. Gives the HTTP status, or 0 with a message on standard error. */
static int ask(const char *path, const char *method, const char *what)
{
    int fd = connect_admin(path);
    if (fd < 0) {
        fprintf(stderr, "sallyport: nothing answers on unix:%s: %s\n", path, strerror(errno));
        return 0;
    }
    char text[32768];
    int n = snprintf(text, sizeof text,
                     "%s %s HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", method, what);
    size_t len = 0;
    if (n > 0 && write_all(fd, text, (size_t)n))
        for (ssize_t got; len < sizeof text - 1 && (got = read(fd, text + len, sizeof text - 1 - len)) > 0;)
            len += (size_t)got;
    close(fd);
    text[len] = '\0';
    int status = 0;
    if (sscanf(text, "HTTP/1.%*d %d", &status) != 1) {
        fprintf(stderr, "sallyport: the answer on unix:%s cannot be read\n", path);
        return 0;
    }
    const char *body = strstr(text, "\r\n\r\n");
    fputs(body != NULL ? body + 4 : "", status == 200 ? stdout : stderr);
    return status;
}

static int run(int argc, char **argv, const char *doc, const char *method, const char *what)
{
    const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    struct control_options o = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    char path[4096];
    if (o.admin == NULL && !default_admin(path, sizeof path))
        return EXIT_USAGE;
    return ask(o.admin != NULL ? o.admin : path, method, what) == 200 ? 0 : 1;
}

int verb_status(int argc, char **argv)
{
    return run(argc, argv,
               "Prints what a running proxy is doing, as JSON."
               "\vExample:\n  sallyport status --admin unix:/run/sallyport/admin.sock",
               "GET", "/status");
}

int verb_health(int argc, char **argv)
{
    return run(argc, argv,
               "Ends with 0 if a running proxy is ready: a policy in force and an audit log that can be written."
               "\vExample:\n  sallyport health --admin unix:/run/sallyport/admin.sock",
               "GET", "/readyz");
}

int verb_reload(int argc, char **argv)
{
    return run(argc, argv,
               "Makes a running proxy load its policy now, as SIGHUP does. Ends with 1 if the policy was refused: the "
               "previous one stays in force."
               "\vExample:\n  sallyport reload --admin unix:/run/sallyport/admin.sock",
               "POST", "/reload");
}
