/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

#include <stddef.h>

/* Below 128 a bin a value; above, 128 bins for each power of two. */
#define BITS  7u
#define STEPS (1u << BITS)

static size_t bin_of(uint64_t value)
{
    if (value < STEPS)
        return (size_t)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - BITS;
    return ((size_t)shift + 1) * STEPS + (size_t)((value >> shift) - STEPS);
}

static double middle_of(size_t bin)
{
    if (bin < STEPS)
        return (double)bin;
    uint64_t width = (uint64_t)1 << (bin / STEPS - 1);
    return (double)((bin % STEPS + STEPS) * width) + (double)width / 2;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->bins[bin_of(value)]++;
    histogram->count++;
}

double histogram_at(const struct histogram *histogram, double fraction)
{
    double wanted = fraction * (double)histogram->count;
    uint64_t seen = 0;
    for (size_t bin = 0; bin < HISTOGRAM_BINS; bin++) {
        seen += histogram->bins[bin];
        if (seen > 0 && (double)seen >= wanted)
            return middle_of(bin);
    }
    return 0;
}
