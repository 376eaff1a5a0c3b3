/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io: the system calls of the log's hot path behind a table, so that tests can make a disk fail, and small files that
 * are written once and durably.
 */
#ifndef AUDIT_IO_H
#define AUDIT_IO_H

#include "base/err.h"
#include "base/span.h"

#include <dirent.h>
#include <sys/types.h>

struct audit_io {
    ssize_t (*write)(int fd, const void *data, size_t len);
    int (*datasync)(int fd);
    int (*reserve)(int fd, uint64_t bytes); /* fallocate KEEP_SIZE from 0; 0, or errno */
};

extern const struct audit_io audit_io_real;

/* All of `bytes`, or ERR_IO with errno set. */
MUST_CHECK enum err io_write_all(int fd, struct span bytes);

/* A file of at most `cap` bytes; ERR_NOT_FOUND, ERR_TOO_BIG, ERR_DENIED for what is no regular file, ERR_IO. */
MUST_CHECK enum err io_read_file(int dir, const char *name, void *out, size_t cap, size_t *out_len);

/* Temporary file, fsync, rename, fsync of the directory: the file is the old one or the new one. */
MUST_CHECK enum err io_replace_file(int dir, const char *name, struct span bytes, mode_t mode);

/* Makes a directory (0700) below `dir` if there is none and opens it; a link in its place is ERR_DENIED. */
MUST_CHECK enum err io_subdir(int dir, const char *name, int *out);

/* The next name of a directory; NULL at its end, and where it cannot be read on: then *out_err becomes ERR_IO. */
const char *io_next_name(DIR *stream, enum err *out_err);

#endif
