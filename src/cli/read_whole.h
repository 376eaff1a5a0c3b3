/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_READ_WHOLE_H
#define CLI_READ_WHOLE_H

#include <stddef.h>

/* Everything up to the end, with a NUL behind it; the caller frees it. NULL: no memory, or there are `max` bytes or more.
 * What could not be read on ends it as the end does: whoever calls knows what makes it whole. */
char *read_whole(int fd, size_t max, size_t *out_len);

#endif
