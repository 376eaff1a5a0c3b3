/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_AUDIT_TAIL_H
#define CLI_AUDIT_TAIL_H

#include <stdbool.h>
#include <stdint.h>

/* Prints entries from `from` on to standard output; gives the exit status. */
int audit_tail(const char *dir, uint64_t from, bool json, bool follow);

#endif
