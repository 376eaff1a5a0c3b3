/* SPDX-License-Identifier: Apache-2.0 */
#include "micro.h"
#include "tool.h"

#include "policy/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ASKED 1024 /* different names, so that a large table is not asked for one warm line alone */

static struct policy *policy;
static struct target listed[ASKED], unlisted[ASKED];
static struct decision decision;

/* Names of the list: spread over domains as lists of real hosts are. */
static void name_text(char *out, size_t cap, uint64_t number, const char *top)
{
    snprintf(out, cap, "h%llu.site-%llu.%s", (unsigned long long)number, (unsigned long long)(number % 9973), top);
}

static void ask(const struct target *target)
{
    const struct question question = {
        .door = DOOR_CONNECT, .method = METHOD_CONNECT, .target = target, .generation = 1};
    policy_ask_target(policy, &question, &decision);
}

static void listed_row(uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        ask(&listed[i % ASKED]);
        keep(&decision);
    }
}

static void unlisted_row(uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        ask(&unlisted[i % ASKED]);
        keep(&decision);
    }
}

static bool listed_check(void)
{
    ask(&listed[7]);
    return decision.verdict == VERDICT_ALLOW;
}

static bool unlisted_check(void)
{
    ask(&unlisted[7]);
    return decision.verdict == VERDICT_DENY;
}

static void targets_make(uint64_t names)
{
    char text[128];
    for (uint64_t i = 0; i < ASKED; i++) {
        name_text(text, sizeof text - 8, i * 7919 % names, "bench.test:443");
        if (target_parse_authority(span_text(text), &listed[i]) != ERR_NONE)
            die("%s is no target", text);
        name_text(text, sizeof text - 8, i, "other.test:443");
        if (target_parse_authority(span_text(text), &unlisted[i]) != ERR_NONE)
            die("%s is no target", text);
    }
}

static void list_write(const char *path, uint64_t names)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        die("%s", path);
    char text[128];
    for (uint64_t i = 0; i < names; i++) {
        name_text(text, sizeof text, i, "bench.test");
        fprintf(file, "%s\n", text);
    }
    fclose(file);
}

static void policy_write(const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        die("%s", path);
    fputs("name: bench\nconfig:\n  type: self_hosted\n  networking:\n    type: limited\n"
          "egress:\n  allowed_host_files: [names.txt]\n",
          file);
    fclose(file);
}

static double resident_mib(void)
{
    long pages = 0, ignored = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &ignored, &pages) != 2)
        die("/proc/self/statm");
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void load(const char *path)
{
    struct diag diag;
    diag_init(&diag);
    const struct policy_sources sources = {.path = path};
    if (policy_load(&sources, &diag, &policy) != ERR_NONE) {
        errno = 0;
        die("%s: %s", path, diag.count > 0 ? diag.items[0].message : "does not load");
    }
    diag_clear(&diag);
}

void micro_policy(uint64_t names)
{
    char folder[] = "/tmp/bench-micro-XXXXXX", path[64], list[64], title[64];
    if (mkdtemp(folder) == NULL)
        die("%s", folder);
    snprintf(path, sizeof path, "%s/policy.yaml", folder);
    snprintf(list, sizeof list, "%s/names.txt", folder);
    list_write(list, names);
    policy_write(path);
    double before = resident_mib();
    uint64_t begin = now_ns();
    load(path);
    double seconds = (double)(now_ns() - begin) / 1e9;
    unsigned long long count = names;
    snprintf(title, sizeof title, "policy: load of %llu names", count);
    micro_figure(title, seconds, "s");
    snprintf(title, sizeof title, "policy: resident for %llu names", count);
    micro_figure(title, resident_mib() - before, "MiB");
    targets_make(names);
    snprintf(title, sizeof title, "policy: listed name of %llu", count);
    micro_row(&(struct micro){.name = title, .run = listed_row, .check = listed_check});
    snprintf(title, sizeof title, "policy: unlisted name, %llu listed", count);
    micro_row(&(struct micro){.name = title, .run = unlisted_row, .check = unlisted_check});
    policy_unref(policy);
    unlink(path);
    unlink(list);
    rmdir(folder);
}
