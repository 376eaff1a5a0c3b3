/* SPDX-License-Identifier: Apache-2.0 */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC)
#define RELAY      "sallyport-relay"
#define RELAY_ARGS 12

static void say_no_namespaces(int error)
{
    fprintf(stderr, "sallyport exec: namespaces cannot be made: %s\n", strerror(error));
    if (error == EPERM || error == EACCES)
        fputs("sallyport exec: unprivileged user namespaces are off (sysctl kernel.unprivileged_userns_clone=0, "
              "kernel.apparmor_restrict_unprivileged_userns=1, or a container's seccomp profile)\n",
              stderr);
    else if (error == ENOSPC || error == EUSERS)
        fputs("sallyport exec: user namespaces are off or used up (sysctl user.max_user_namespaces)\n", stderr);
}

/* ---- in the sandbox ---- */

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (!done)
        exec_failed(path);
    if (fd >= 0)
        close(fd);
    return done;
}

/* Whoever started us stays who he is, and there is nobody else. */
static bool map_self(uid_t uid, gid_t gid)
{
    char users[64], groups[64];
    snprintf(users, sizeof users, "%u %u 1\n", (unsigned)uid, (unsigned)uid);
    snprintf(groups, sizeof groups, "%u %u 1\n", (unsigned)gid, (unsigned)gid);
    return write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/uid_map", users) &&
           write_file("/proc/self/gid_map", groups);
}

static bool loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (!up)
        exec_failed("the loopback of the sandbox");
    if (fd >= 0)
        close(fd);
    return up;
}

/* For good: root in here must not get powers back by executing something. */
static bool drop_powers(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    for (unsigned long cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap) != 0)
            return exec_failed("dropping capabilities");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED) != 0 ||
        syscall(SYS_capset, &head, none) != 0)
        return exec_failed("dropping capabilities");
    return true;
}

struct start {
    const struct exec *exec;
    uid_t uid;
    gid_t gid;
    int relay, ready, go; /* descriptors */
    char cwd[EXEC_PATH_MAX];
};

static _Noreturn void become_relay(const struct start *s)
{
    static char ready[16];
    size_t words = 0;
    while (s->exec->command[words] != NULL)
        words++;
    char **argv = calloc(words + RELAY_ARGS, sizeof *argv);
    if (argv == NULL)
        _exit(1);
    snprintf(ready, sizeof ready, "%d", s->ready);
    const char *const first[] = {RELAY, "--to", "unix:/run/sallyport/proxy.sock", "--env", "--ready-fd", ready, "--"};
    memcpy(argv, first, sizeof first); /* exec takes pointers to what it does not change */
    memcpy(argv + sizeof first / sizeof first[0], s->exec->command, words * sizeof *argv);
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    fcntl(s->ready, F_SETFD, 0); /* the relay closes it before the command starts */
    sigprocmask(SIG_SETMASK, &s->exec->mask_before, NULL);
    fexecve(s->relay, argv, environ);
    exec_failed(RELAY);
    _exit(1);
}

/* Some systems let everybody make a user namespace and refuse what it is for. */
static bool enter(const struct start *s)
{
    if (map_self(s->uid, s->gid) && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        return true;
    say_no_namespaces(errno);
    return false;
}

/* Until there is a proxy; nothing comes when there will be none. */
static bool wait_go(int fd)
{
    char go;
    ssize_t n;
    do
        n = read(fd, &go, 1);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

static _Noreturn void be_first(const struct start *s)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || !enter(s) || !exec_mounts(s->exec, s->cwd) || !loopback_up() ||
        !drop_powers() || !exec_filter() || !wait_go(s->go))
        _exit(1);
    become_relay(s);
}

/* ---- outside ---- */

/* It stands beside this program. */
static int open_relay(void)
{
    char path[EXEC_PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - sizeof RELAY - 1);
    if (len <= 0) {
        exec_failed("/proc/self/exe");
        return -1;
    }
    path[len] = '\0';
    snprintf(strrchr(path, '/') + 1, sizeof RELAY, "%s", RELAY);
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        exec_failed(path);
    return fd;
}

/* The relay says so when it listens; nothing comes when the sandbox could not be made, which it said itself. */
static bool wait_ready(int fd)
{
    char text[256];
    ssize_t n;
    do
        n = read(fd, text, sizeof text);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

bool exec_sandbox_make(struct exec *e)
{
    static struct start s;
    int ready[2] = {-1, -1}, go[2] = {-1, -1};
    s = (struct start){.exec = e, .uid = geteuid(), .gid = getegid(), .relay = open_relay()};
    if (s.relay < 0)
        return false;
    if (getcwd(s.cwd, sizeof s.cwd) == NULL || s.cwd[0] != '/')
        memcpy(s.cwd, "/", 2);
    if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(go, O_CLOEXEC) != 0)
        return exec_failed("a pipe");
    s.ready = ready[1];
    s.go = go[0];
    fflush(NULL);
    e->sandbox = (pid_t)syscall(SYS_clone, (unsigned long)(NAMESPACES | SIGCHLD), 0UL, 0UL, 0UL, 0UL);
    if (e->sandbox == 0) {
        close(go[1]); /* or it would wait for itself */
        be_first(&s);
    }
    int error = errno;
    close(ready[1]);
    close(go[0]);
    close(s.relay);
    e->sandbox_ready = ready[0];
    e->sandbox_go = go[1];
    if (e->sandbox > 0)
        return true;
    e->sandbox = 0;
    say_no_namespaces(error);
    return false;
}

bool exec_sandbox_go(struct exec *e)
{
    bool up = write(e->sandbox_go, "g", 1) == 1 && wait_ready(e->sandbox_ready);
    exec_sandbox_stay(e);
    return up;
}

void exec_sandbox_stay(struct exec *e)
{
    if (e->sandbox_go > 0)
        close(e->sandbox_go);
    if (e->sandbox_ready > 0)
        close(e->sandbox_ready);
    e->sandbox_go = e->sandbox_ready = 0;
}
