/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock: deadlines live on the monotonic clock, records also carry the wall clock. Nothing else in the program reads
 * a clock.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Any thread. They cannot fail. */
uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC, nanoseconds */
int64_t clock_wall_ns(void);  /* CLOCK_REALTIME, nanoseconds since 1970 */

#endif
