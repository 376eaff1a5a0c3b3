/* SPDX-License-Identifier: Apache-2.0 */
/*
 * histogram: counts of durations in bins that are at most 0.8 % wide, so that a run of any length keeps every value
 * and a percentile is never an average.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BINS (58 * 128)

struct histogram {
    uint64_t bins[HISTOGRAM_BINS];
    uint64_t count;
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* The value that `fraction` (0 to 1) of all values lie at or below; 0 without any. */
double histogram_at(const struct histogram *histogram, double fraction);

#endif
