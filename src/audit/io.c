/* SPDX-License-Identifier: Apache-2.0 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int reserve_space(int fd, uint64_t bytes)
{
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) == 0 ? 0 : errno;
}

const struct audit_io audit_io_real = {.write = write, .datasync = fdatasync, .reserve = reserve_space};

enum err io_write_all(int fd, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.data, bytes.len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return ERR_IO;
        bytes = span_from(bytes, (size_t)put);
    }
    return ERR_NONE;
}

static enum err err_of_open(void)
{
    switch (errno) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case ELOOP:
    case ENOTDIR:
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    default:
        return ERR_IO;
    }
}

enum err io_read_file(int dir, const char *name, void *out, size_t cap, size_t *out_len)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return err_of_open();
    struct stat st;
    enum err err = fstat(fd, &st) != 0 ? ERR_IO : S_ISREG(st.st_mode) ? ERR_NONE : ERR_DENIED;
    size_t len = 0;
    while (err == ERR_NONE) {
        uint8_t extra;
        ssize_t got = len < cap ? read(fd, (uint8_t *)out + len, cap - len) : read(fd, &extra, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            err = got < 0 ? ERR_IO : ERR_NONE;
            break;
        }
        if (len == cap)
            err = ERR_TOO_BIG;
        len += (size_t)got;
    }
    close(fd);
    if (err == ERR_NONE)
        *out_len = len;
    return err;
}

enum err io_replace_file(int dir, const char *name, struct span bytes, mode_t mode)
{
    char temporary[280];
    int len = snprintf(temporary, sizeof temporary, ".%s.new", name);
    if (len < 0 || (size_t)len >= sizeof temporary)
        return ERR_TOO_BIG;
    unlinkat(dir, temporary, 0); /* of a start that was killed */
    int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return err_of_open();
    enum err err = io_write_all(fd, bytes);
    if (err == ERR_NONE && fsync(fd) != 0)
        err = ERR_IO;
    int closing = errno;
    close(fd);
    errno = closing;
    if (err == ERR_NONE && (renameat(dir, temporary, dir, name) != 0 || fsync(dir) != 0))
        err = ERR_IO;
    if (err != ERR_NONE) {
        int error = errno;
        unlinkat(dir, temporary, 0);
        errno = error;
    }
    return err;
}

enum err io_subdir(int dir, const char *name, int *out)
{
    if (mkdirat(dir, name, 0700) != 0 && errno != EEXIST)
        return err_of_open();
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_of_open();
    *out = fd;
    return ERR_NONE;
}

const char *io_next_name(DIR *stream, enum err *out_err)
{
    errno = 0;
    const struct dirent *entry = readdir(stream);
    if (entry == NULL && errno != 0)
        *out_err = ERR_IO;
    return entry != NULL ? entry->d_name : NULL;
}
