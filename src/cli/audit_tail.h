/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_AUDIT_TAIL_H
#define CLI_AUDIT_TAIL_H

#include "base/span.h"

/* Prints entries from `from` on to standard output; gives the exit status. */
int audit_tail(const char *dir, uint64_t from, bool json, bool follow);

/* One entry as a line for people. */
void audit_print(uint64_t index, struct span leaf);

#endif
