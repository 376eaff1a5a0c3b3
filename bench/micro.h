/* SPDX-License-Identifier: Apache-2.0 */
/*
 * micro: nanoseconds of single functions of the rooms, on one warm core. A row runs its function many times over; what
 * it computes is checked once before, so that no failing path is measured for a fast one.
 */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct micro {
    const char *name;
    void (*run)(uint64_t times);
    bool (*check)(void); /* NULL: nothing to check */
};

extern const struct micro micro_wire[];
extern const size_t micro_wire_count;
extern const struct micro micro_base[];
extern const size_t micro_base_count;

/* Times one row and prints it: smallest and middle of the repeats. */
void micro_row(const struct micro *row);

/* One figure that is no time of a function. */
void micro_figure(const char *name, double value, const char *unit);

/* micro_policy.c: loads a policy with so many names, and asks it. */
void micro_policy(uint64_t names);

/* Keeps the compiler from leaving out what nobody reads. */
static inline void keep(const void *result)
{
    __asm__ volatile("" : : "r"(result) : "memory");
}

#endif
