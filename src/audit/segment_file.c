/* SPDX-License-Identifier: Apache-2.0 */
#include "log_private.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static enum err remember(struct audit_log *log, int fd, uint64_t first, uint64_t bytes)
{
    struct stat st;
    char name[SEGMENT_NAME_LEN + 1];
    segment_name(first, name);
    /* A second descriptor for reading: should somebody remove the file, its entries can still be put back. */
    int read_fd = openat(log->segments_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (read_fd < 0 || fstat(fd, &st) != 0) {
        if (read_fd >= 0)
            close(read_fd);
        return ERR_IO;
    }
    log->segment = (struct segment_file){
        .fd = fd,
        .first = first,
        .bytes = bytes,
        .opened_ns = clock_mono_ns(),
        .device = st.st_dev,
        .inode = st.st_ino,
        .read_fd = read_fd,
    };
    return ERR_NONE;
}

/* File systems without fallocate are found full at a write instead. */
static enum err reserve(struct audit_log *log, int fd)
{
    int error = log->io->reserve(fd, log->segment_bytes);
    if (error == 0 || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL)
        return ERR_NONE;
    errno = error;
    return ERR_IO;
}

static void close_both(const struct segment_file *segment)
{
    if (segment->fd >= 0)
        close(segment->fd);
    if (segment->read_fd >= 0)
        close(segment->read_fd);
}

/* A segment of that name in which nothing was ever committed is in the way: kept, but elsewhere. */
static enum err set_aside(struct audit_log *log, const char *name)
{
    struct stat st;
    char aside[64];
    if (fstatat(log->segments_dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? ERR_NONE : ERR_IO;
    if (st.st_size == 0 && S_ISREG(st.st_mode))
        return unlinkat(log->segments_dir, name, 0) == 0 ? ERR_NONE : ERR_IO;
    snprintf(aside, sizeof aside, "%s.%llu", name, (unsigned long long)clock_mono_ns());
    return renameat(log->segments_dir, name, log->quarantine_dir, aside) == 0 ? ERR_NONE : ERR_IO;
}

static int create(struct audit_log *log, uint64_t first, char *name)
{
    segment_name(first, name);
    if (set_aside(log, name) != ERR_NONE)
        return -1;
    return openat(log->segments_dir, name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* The new file takes the place of the present one, or disappears again. */
static enum err settle(struct audit_log *log, int fd, const char *name, uint64_t first, uint64_t bytes, enum err err)
{
    struct segment_file old = log->segment;
    if (err == ERR_NONE && (fsync(fd) != 0 || fsync(log->segments_dir) != 0))
        err = ERR_IO;
    if (err == ERR_NONE)
        err = remember(log, fd, first, bytes);
    if (err != ERR_NONE) {
        int error = errno;
        close(fd);
        unlinkat(log->segments_dir, name, 0);
        errno = error;
        return err;
    }
    close_both(&old);
    return ERR_NONE;
}

enum err segment_file_begin(struct audit_log *log)
{
    char name[SEGMENT_NAME_LEN + 1];
    int fd = create(log, log->tree.size, name);
    if (fd < 0)
        return ERR_IO;
    return settle(log, fd, name, log->tree.size, 0, reserve(log, fd));
}

static enum err copy(int from, int to, uint64_t bytes)
{
    uint8_t buffer[65536];
    for (uint64_t done = 0; done < bytes;) {
        size_t want = bytes - done < sizeof buffer ? (size_t)(bytes - done) : sizeof buffer;
        ssize_t got = pread(from, buffer, want, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || io_write_all(to, span_make(buffer, (size_t)got)) != ERR_NONE)
            return ERR_IO;
        done += (uint64_t)got;
    }
    return ERR_NONE;
}

enum err segment_file_restore(struct audit_log *log)
{
    char name[SEGMENT_NAME_LEN + 1];
    struct segment_file *s = &log->segment;
    if (s->read_fd < 0)
        return ERR_IO;
    int fd = create(log, s->first, name);
    if (fd < 0)
        return ERR_IO;
    return settle(log, fd, name, s->first, s->bytes, copy(s->read_fd, fd, s->bytes));
}

enum err segment_file_continue(struct audit_log *log, uint64_t first, uint64_t bytes)
{
    char name[SEGMENT_NAME_LEN + 1];
    segment_name(first, name);
    int fd = openat(log->segments_dir, name, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return ERR_IO;
    enum err err = remember(log, fd, first, bytes);
    if (err == ERR_NONE && bytes < log->segment_bytes)
        err = reserve(log, fd);
    if (err != ERR_NONE) {
        log->segment.fd = fd;
        segment_file_close(log);
    }
    return err;
}

void segment_file_abandon(struct audit_log *log)
{
    struct segment_file *s = &log->segment;
    /* What a failed write left is cut if the disk lets us; where it does not, the next segment takes over at its index. */
    if (s->fd >= 0 && ftruncate(s->fd, (off_t)s->bytes) != 0)
        errno = 0;
    segment_file_close(log);
}

void segment_file_close(struct audit_log *log)
{
    close_both(&log->segment);
    log->segment.fd = log->segment.read_fd = -1;
}

bool segment_file_has_room(const struct audit_log *log)
{
    struct statvfs fs;
    if (fstatvfs(log->segments_dir, &fs) != 0)
        return true; /* not known: a write will tell */
    return (uint64_t)fs.f_bavail * fs.f_frsize >= log->reserve_bytes;
}

bool segment_file_is_ours(const struct audit_log *log)
{
    struct stat path;
    char name[SEGMENT_NAME_LEN + 1];
    segment_name(log->segment.first, name);
    /* While it is open its number cannot belong to another file: one look at the name says all about the file. */
    return fstatat(log->segments_dir, name, &path, AT_SYMLINK_NOFOLLOW) == 0 && path.st_nlink == 1 &&
           path.st_dev == log->segment.device && path.st_ino == log->segment.inode;
}
