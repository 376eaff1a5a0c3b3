/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that need nothing but to fail. */
#include "fault_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One row: what it gives, its name, what it gives when it fails, its parameters, its arguments. */
#define CALL(type, name, wrong, parameters, arguments)                                                                 \
    type name parameters                                                                                               \
    {                                                                                                                  \
        REAL(name);                                                                                                    \
        return fault_fails(CALL_##name) ? (wrong) : real arguments;                                                    \
    }

/* ---- files ---- */

CALL(FILE *, fopen, NULL, (const char *restrict path, const char *restrict mode), (path, mode))
CALL(ssize_t, read, -1, (int fd, void *data, size_t len), (fd, data, len))
CALL(ssize_t, pread, -1, (int fd, void *data, size_t len, off_t at), (fd, data, len, at))
CALL(ssize_t, readv, -1, (int fd, const struct iovec *parts, int count), (fd, parts, count))
CALL(ssize_t, writev, -1, (int fd, const struct iovec *parts, int count), (fd, parts, count))
CALL(int, fstat, -1, (int fd, struct stat *out), (fd, out))
CALL(int, stat, -1, (const char *restrict path, struct stat *restrict out), (path, out))
CALL(int, lstat, -1, (const char *restrict path, struct stat *restrict out), (path, out))
CALL(int, fstatat, -1, (int dir, const char *restrict path, struct stat *restrict out, int flags),
     (dir, path, out, flags))
CALL(int, fstatvfs, -1, (int fd, struct statvfs *out), (fd, out))
CALL(off_t, lseek, -1, (int fd, off_t at, int from), (fd, at, from))
CALL(int, flock, -1, (int fd, int what), (fd, what))
CALL(int, access, -1, (const char *path, int mode), (path, mode))
CALL(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
CALL(int, mkdirat, -1, (int dir, const char *path, mode_t mode), (dir, path, mode))
CALL(int, rename, -1, (const char *from, const char *to), (from, to))
CALL(int, unlink, -1, (const char *path), (path))
CALL(int, rmdir, -1, (const char *path), (path))
CALL(int, chmod, -1, (const char *path, mode_t mode), (path, mode))
CALL(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
CALL(int, fchown, -1, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
CALL(int, lchown, -1, (const char *path, uid_t uid, gid_t gid), (path, uid, gid))
CALL(DIR *, opendir, NULL, (const char *path), (path))
CALL(DIR *, fdopendir, NULL, (int fd), (fd))
CALL(struct dirent *, readdir, NULL, (DIR * dir), (dir))
CALL(ssize_t, readlink, -1, (const char *restrict path, char *restrict out, size_t cap), (path, out, cap))
CALL(char *, realpath, NULL, (const char *restrict path, char *restrict out), (path, out))
CALL(char *, getcwd, NULL, (char *out, size_t cap), (out, cap))
CALL(int, inotify_init1, -1, (int flags), (flags))
CALL(int, inotify_add_watch, -1, (int fd, const char *path, uint32_t mask), (fd, path, mask))

int open(const char *path, int flags, ...)
{
    REAL(open);
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fault_fails(CALL_open) ? -1 : real(path, flags, mode);
}

/* What fails is the report: the descriptor is gone all the same, as on Linux. */
int close(int fd)
{
    REAL(close);
    bool fails = fault_fails(CALL_close);
    int error = errno, status = real(fd);
    if (!fails)
        return status;
    errno = error;
    return -1;
}

int fcntl(int fd, int what, ...)
{
    REAL(fcntl);
    va_list args;
    va_start(args, what);
    void *argument = va_arg(args, void *);
    va_end(args);
    return fault_fails(CALL_fcntl) ? -1 : real(fd, what, argument);
}

int ioctl(int fd, unsigned long what, ...)
{
    REAL(ioctl);
    va_list args;
    va_start(args, what);
    void *argument = va_arg(args, void *);
    va_end(args);
    return fault_fails(CALL_ioctl) ? -1 : real(fd, what, argument);
}

/* ---- as a hardened build names them ---- */

extern ssize_t __read_chk(int fd, void *data, size_t len, size_t cap);
extern ssize_t __pread_chk(int fd, void *data, size_t len, off_t at, size_t cap);
extern char *__realpath_chk(const char *path, char *out, size_t cap);

ssize_t __read_chk(int fd, void *data, size_t len, size_t cap)
{
    if (len > cap)
        abort();
    return read(fd, data, len);
}

ssize_t __pread_chk(int fd, void *data, size_t len, off_t at, size_t cap)
{
    if (len > cap)
        abort();
    return pread(fd, data, len, at);
}

char *__realpath_chk(const char *path, char *out, size_t cap)
{
    (void)cap; /* PATH_MAX, or it would not have been compiled */
    return realpath(path, out);
}

/* ---- sockets ---- */

CALL(int, accept4, -1, (int fd, __SOCKADDR_ARG addr, socklen_t *restrict len, int flags), (fd, addr, len, flags))
CALL(int, socket, -1, (int domain, int type, int protocol), (domain, type, protocol))
CALL(int, socketpair, -1, (int domain, int type, int protocol, int out[2]), (domain, type, protocol, out))
CALL(int, bind, -1, (int fd, __CONST_SOCKADDR_ARG addr, socklen_t len), (fd, addr, len))
CALL(int, listen, -1, (int fd, int count), (fd, count))
CALL(int, connect, -1, (int fd, __CONST_SOCKADDR_ARG addr, socklen_t len), (fd, addr, len))
CALL(int, getsockname, -1, (int fd, __SOCKADDR_ARG addr, socklen_t *restrict len), (fd, addr, len))
CALL(int, getpeername, -1, (int fd, __SOCKADDR_ARG addr, socklen_t *restrict len), (fd, addr, len))
CALL(int, getsockopt, -1, (int fd, int level, int name, void *restrict out, socklen_t *restrict len),
     (fd, level, name, out, len))
CALL(int, setsockopt, -1, (int fd, int level, int name, const void *value, socklen_t len),
     (fd, level, name, value, len))
CALL(ssize_t, recv, -1, (int fd, void *data, size_t len, int flags), (fd, data, len, flags))
CALL(ssize_t, recvfrom, -1,
     (int fd, void *restrict data, size_t len, int flags, __SOCKADDR_ARG from, socklen_t *restrict from_len),
     (fd, data, len, flags, from, from_len))
CALL(ssize_t, sendto, -1, (int fd, const void *data, size_t len, int flags, __CONST_SOCKADDR_ARG to, socklen_t to_len),
     (fd, data, len, flags, to, to_len))
CALL(ssize_t, sendmsg, -1, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
CALL(int, getifaddrs, -1, (struct ifaddrs * *out), (out))
CALL(ssize_t, splice, -1, (int in, off64_t *in_at, int out, off64_t *out_at, size_t len, unsigned flags),
     (in, in_at, out, out_at, len, flags))
CALL(int, pipe2, -1, (int fds[2], int flags), (fds, flags))

/* These two fail where nobody is connected any more, and so make it true. */
ssize_t send(int fd, const void *data, size_t len, int flags)
{
    REAL(send);
    static __typeof__(&shutdown) end;
    if (end == NULL)
        *(void **)&end = dlsym(RTLD_NEXT, "shutdown");
    if (!fault_fails(CALL_send))
        return real(fd, data, len, flags);
    int error = errno;
    end(fd, SHUT_RDWR);
    errno = error;
    return -1;
}

int shutdown(int fd, int how)
{
    REAL(shutdown);
    bool fails = fault_fails(CALL_shutdown);
    int error = errno, status = real(fd, fails ? SHUT_RDWR : how);
    if (!fails)
        return status;
    errno = error;
    return -1;
}

/* ---- waiting ---- */

CALL(int, epoll_create1, -1, (int flags), (flags))
CALL(int, epoll_wait, -1, (int set, struct epoll_event *out, int cap, int wait_ms), (set, out, cap, wait_ms))
CALL(int, poll, -1, (struct pollfd * fds, nfds_t count, int wait_ms), (fds, count, wait_ms))
CALL(int, ppoll, -1, (struct pollfd * fds, nfds_t count, const struct timespec *wait, const sigset_t *mask),
     (fds, count, wait, mask))
CALL(int, eventfd, -1, (unsigned count, int flags), (count, flags))
CALL(int, signalfd, -1, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))
CALL(int, timerfd_create, -1, (clockid_t clock, int flags), (clock, flags))
CALL(int, timerfd_settime, -1, (int fd, int flags, const struct itimerspec *at, struct itimerspec *before),
     (fd, flags, at, before))
CALL(int, nanosleep, -1, (const struct timespec *wait, struct timespec *left), (wait, left))

int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
    REAL(epoll_ctl);
    return op == EPOLL_CTL_ADD && fault_fails(CALL_epoll_ctl) ? -1 : real(set, op, fd, event);
}

/* It gives the error itself. */
int pthread_create(pthread_t *restrict out, const pthread_attr_t *restrict how, void *(*run)(void *),
                   void *restrict arg)
{
    REAL(pthread_create);
    return fault_fails(CALL_pthread_create) ? errno : real(out, how, run, arg);
}

/* ---- the process ---- */

CALL(ssize_t, getrandom, -1, (void *out, size_t len, unsigned flags), (out, len, flags))
CALL(int, memfd_create, -1, (const char *name, unsigned flags), (name, flags))
CALL(int, getgroups, -1, (int cap, gid_t out[]), (cap, out))
CALL(int, getrlimit, -1, (__rlimit_resource_t what, struct rlimit *out), (what, out))
CALL(int, setrlimit, -1, (__rlimit_resource_t what, const struct rlimit *value), (what, value))
CALL(void *, mmap, MAP_FAILED, (void *at, size_t len, int rights, int flags, int fd, off_t from),
     (at, len, rights, flags, fd, from))
CALL(pid_t, fork, -1, (void), ())
CALL(pid_t, waitpid, -1, (pid_t pid, int *status, int flags), (pid, status, flags))

#define SYSCALL_ARGUMENTS 6

/* Both take as many words as a call can have, whatever it has. */
static void take_words(va_list list, long words[static SYSCALL_ARGUMENTS])
{
    for (int i = 0; i < SYSCALL_ARGUMENTS; i++)
        words[i] = va_arg(list, long);
}

long syscall(long number, ...)
{
    REAL(syscall);
    long w[SYSCALL_ARGUMENTS];
    va_list list;
    va_start(list, number);
    take_words(list, w);
    va_end(list);
    if (number == SYS_landlock_create_ruleset && fault_fails(CALL_landlock))
        return -1;
    return real(number, w[0], w[1], w[2], w[3], w[4], w[5]);
}

int prctl(int option, ...)
{
    REAL(prctl);
    long w[SYSCALL_ARGUMENTS];
    va_list list;
    va_start(list, option);
    take_words(list, w);
    va_end(list);
    if (option == PR_GET_SECCOMP && fault_fails(CALL_seccomp))
        return -1;
    return real(option, w[0], w[1], w[2], w[3]);
}
