/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the library share. */
#ifndef FAULT_PRIVATE_H
#define FAULT_PRIVATE_H

#include "fault.h"

#include <dlfcn.h>
#include <stdbool.h>

enum call {
#define X(name) CALL_##name,
#include "calls_tbl.h"
#undef X
    CALLS
};

/* The C library's own, as `real`. */
#define REAL(name)                                                                                                     \
    static __typeof__(&name) real;                                                                                     \
    if (real == NULL)                                                                                                  \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

/* True with errno if this call is to fail; waits if it is to be late. */
bool fault_fails(enum call call);

/* Of a descriptor; they leave errno alone. */
bool fault_is_file(int fd);
bool fault_is_pipe(int fd);

#endif
