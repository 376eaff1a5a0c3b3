/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may write to the directory of a Unix socket can put his own in its place, and who finds a socket file there
 * cannot know whether a process still listens. So the directory is looked at first, and a file is only taken away when
 * it is a socket and connect(2) is refused.
 */
#include "net/listener.h"

#include "base/outbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 4096

static enum err refuse(char *message, size_t cap, enum err err, const char *path, const char *why)
{
    struct outbuf out = outbuf_make(message, cap > 0 ? cap - 1 : 0);

    outbuf_text(&out, path);
    outbuf_text(&out, ": ");
    outbuf_text(&out, why);
    if (cap > 0) {
        message[out.len] = '\0';
    }
    return err;
}

static enum err refuse_errno(char *message, size_t cap, const char *path)
{
    int error = errno;

    return refuse(message, cap, error == EACCES || error == EPERM ? ERR_DENIED : ERR_IO, path, strerror(error));
}

/* The directory of a path that is shorter than the address of a socket. */
static void parent_of(const char *path, char out[static sizeof(struct sockaddr_un)])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);

    memcpy(out, path, len);
    out[len] = '\0';
    if (len == 0) {
        memcpy(out, slash == NULL ? "." : "/", 2);
    }
}

static enum err check_parent(const char *path, char *message, size_t cap)
{
    char parent[sizeof(struct sockaddr_un)];
    struct stat st;

    parent_of(path, parent);
    if (stat(parent, &st) != 0) {
        return refuse_errno(message, cap, parent);
    }
    if (!S_ISDIR(st.st_mode)) {
        return refuse(message, cap, ERR_DENIED, parent, "is not a directory");
    }
    /* The sticky bit keeps others from removing a file, not from putting one there first. */
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return refuse(message, cap, ERR_DENIED, parent, "others may write to this directory");
    }
    /* root was told this path by its configuration and may serve any account. */
    if (geteuid() != 0 && st.st_uid != 0 && st.st_uid != geteuid()) {
        return refuse(message, cap, ERR_DENIED, parent, "belongs to another user");
    }
    return ERR_NONE;
}

/* Whoever may rename a directory above can put another one in its place; the sticky bit keeps others from that. */
static enum err check_above(const char *path, char *message, size_t cap)
{
    char parent[sizeof(struct sockaddr_un)], above[PATH_MAX];
    struct stat st;

    parent_of(path, parent);
    if (realpath(parent, above) == NULL) {
        return refuse_errno(message, cap, parent);
    }
    for (char *slash = strrchr(above, '/'); slash != NULL; slash = strrchr(above, '/')) {
        slash[slash == above ? 1 : 0] = '\0';
        if (stat(above, &st) != 0) {
            return refuse_errno(message, cap, above);
        }
        if ((st.st_mode & S_IWOTH) != 0 && (st.st_mode & S_ISVTX) == 0) {
            return refuse(message, cap, ERR_DENIED, above, "others may write to this directory");
        }
        if (above[1] == '\0') {
            break;
        }
    }
    return ERR_NONE;
}

/* Takes away the socket file of a process that has gone. */
static enum err remove_stale(const struct sockaddr_un *sa, char *message, size_t cap)
{
    struct stat st;

    if (lstat(sa->sun_path, &st) != 0) {
        return errno == ENOENT ? ERR_NONE : refuse_errno(message, cap, sa->sun_path);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return refuse(message, cap, ERR_EXISTS, sa->sun_path, "exists and is not a socket");
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return refuse_errno(message, cap, sa->sun_path);
    }
    int error = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ? 0 : errno;

    close(fd);
    if (error != ECONNREFUSED) {
        return refuse(message, cap, ERR_EXISTS, sa->sun_path,
                      error == 0 || error == EAGAIN ? "another process listens on it" : "may be in use");
    }
    return unlink(sa->sun_path) == 0 ? ERR_NONE : refuse_errno(message, cap, sa->sun_path);
}

static bool bind_with_mode(int fd, const struct sockaddr_un *sa, mode_t mode)
{
    struct stat st;

    /* The mode of the unbound socket is that of the file, less the umask: never wider than asked, at no time. */
    if (fchmod(fd, mode) != 0 || bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) != 0) {
        return false;
    }
    return lstat(sa->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
           ((st.st_mode & 0777) == mode || chmod(sa->sun_path, mode) == 0);
}

enum err listen_unix(const char *path, unsigned mode, int *out_fd, char *message, size_t message_cap)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (len == 0) {
        return refuse(message, message_cap, ERR_INVALID, path, "empty path of a socket");
    }
    if (len >= sizeof(sa.sun_path)) {
        return refuse(message, message_cap, ERR_TOO_BIG, path, "the path of a socket has at most 107 bytes");
    }
    memcpy(sa.sun_path, path, len);
    enum err err = check_parent(path, message, message_cap);

    if (err == ERR_NONE) {
        err = check_above(path, message, message_cap);
    }
    if (err == ERR_NONE) {
        err = remove_stale(&sa, message, message_cap);
    }
    if (err != ERR_NONE) {
        return err;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return refuse_errno(message, message_cap, path);
    }
    if (!bind_with_mode(fd, &sa, mode & 0777U) || listen(fd, BACKLOG) != 0) {
        err = refuse_errno(message, message_cap, path);
        close(fd);
        return err;
    }
    *out_fd = fd;
    return ERR_NONE;
}
