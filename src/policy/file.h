/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file: opens what a policy is made of, under one rule. Symbolic links are followed, one by one; every directory on the
 * way and the file at the end must be owned by root or by the effective user and must not be writable by others. A
 * sticky directory and one on a read-only mount pass. The file must be regular, and the same before and after it was
 * read.
 */
#ifndef POLICY_FILE_H
#define POLICY_FILE_H

#include "base/err.h"
#include "base/span.h"
#include "policy/policy.h"

struct file_rules {
    size_t max_bytes;
    bool strict; /* what the group may write is an error, not a lint */
};

struct file_bytes {
    uint8_t *data; /* heap, the caller's; has one byte of room behind `len` */
    size_t len;
    struct policy_mark mark;
};

/* ERR_INVALID: not trusted or too big; ERR_IO: cannot be read. Both are said in diag, at the place that names it
 * (`from` may be NULL: then the finding is about `path` itself). */
MUST_CHECK enum err file_read(const char *path, const struct file_rules *rules, struct diag *diag, const char *from,
                              uint32_t line, uint32_t column, struct file_bytes *out);

/* `path` as seen from the directory of the file `from`; ERR_TOO_BIG when it does not fit. */
MUST_CHECK enum err file_beside(const char *from, struct span path, char *out, size_t cap);

#endif
