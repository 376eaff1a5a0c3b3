/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reading an audit log costs: verifying all of it and its newest part, and queries, on a log that is there already
 * (bench-audit makes one). Wall time, CPU time, and millions of entries a second.
 *
 *     bench-audit-read LOG [rounds]
 */
#include "audit/query.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct stopwatch {
    uint64_t wall_ns, cpu_ns;
};

static uint64_t process_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct stopwatch begin(void)
{
    return (struct stopwatch){clock_mono_ns(), process_cpu_ns()};
}

static void report(const char *what, struct stopwatch since, uint64_t entries)
{
    double wall = (double)(clock_mono_ns() - since.wall_ns) / 1e9,
           cpu = (double)(process_cpu_ns() - since.cpu_ns) / 1e9;
    printf("%-28s %9llu entries  %6.2f s  %6.2f s CPU  %5.2f M/s  %5.2f us CPU an entry\n", what,
           (unsigned long long)entries, wall, cpu, (double)entries / wall / 1e6, cpu * 1e6 / (double)(entries + 1));
}

static uint64_t verify(const char *what, const char *dir, uint64_t since)
{
    static struct verify_report result;
    struct verify_options options = {.dir = dir, .since = since};
    struct stopwatch watch = begin();
    if (audit_verify(&options, &result) != VERIFY_PROVEN)
        printf("not proven: %s\n", result.finding_count > 0 ? result.findings[0] : "");
    report(what, watch, result.entries - result.begun);
    return result.entries;
}

static void query(const char *what, const char *dir, const struct audit_filter *filter, uint64_t entries)
{
    struct audit_query *q = NULL;
    struct stopwatch watch = begin();
    uint64_t index = 0, found = 0;
    struct span leaf;
    if (audit_query_open(dir, filter, &q) != ERR_NONE)
        return;
    while (audit_query_next(q, &index, &leaf) == ERR_NONE)
        found++;
    audit_query_close(q);
    report(what, watch, entries);
    printf("%-28s %9llu found\n", "", (unsigned long long)found);
}

int main(int argc, char **argv)
{
    uint64_t rounds = 1;
    if (argc < 2 || (argc > 2 && text_u64(span_text(argv[2]), 1000, &rounds) != ERR_NONE)) {
        fprintf(stderr, "usage: %s LOG [rounds]\n", argv[0]);
        return 64;
    }
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t entries = verify("verify", argv[1], 0);
        verify("verify, the newest segment", argv[1], entries);
        query("query by environment", argv[1], &(struct audit_filter){.environment = "nobody"}, entries);
        query("query by host", argv[1], &(struct audit_filter){.host = "*.example.test"}, entries);
        query("query by final verdict", argv[1], &(struct audit_filter){.verdict = AUDIT_DENIED}, entries);
    }
    return 0;
}
