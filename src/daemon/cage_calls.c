/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each kind of thread may ask of the kernel. A call that is not listed, or not with these arguments, raises
 * SIGSYS: the handler says which call of which thread it was, and the program dies of that signal.
 */
#include "cage.h"

#include "base/assert.h"
#include "base/outbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const kind_names[CAGE_KINDS] = {"main", "worker", "writer"};

/* Memory, locks, time, the end: what a C library needs in any thread. */
static const char *const every[] = {
    "brk",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "exit",
    "exit_group",
    "fcntl",
    "fstat",
    "futex",
    "futex_waitv",
    "getcpu",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getrandom",
    "gettid",
    "gettimeofday",
    "getuid",
    "lseek",
    "madvise",
    "membarrier",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "poll",
    "ppoll",
    "pread64",
    "read",
    "readv",
    "restart_syscall",
    "rseq",
    "getrlimit",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    "statx",
    "sysinfo",
    "time",
    "uname",
    "write",
    "writev",
};

/* A worker's: its clients, name servers and upstreams. */
static const char *const traffic[] = {
    "accept4",  "connect",    "dup",      "getpeername", "getsockname",    "getsockopt",      "pipe2",  "recvfrom",
    "recvmmsg", "recvmsg",    "select",   "sendfile",    "sendmmsg",       "sendmsg",         "sendto", "splice",
    "shutdown", "setsockopt", "pselect6", "tee",         "timerfd_create", "timerfd_settime",
};

/* Main's and the writer's: files below the directories of cage_files.c. */
static const char *const files[] = {
    "access",    "chmod",    "chown",           "copy_file_range", "dup",        "faccessat", "faccessat2",
    "fallocate", "fchmod",   "fchmodat",        "fchown",          "fchownat",   "fdatasync", "flock",
    "fstatfs",   "fsync",    "ftruncate",       "getcwd",          "getdents64", "lchown",    "link",
    "linkat",    "lstat",    "mkdir",           "mkdirat",         "open",       "openat",    "pwrite64",
    "pwritev",   "readlink", "readlinkat",      "rename",          "renameat",   "renameat2", "rmdir",
    "stat",      "statfs",   "sync_file_range", "umask",           "unlink",     "unlinkat",  "utimensat",
};

/* Main's: the admin socket, sockets of sessions, the service manager, watched files, the signer's end. */
static const char *const main_only[] = {
    "accept4",    "bind",     "connect",   "getgroups",      "getpeername",       "getsockname",
    "getsockopt", "getppid",  "ioctl",     "inotify_init1",  "inotify_add_watch", "inotify_rm_watch",
    "listen",     "pipe2",    "recvfrom",  "recvmsg",        "sendmsg",           "sendto",
    "setsockopt", "shutdown", "signalfd4", "timerfd_create", "timerfd_settime",   "wait4",
    "waitid",
};

/* The writer's: it speaks with the signer over the socket that there is. */
static const char *const writer_only[] = {"recvfrom", "recvmsg", "sendmsg", "sendto", "shutdown", "wait4"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct sock_fprog programs[CAGE_KINDS]; /* never freed: threads begin when they like */
static _Thread_local const char *thread_kind = "a";

static bool allow_all(scmp_filter_ctx filter, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        /* Not on this processor. */
        if (number == __NR_SCMP_ERROR || number < 0)
            continue;
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0) != 0)
            return false;
    }
    return true;
}

static struct scmp_arg_cmp equal(unsigned argument, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0};
}

static struct scmp_arg_cmp masked(unsigned argument, scmp_datum_t mask, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

static bool allow_if(scmp_filter_ctx filter, int call, struct scmp_arg_cmp first, struct scmp_arg_cmp second)
{
    struct scmp_arg_cmp both[] = {first, second};
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, first.arg == second.arg ? 1 : 2, both) == 0;
}

static bool allow_one_if(scmp_filter_ctx filter, int call, struct scmp_arg_cmp only)
{
    return allow_if(filter, call, only, only);
}

/* Nothing that is written becomes code; signals and limits are the own process's alone. */
static bool allow_with_arguments(scmp_filter_ctx filter)
{
    pid_t self = getpid();
    return allow_one_if(filter, SCMP_SYS(mmap), masked(2, PROT_EXEC, 0)) &&
           allow_one_if(filter, SCMP_SYS(mprotect), masked(2, PROT_EXEC, 0)) &&
           allow_one_if(filter, SCMP_SYS(tgkill), equal(0, (scmp_datum_t)self)) &&
           allow_if(filter, SCMP_SYS(prlimit64), equal(0, 0), equal(2, 0));
}

