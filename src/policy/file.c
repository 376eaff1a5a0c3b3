/* SPDX-License-Identifier: Apache-2.0 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LINKS_MAX 40

struct walk {
    const char *path;
    const struct file_rules *rules;
    struct diag *diag;
    const char *from;
    uint32_t line, column;
    int dir;                 /* where we stand, O_PATH */
    char rest[2 * PATH_MAX]; /* what is still to be walked */
    char here[PATH_MAX];     /* where we stand, for messages; cut when long */
    unsigned links;
    bool group_said;
};

__attribute__((format(printf, 4, 5))) static void say(const struct walk *w, enum severity severity, const char *code,
                                                      const char *format, ...)
{
    char text[480];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct finding *f = w->from != NULL
                            ? diag_add(w->diag, severity, code, w->from, w->line, w->column, "%s: %s", w->path, text)
                            : diag_add(w->diag, severity, code, w->path, 0, 0, "%s", text);
    if (strcmp(code, "not_trusted") == 0)
        diag_fix(f, "policies are read only from files that root or the running user owns and nobody else can write: "
                    "chown and chmod go-w");
}

static enum err say_errno(const struct walk *w)
{
    say(w, SEVERITY_ERROR, "unreadable", "%s", strerror(errno));
    return ERR_IO;
}

/* ---- trust ---- */

static bool owner_is_good(const struct stat *st)
{
    return st->st_uid == 0 || st->st_uid == geteuid();
}

static bool judge_group(struct walk *w, const struct stat *st, const char *what)
{
    if ((st->st_mode & S_IWGRP) == 0)
        return true;
    if (!w->group_said)
        say(w, w->rules->strict ? SEVERITY_ERROR : SEVERITY_LINT, "not_trusted", "%s%s%s is writable by its group",
            what, what[0] == '\0' ? "the file" : " ", what[0] == '\0' ? "" : w->here);
    w->group_said = true;
    return !w->rules->strict;
}

static enum err judge_directory(struct walk *w)
{
    struct stat st;
    if (fstat(w->dir, &st) != 0)
        return say_errno(w);
    struct statvfs vfs;
    if (fstatvfs(w->dir, &vfs) == 0 && (vfs.f_flag & ST_RDONLY) != 0)
        return ERR_NONE;
    if (!owner_is_good(&st)) {
        say(w, SEVERITY_ERROR, "not_trusted", "the directory %s belongs to another user", w->here);
        return ERR_INVALID;
    }
    if ((st.st_mode & S_ISVTX) != 0)
        return ERR_NONE;
    if ((st.st_mode & S_IWOTH) != 0) {
        say(w, SEVERITY_ERROR, "not_trusted", "everybody can write the directory %s", w->here);
        return ERR_INVALID;
    }
    return judge_group(w, &st, "the directory") ? ERR_NONE : ERR_INVALID;
}

static enum err judge_file(struct walk *w, const struct stat *st)
{
    if (!S_ISREG(st->st_mode)) {
        say(w, SEVERITY_ERROR, "not_a_file", "it is not a regular file");
        return ERR_INVALID;
    }
    if (!owner_is_good(st)) {
        say(w, SEVERITY_ERROR, "not_trusted", "the file belongs to another user");
        return ERR_INVALID;
    }
    if ((st->st_mode & S_IWOTH) != 0) {
        say(w, SEVERITY_ERROR, "not_trusted", "everybody can write the file");
        return ERR_INVALID;
    }
    return judge_group(w, st, "") ? ERR_NONE : ERR_INVALID;
}

/* ---- the way ---- */

static void now_here(struct walk *w, const char *name)
{
    size_t len = strlen(w->here);
    if (name[0] == '/')
        len = 0;
    bool slash = len > 0 && w->here[len - 1] != '/';
    snprintf(w->here + len, sizeof w->here - len, "%s%s", slash ? "/" : "", name);
}

static enum err enter(struct walk *w, const char *name)
{
    int next = openat(w->dir < 0 ? AT_FDCWD : w->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0)
        return say_errno(w);
    if (w->dir >= 0)
        close(w->dir);
    w->dir = next;
    now_here(w, name);
    return judge_directory(w);
}

/* Begins at the root, or where the process stands: then the directories above that are on the way as well. */
static enum err begin(struct walk *w)
{
    const char *path = w->path;
    char cwd[PATH_MAX];
    int len;
    if (path[0] == '/')
        len = snprintf(w->rest, sizeof w->rest, "%s", path);
    else if (getcwd(cwd, sizeof cwd) != NULL)
        len = snprintf(w->rest, sizeof w->rest, "%s/%s", cwd, path);
    else
        return say_errno(w);
    if (len < 0 || (size_t)len >= sizeof w->rest) {
        errno = ENAMETOOLONG;
        return say_errno(w);
    }
    return enter(w, "/");
}

/* Cuts the next name off `rest`; false at the end. */
static bool next_name(struct walk *w, char name[static NAME_MAX + 1], bool *too_long)
{
    size_t at = strspn(w->rest, "/");
    size_t len = strcspn(w->rest + at, "/");
    *too_long = len > NAME_MAX;
    if (len == 0 || *too_long)
        return false;
    memcpy(name, w->rest + at, len);
    name[len] = '\0';
    memmove(w->rest, w->rest + at + len, strlen(w->rest + at + len) + 1);
    return true;
}

