/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy of one command: `run`, in a child that nobody can trace or dump, with the socket that its parent has
 * opened, so that the file belongs to whoever runs the command, whatever account the proxy takes.
 */
#include "exec.h"

#include "cli/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAIN_MS  2000
#define LISTEN_FD 3 /* where a service manager hands over its first socket */
#define READY_FD  4
#define READY_MS  20000
#define READY_MAX 65536

/* Nothing at all may leave. */
static const char tightest[] = "name: exec\nconfig:\n  type: self_hosted\n  networking:\n    type: limited\n";

bool exec_write_tightest(struct exec *e)
{
    if ((size_t)snprintf(e->policy_text, sizeof e->policy_text, "%s/policy.yaml", e->home) >= sizeof e->policy_text)
        return exec_failed(e->home);
    int fd = open(e->policy_text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    /* For the account of the proxy, which is another one where root starts it. */
    bool done = fd >= 0 && fchmod(fd, 0644) == 0 && write(fd, tightest, sizeof tightest - 1) == sizeof tightest - 1;
    if (!done)
        exec_failed(e->policy_text);
    if (fd >= 0)
        close(fd);
    return done;
}

/* ---- the child ---- */

/* By a name relative to its folder: an address has room for 107 bytes. */
static int open_door(const struct exec *e)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "proxy.sock"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t before = umask(0177);
    bool open = fd >= 0 && chdir(e->door) == 0 && bind(fd, (const struct sockaddr *)&addr, sizeof addr) == 0 &&
                listen(fd, SOMAXCONN) == 0;
    umask(before);
    if (!open)
        exec_failed("the socket of the sandbox");
    return open ? fd : -1;
}

/* As if a service manager had started us; true if the descriptors stand where they must. */
static bool hand_over(int door, int ready, const char *log_path)
{
    char pid[16];
    /* Out of the way of the numbers that they go to. */
    int high_door = fcntl(door, F_DUPFD_CLOEXEC, 16), high_ready = fcntl(ready, F_DUPFD_CLOEXEC, 16);
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (high_door < 0 || high_ready < 0 || log < 0 || null < 0)
        return exec_failed("descriptors of the proxy");
    if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 ||
        dup2(high_door, LISTEN_FD) < 0 || dup2(high_ready, READY_FD) < 0)
        return false;
    /* What whoever started us had open besides is none of the proxy's business. */
    close_range(READY_FD + 1, ~0u, 0);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    clearenv();
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    supervisor_read_environment();
    clearenv();
    return fcntl(READY_FD, F_SETFD, FD_CLOEXEC) == 0;
}

static _Noreturn void be_proxy(const struct exec *e, int ready)
{
    static struct daemon_options o;
    static char admin[EXEC_PATH_MAX], log_path[EXEC_PATH_MAX];
    int door = open_door(e);
    snprintf(admin, sizeof admin, "%s/run/a.sock", e->home);
    snprintf(log_path, sizeof log_path, "%s/proxy.log", e->home);
    if (door < 0 || setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0)
        _exit(1);
    sigprocmask(SIG_SETMASK, &e->mask_before, NULL);
    if (!hand_over(door, ready, log_path))
        _exit(1);
    o = (struct daemon_options){
        .policy_path = e->policy_text,
        .egress_path = e->egress_path != NULL ? e->egress_text : NULL,
        .audit_dir = e->audit,
        .signer_dir = e->signer,
        .admin_path = admin,
        .fixed = true,
        .workers = 1,
        .drain_ms = DRAIN_MS,
        .ready_fd = READY_FD,
        .dns_count = e->dns_count,
        .listen = {{.is_unix = true, .path = "proxy.sock"}},
        .listen_count = 1,
    };
    memcpy(o.dns, e->dns, sizeof o.dns);
    /* Not exit(): what the parent registered for its own end is not ours to run. */
    _exit(daemon_run(&o));
}

/* ---- the parent ---- */

static size_t read_line(int fd, char *text, size_t cap)
{
    size_t len = 0;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (len + 1 < cap && (len == 0 || text[len - 1] != '\n') && poll(&wait, 1, READY_MS) == 1) {
        ssize_t n = read(fd, text + len, cap - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    return len;
}

/* Its own words say best why it did not start. */
static void show_log(const struct exec *e)
{
    char path[EXEC_PATH_MAX], text[8192];
    snprintf(path, sizeof path, "%s/proxy.log", e->home);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    size_t len = fread(text, 1, sizeof text, file);
    fwrite(text, 1, len, stderr);
    fclose(file);
}

static bool take_ready(struct exec *e, int fd)
{
    static char text[READY_MAX];
    size_t len = read_line(fd, text, sizeof text);
    json_t *line = json_loadb(text, len, 0, NULL);
    const char *key = json_string_value(json_object_get(line, "audit_key"));
    if (key != NULL)
        snprintf(e->key, sizeof e->key, "%s", key);
    json_decref(line);
    return key != NULL;
}

bool exec_proxy_start(struct exec *e)
{
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0)
        return exec_failed("a pipe");
    e->proxy = fork();
    if (e->proxy == 0)
        be_proxy(e, ready[1]);
    close(ready[1]);
    e->proxy_ready = ready[0];
    if (e->proxy > 0)
        return true;
    e->proxy = 0;
    return exec_failed("the proxy");
}

int exec_proxy_wait(struct exec *e)
{
    if (e->proxy_ready == 0)
        return 0;
    bool up = take_ready(e, e->proxy_ready);
    close(e->proxy_ready);
    e->proxy_ready = 0;
    if (up)
        return 0;
    int status = 0;
    kill(e->proxy, SIGKILL);
    waitpid(e->proxy, &status, 0);
    e->proxy = 0;
    show_log(e);
    fputs("sallyport exec: the proxy did not start, so the command did not either\n", stderr);
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CONFIG ? EXIT_CONFIG : 1;
}