static bool allow_worker(scmp_filter_ctx filter)
{
    return allow_all(filter, traffic, COUNT(traffic)) && allow_one_if(filter, SCMP_SYS(socket), equal(0, AF_INET)) &&
           allow_one_if(filter, SCMP_SYS(socket), equal(0, AF_INET6)) &&
           allow_one_if(filter, SCMP_SYS(openat), masked(2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
}

static bool allow_main(scmp_filter_ctx filter)
{
    return allow_all(filter, files, COUNT(files)) && allow_all(filter, main_only, COUNT(main_only)) &&
           allow_one_if(filter, SCMP_SYS(socket), equal(0, AF_UNIX)) &&
           allow_one_if(filter, SCMP_SYS(kill), equal(1, SIGKILL));
}

static bool allow_kind(scmp_filter_ctx filter, enum cage_kind kind)
{
    switch (kind) {
    case CAGE_WORKER:
        return allow_worker(filter);
    case CAGE_WRITER:
        return allow_all(filter, files, COUNT(files)) && allow_all(filter, writer_only, COUNT(writer_only));
    case CAGE_MAIN:
        return allow_main(filter);
    case CAGE_KINDS:
        break;
    }
    return false;
}

/* libseccomp writes a program to a descriptor alone. */
static bool keep_program(scmp_filter_ctx filter, struct sock_fprog *out)
{
    struct stat st;
    int fd = memfd_create("filter", MFD_CLOEXEC);
    bool good = fd >= 0 && seccomp_export_bpf(filter, fd) == 0 && fstat(fd, &st) == 0 && st.st_size > 0;
    struct sock_filter *code = good ? malloc((size_t)st.st_size) : NULL;
    good = code != NULL && pread(fd, code, (size_t)st.st_size, 0) == st.st_size;
    if (fd >= 0)
        close(fd);
    if (!good) {
        free(code);
        return false;
    }
    *out = (struct sock_fprog){.len = (unsigned short)((size_t)st.st_size / sizeof *code), .filter = code};
    return true;
}

static bool prepare(enum cage_kind kind)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    if (filter == NULL)
        return false;
    /* A binary tree; the kernel remembers the calls that are allowed whatever their arguments are. */
    bool good = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0 &&
                seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0 && allow_all(filter, every, COUNT(every)) &&
                allow_with_arguments(filter) && allow_kind(filter, kind) && keep_program(filter, &programs[kind]);
    seccomp_release(filter);
    return good;
}

/* SA_RESETHAND: the second time, nobody handles it. */
static void on_forbidden(int number, siginfo_t *info, void *context)
{
    char text[160];
    (void)context;
    struct outbuf out = outbuf_make(text, sizeof text);
    outbuf_text(&out, "error the cage: ");
    outbuf_text(&out, thread_kind);
    outbuf_text(&out, " thread asked the kernel for call ");
    outbuf_u64(&out, (uint64_t)(unsigned)info->si_syscall);
    outbuf_text(&out, ", which is not one of its own: the program ends\n");
    ssize_t ignored = write(STDERR_FILENO, text, out.len);
    (void)ignored;
    raise(number);
}

bool calls_supported(void)
{
    return prctl(PR_GET_SECCOMP) >= 0 && seccomp_api_get() >= 3; /* SECCOMP_RET_KILL_PROCESS */
}

enum err calls_prepare(void)
{
    struct sigaction loud = {.sa_sigaction = on_forbidden, .sa_flags = SA_SIGINFO | (int)SA_RESETHAND | SA_NODEFER};
    sigemptyset(&loud.sa_mask);
    if (sigaction(SIGSYS, &loud, NULL) != 0)
        return ERR_IO;
    for (int kind = 0; kind < CAGE_KINDS; kind++)
        if (!prepare((enum cage_kind)kind))
            return ERR_NO_MEMORY;
    return ERR_NONE;
}

enum err calls_close(enum cage_kind kind)
{
    ASSERT(programs[kind].filter != NULL);
    thread_kind = kind_names[kind];
    return prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, &programs[kind], 0, 0) == 0 ? ERR_NONE : ERR_DENIED;
}
