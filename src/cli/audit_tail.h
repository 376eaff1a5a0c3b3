/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_AUDIT_TAIL_H
#define CLI_AUDIT_TAIL_H

#include "base/err.h"
#include "base/span.h"

/* Prints entries from `from` on to standard output; gives the exit status. */
int audit_tail(const char *dir, uint64_t from, bool json, bool follow);

/* One entry as a line for people; ERR_NO_MEMORY: nothing was printed. */
MUST_CHECK enum err audit_print(uint64_t index, struct span leaf);

#endif
