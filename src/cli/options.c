/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

noreturn void options_no_memory(void)
{
    fputs("sallyport: not enough memory for the options and variables\n", stderr);
    exit(EX_OSERR);
}

void options_read(const struct argp *argp, int argc, char **argv, unsigned flags, void *input)
{
    /* Wrong options end the program inside; what comes back is want of memory. */
    if (argp_parse(argp, argc, argv, flags, NULL, input) != 0)
        options_no_memory();
}