static enum err follow(struct walk *w, const char *name)
{
    char link[PATH_MAX];
    ssize_t len = readlinkat(w->dir, name, link, sizeof link);
    if (len < 0)
        return say_errno(w);
    size_t rest = strlen(w->rest);
    if (++w->links > LINKS_MAX || (size_t)len + 1 + rest >= sizeof w->rest || (size_t)len == sizeof link) {
        errno = ELOOP;
        return say_errno(w);
    }
    memmove(w->rest + len + 1, w->rest, rest + 1);
    memcpy(w->rest, link, (size_t)len);
    w->rest[len] = '/';
    return link[0] == '/' ? enter(w, "/") : ERR_NONE;
}

static bool is_last(const struct walk *w)
{
    return w->rest[strspn(w->rest, "/")] == '\0';
}

/* O_NONBLOCK so that a FIFO in the place of a file does not hold us; fstat then refuses it. */
static enum err open_last(struct walk *w, const char *name, int *out_fd)
{
    int fd = openat(w->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return say_errno(w);
    *out_fd = fd;
    return ERR_NONE;
}

static enum err step(struct walk *w, const char *name, int *out_fd)
{
    struct stat st;
    if (fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return say_errno(w);
    if (S_ISLNK(st.st_mode))
        return follow(w, name);
    return is_last(w) ? open_last(w, name, out_fd) : enter(w, name);
}

static enum err walk_to(struct walk *w, int *out_fd)
{
    char name[NAME_MAX + 1];
    bool too_long = false;
    enum err err = begin(w);
    while (err == ERR_NONE && *out_fd < 0) {
        if (!next_name(w, name, &too_long)) {
            errno = too_long ? ENAMETOOLONG : EISDIR;
            return say_errno(w);
        }
        err = step(w, name, out_fd);
    }
    return err;
}

/* ---- reading ---- */

static struct policy_mark mark_of(const struct stat *st)
{
    return (struct policy_mark){
        .device = st->st_dev,
        .inode = st->st_ino,
        .size = (uint64_t)st->st_size,
        .mtime_ns = st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec,
        .ctime_ns = st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec,
        .owner = st->st_uid,
    };
}

bool policy_mark_equal(const struct policy_mark *a, const struct policy_mark *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns && a->owner == b->owner;
}

enum err policy_mark_of(const char *path, struct policy_mark *out)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return ERR_IO;
    *out = mark_of(&st);
    return ERR_NONE;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    struct policy_mark first = mark_of(a), second = mark_of(b);
    return policy_mark_equal(&first, &second);
}

static enum err read_all(const struct walk *w, int fd, const struct stat *before, struct file_bytes *out)
{
    size_t size = (size_t)before->st_size, len = 0;
    uint8_t *data = malloc(size + 1);
    if (data == NULL)
        return ERR_NO_MEMORY;
    /* One byte more than its size is asked for: a file that grew is a file that changed. */
    while (len < size + 1) {
        ssize_t got = read(fd, data + len, size + 1 - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    struct stat after;
    if (len != size || fstat(fd, &after) != 0 || !same_file(before, &after)) {
        free(data);
        say(w, SEVERITY_ERROR, "changed", "the file changed while it was read");
        return ERR_INVALID;
    }
    *out = (struct file_bytes){.data = data, .len = len, .mark = mark_of(before)};
    return ERR_NONE;
}

static enum err read_checked(struct walk *w, int fd, struct file_bytes *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return say_errno(w);
    enum err err = judge_file(w, &st);
    if (err != ERR_NONE)
        return err;
    if (st.st_size < 0 || (uint64_t)st.st_size > w->rules->max_bytes) {
        say(w, SEVERITY_ERROR, "too_big", "the file has %lld bytes, more than the %zu allowed", (long long)st.st_size,
            w->rules->max_bytes);
        return ERR_INVALID;
    }
    return read_all(w, fd, &st, out);
}

enum err file_read(const char *path, const struct file_rules *rules, struct diag *diag, const char *from, uint32_t line,
                   uint32_t column, struct file_bytes *out)
{
    struct walk *w = calloc(1, sizeof *w); /* two long paths: too much for a stack that is not ours */
    if (w == NULL)
        return ERR_NO_MEMORY;
    *w = (struct walk){
        .path = path, .rules = rules, .diag = diag, .from = from, .line = line, .column = column, .dir = -1};
    int fd = -1;
    enum err err = walk_to(w, &fd);
    if (err == ERR_NONE)
        err = read_checked(w, fd, out);
    if (fd >= 0)
        close(fd);
    if (w->dir >= 0)
        close(w->dir);
    free(w);
    return err;
}

enum err file_beside(const char *from, struct span path, char *out, size_t cap)
{
    const char *slash = strrchr(from, '/');
    size_t dir = path.len > 0 && path.data[0] == '/' ? 0 : slash == NULL ? 0 : (size_t)(slash - from) + 1;
    if (path.len == 0 || memchr(path.data, 0, path.len) != NULL || dir + path.len >= cap)
        return ERR_TOO_BIG;
    memcpy(out, from, dir);
    memcpy(out + dir, path.data, path.len);
    out[dir + path.len] = '\0';
    return ERR_NONE;
}
