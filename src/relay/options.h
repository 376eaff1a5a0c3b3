/* SPDX-License-Identifier: Apache-2.0 */
/* options: the command line of the relay. */
#ifndef RELAY_OPTIONS_H
#define RELAY_OPTIONS_H

#include "place.h"

#define RELAY_MAX_DEFAULT 512
#define RELAY_MAX_LIMIT   16384

struct options {
    struct place listen;
    struct place to;
    int ready_fd; /* -1: nobody waits */
    unsigned max; /* connections at the same time */
    bool env;
    char **command; /* NULL: none */
};

enum options_result { OPTIONS_WRONG, OPTIONS_HELP, OPTIONS_RUN };

/* What is wrong has been said on standard error. `out` points into argv. */
enum options_result options_parse(int argc, char **argv, struct options *out);

#endif
