/* SPDX-License-Identifier: Apache-2.0 */
/* ceiling: an environment beside what stands above it; ceiling.c asks both about classes of names. */
#ifndef POLICY_CEILING_H
#define POLICY_CEILING_H

#include "loader.h"

#define CEILING_SAID_MAX 20

struct comparison {
    struct loader *l;
    const struct policy *env, *ceiling;
    uint16_t *ports;
    size_t port_count;
    unsigned said;
};

/* A finding: what stands at `at` exceeds what the ceiling says at `ceiling`. */
void ceiling_say(struct comparison *c, const struct place *at, const char *what, const struct place *ceiling);
bool ceiling_has_network(const struct comparison *c, const struct prefix *prefix);

/* Regular expressions, networks, limits and mode. */
void ceiling_rest(struct comparison *c);

#endif
