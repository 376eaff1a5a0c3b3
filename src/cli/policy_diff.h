/* SPDX-License-Identifier: Apache-2.0 */
/* policy_diff: what another policy would decide otherwise. */
#ifndef CLI_POLICY_DIFF_H
#define CLI_POLICY_DIFF_H

#include "policy/policy.h"

#include <stdio.h>

/* Prints what differs; true if anything does. Every name, pattern of labels and port that one of the two mentions is
 * asked of both, so that is exact; regular expressions and list files are compared by their lines, and said so. */
bool policy_diff(const struct policy *before, const struct policy *after, FILE *out);

#endif
