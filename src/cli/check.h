/* SPDX-License-Identifier: Apache-2.0 */
/* check: what was asked for, and what its files share. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "policy/policy.h"

#define CHECK_FILES_MAX 256
#define CHECK_TESTS_MAX 4096

struct check {
    const char *egress, *catalogue;
    bool json, strict, quiet, tests;
    const char *files[CHECK_FILES_MAX];
    size_t file_count;
};

/* What was loaded, or was not: one environment, or a configuration as a whole. */
struct check_report {
    const char *file;          /* that was named */
    const char *configuration; /* NULL: the environment is on its own */
    const struct policy *policy;
    const struct diag *diag;
    bool is_configuration;
    size_t environments; /* of a configuration, and those that would load */
    size_t good;
    bool loads;
    const struct policy_tested *tests;
    size_t test_count;
};

void check_say(const struct check *c, const struct check_report *report);

/* Loads one environment, says what came of it and gives its policy (NULL: it would not load). */
bool check_environment(const struct check *c, const struct policy_sources *sources, const char *file,
                       const char *configuration, struct policy **out);

/* A gateway's configuration with all its environments. */
bool check_config(const struct check *c, const char *file);

#endif
