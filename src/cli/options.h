/* SPDX-License-Identifier: Apache-2.0 */
/* options: how every verb reads its options. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <argp.h>
#include <stdnoreturn.h>

/* argp_parse(), but it comes back only when all of them were read: nothing is done with half of its options. */
void options_read(const struct argp *argp, int argc, char **argv, unsigned flags, void *input);
/* Says so and ends with status 71 (EX_OSERR). */
noreturn void options_no_memory(void);

#endif
