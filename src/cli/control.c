/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that speak to a running proxy over its admin socket: status, health, reload. */
#include "cli/verbs.h"
#include "options.h"

#include "audit_verbs.h"
#include "base/span.h"
#include "control.h"
#include "read_whole.h"
#include "write_whole.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (16u * 1024u * 1024u)
#define REASON_MAX 255

#define OPT_COMMIT     1000
#define COMMIT_LETTERS "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-"

struct control_options {
    const char *admin;
    const char *reason;
    const char *commit;
};

/* clang-format off */
static const struct argp_option options[] = {
    {"admin", 'a', "unix:PATH", 0, "admin socket (admin.sock under the runtime directory)", 0},
    {0},
};
/* clang-format on */

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct control_options *o = state->input;
    if (key == 'r') {
        if (strlen(arg) > REASON_MAX || strpbrk(arg, "\r\n") != NULL)
            argp_error(state, "--reason wants one line of at most %d bytes", REASON_MAX);
        o->reason = arg;
        return 0;
    }
    if (key == OPT_COMMIT) {
        if (strlen(arg) > 64 || arg[0] == '\0' || arg[strspn(arg, COMMIT_LETTERS)] != '\0')
            argp_error(state, "--commit wants at most 64 letters, digits, '.', '_' and '-'");
        o->commit = arg;
        return 0;
    }
    if (key != 'a')
        return ARGP_ERR_UNKNOWN;
    if (strncmp(arg, "unix:", 5) != 0 || arg[5] == '\0')
        argp_error(state, "--admin wants unix:PATH, not '%s'", arg);
    o->admin = arg + 5;
    return 0;
}

/* The same place that `run` chooses when nothing is said. */
bool control_default_admin(char *out, size_t cap)
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

int control_fetch(const char *path, const char *method, const char *what, const char *body, char **out_answer)
{
    int fd = connect_admin(path);
    if (fd < 0) {
        fprintf(stderr, "sallyport: nothing answers on unix:%s: %s\n", path, strerror(errno));
        return 0;
    }
    char head[512];
    int n =
        snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                 method, what, strlen(body));
    char *text = NULL;
    size_t len = 0;
    if (n > 0 && write_whole(fd, head, (size_t)n) && write_whole(fd, body, strlen(body)))
        text = read_whole(fd, ANSWER_MAX, &len);
    close(fd);
    int status = 0;
    if (text == NULL || sscanf(text, "HTTP/1.%*d %d", &status) != 1) {
        fprintf(stderr, "sallyport: the answer on unix:%s cannot be read\n", path);
        free(text);
        return 0;
    }
    const char *answer = strstr(text, "\r\n\r\n");
    *out_answer = strdup(answer != NULL ? answer + 4 : "");
    free(text);
    return *out_answer != NULL ? status : 0;
}

int control_ask(const char *path, const char *method, const char *what, const char *body)
{
    char *answer = NULL;
    int status = control_fetch(path, method, what, body, &answer);
    if (status != 0)
        fputs(answer, status == 200 ? stdout : stderr);
    free(answer);
    return status;
}

static int run_with(const struct argp_option *wanted, int argc, char **argv, const char *doc, const char *method,
                    const char *what)
{
    const struct argp argp = {wanted, parse, NULL, doc, NULL, NULL, NULL};
    struct control_options o = {0};
    options_read(&argp, argc, argv, 0, &o);
    char path[4096];
    if (o.admin == NULL && !control_default_admin(path, sizeof path))
        return EXIT_USAGE;
    const char *body = o.reason != NULL ? o.reason : "";
    char target[128];
    snprintf(target, sizeof target, "%s%s%s", what, o.commit != NULL ? "?commit=" : "",
             o.commit != NULL ? o.commit : "");
    return control_ask(o.admin != NULL ? o.admin : path, method, target, body) == 200 ? 0 : 1;
}

static int run(int argc, char **argv, const char *doc, const char *method, const char *what)
{
    return run_with(options, argc, argv, doc, method, what);
}

int verb_status(int argc, char **argv)
{
    return run(argc, argv,
               "Prints what a running proxy is doing, as JSON."
               "\vExample:\n  sallyport status --admin unix:/run/sallyport/admin.sock",
               "GET", "/status");
}

int audit_verb_rotate_key(int argc, char **argv)
{
    return run(
        argc, argv,
        "Hands the audit log of a running proxy over to another signing key and prints its verifier key: a new one, "
        "or given.key of the signer's directory (PEM of an Ed25519 key, mode 0600). The entry that says so holds "
        "both keys, the next checkpoint is signed with both, and the old key is forgotten. Give the new line to "
        "whoever verifies; the old one still leads to it."
        "\vExample:\n  sallyport audit rotate-key --admin unix:/run/sallyport/admin.sock\n\n"
        "Exit status: 0 handed over, 1 not, 64 wrong usage.",
        "POST", "/rotate-key");
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
    /* clang-format off */
    static const struct argp_option with_reason[] = {
        {"admin",  'a',        "unix:PATH", 0, "admin socket (admin.sock under the runtime directory)", 0},
        {"reason", 'r',        "TEXT",      0, "why, one line; kept in the audit log", 0},
        {"commit", OPT_COMMIT, "ID",        0, "of the sources, where they are versioned; kept in the audit log", 0},
        {0},
    };
    /* clang-format on */
    return run_with(with_reason, argc, argv,
                    "Makes a running proxy load its policies now, as SIGHUP does. Ends with 1 if they were refused: "
                    "those before them stay in force."
                    "\vExample:\n  sallyport reload --admin unix:/run/sallyport/admin.sock --reason 'ticket 4711'",
                    "POST", "/reload");
}
