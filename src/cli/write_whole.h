/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_WRITE_WHOLE_H
#define CLI_WRITE_WHOLE_H

#include <stdbool.h>
#include <stddef.h>

/* All of it, in as many writes as it takes; false with errno when one fails. */
bool write_whole(int fd, const char *text, size_t len);

#endif
