/* SPDX-License-Identifier: Apache-2.0 */
#include "micro.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEATS   15
#define REPEAT_NS 10000000u

static const char *only;
static uint64_t fixed; /* times that each row runs, without a clock; 0: as often as its timing needs */
static bool as_json;
static bool first = true;

static double time_of(const struct micro *row, uint64_t times)
{
    uint64_t begin = now_ns();
    row->run(times);
    return (double)(now_ns() - begin);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void micro_figure(const char *name, double value, const char *unit)
{
    if (only != NULL && strstr(name, only) == NULL)
        return;
    if (as_json)
        printf("%s{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\"}", first ? "" : ",\n", name, value, unit);
    else
        printf("%-44s %12.3f %s\n", name, value, unit);
    first = false;
}

void micro_row(const struct micro *row)
{
    if (only != NULL && strstr(row->name, only) == NULL)
        return;
    if (row->check != NULL && !row->check())
        die("%s: the result is wrong, nothing is measured", row->name);
    if (fixed > 0) {
        row->run(fixed);
        return;
    }
    uint64_t times = 1;
    while (time_of(row, times) < REPEAT_NS)
        times *= 2;
    double each[REPEATS];
    for (size_t i = 0; i < REPEATS; i++)
        each[i] = time_of(row, times) / (double)times;
    qsort(each, REPEATS, sizeof each[0], by_size);
    if (as_json)
        printf("%s{\"name\":\"%s\",\"min_ns\":%.1f,\"median_ns\":%.1f}", first ? "" : ",\n", row->name, each[0],
               each[REPEATS / 2]);
    else
        printf("%-44s %12.1f ns   (middle %.1f)\n", row->name, each[0], each[REPEATS / 2]);
    first = false;
}

int main(int argc, char **argv)
{
    uint64_t names = 1000000;
    const struct option_row rows[] = {
        {"only",  OPTION_TEXT,   &only,    "rows with this in their name"                       },
        {"names", OPTION_NUMBER, &names,   "names of the large policy; 0: no policy is measured"},
        {"times", OPTION_NUMBER, &fixed,   "only run each row so often (bench/instructions)"    },
        {"json",  OPTION_FLAG,   &as_json, "as JSON"                                            },
    };
    options_read(argc, argv, "times functions of the rooms", rows, sizeof rows / sizeof rows[0]);
    if (as_json)
        printf("[");
    for (size_t i = 0; i < micro_base_count; i++)
        micro_row(&micro_base[i]);
    for (size_t i = 0; i < micro_wire_count; i++)
        micro_row(&micro_wire[i]);
    if (names > 0) {
        micro_policy(10);
        micro_policy(names);
    }
    if (as_json)
        printf("]\n");
    return 0;
}
