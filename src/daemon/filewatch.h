/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filewatch: tells when a file that was named by a path may be another one: something was renamed onto one of the names
 * on the way to it, symbolic links included, or a writer has closed it. It does not open the files. Main thread.
 */
#ifndef DAEMON_FILEWATCH_H
#define DAEMON_FILEWATCH_H

#include "base/err.h"

#include <stdbool.h>

struct filewatch;

MUST_CHECK enum err filewatch_new(struct filewatch **out);
void filewatch_free(struct filewatch *watch); /* NULL is allowed */

/* ERR_IO when one of its directories cannot be watched. A file that does not exist is watched for. */
MUST_CHECK enum err filewatch_add(struct filewatch *watch, const char *path);

int filewatch_fd(const struct filewatch *watch); /* readable: call filewatch_read() */
/* True if one of the files may have been replaced or finished. */
bool filewatch_read(struct filewatch *watch);
/* True while somebody has written to one of them and has not closed it. */
bool filewatch_is_dirty(const struct filewatch *watch);

#endif
