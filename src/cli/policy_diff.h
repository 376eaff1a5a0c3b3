/* SPDX-License-Identifier: Apache-2.0 */
/* policy_diff: what another policy would decide otherwise. */
#ifndef CLI_POLICY_DIFF_H
#define CLI_POLICY_DIFF_H

#include "policy/policy.h"

#include <stdio.h>

/* Prints what differs; true if anything does. Every name, pattern of labels and port that one of the two mentions is
 * asked of both, so that is exact; regular expressions and list files are compared by their lines, and said so. */
bool policy_diff(const struct policy *before, const struct policy *after, FILE *out);

/* One class of connections that the two decide otherwise. */
struct policy_difference {
    bool opens;
    const char *host; /* a name, a *. pattern, an address; NULL: every name that neither mentions */
    uint16_t port;    /* 0: every port that neither mentions */
    enum door door;   /* CONNECT (and SOCKS5), or HTTP */
    const char *rule; /* that opens or opened it, with its place */
};
typedef void policy_difference_fn(void *arg, const struct policy_difference *difference);
void policy_diff_each(const struct policy *before, const struct policy *after, policy_difference_fn *fn, void *arg);

#endif
