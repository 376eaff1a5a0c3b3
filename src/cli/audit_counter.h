/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's counter of what the program's account sends: the rules that make it, and what it says. */
#ifndef CLI_AUDIT_COUNTER_H
#define CLI_AUDIT_COUNTER_H

#include "audit/verify.h"

/* What `nft -j list counters` printed, in a file. False after saying why. */
bool audit_read_counter(const char *path, struct verify_counter *out);

#endif
