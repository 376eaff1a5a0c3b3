/* SPDX-License-Identifier: Apache-2.0 */
/* check: would this policy load, what does it open, and from which line. */
#include "cli/verbs.h"
#include "options.h"

#include "check.h"
#include "policy/config.h"

#include <argp.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define HEAP_STEP (4 * 1024 * 1024)

enum { OPT_EGRESS = 1000, OPT_CATALOGUE, OPT_JSON, OPT_STRICT, OPT_QUIET, OPT_TEST };

/* clang-format off */
static const struct argp_option options[] = {
    {"egress",    OPT_EGRESS,    "FILE", 0, "the egress block in a file of its own", 0},
    {"catalogue", OPT_CATALOGUE, "FILE", 0, "an operator's own catalogue of package managers' hosts", 0},
    {"json",      OPT_JSON,      0,      0, "one JSON object a file, one a line", 0},
    {"strict",    OPT_STRICT,    0,      0, "lints fail as well, and what the group may write is an error", 0},
    {"test",      OPT_TEST,      0,      0, "each of the policy's own tests, without the effective policy", 0},
    {"quiet",     OPT_QUIET,     0,      0, "the findings alone, without the effective policy", 0},
    {0},
};
/* clang-format on */

static const char doc[] =
    "Loads each environment FILE, or gateway's configuration with all its environments, as the proxy would, without "
    "running anything, and prints the effective policy with the line that every rule comes from, errors with their "
    "fix, "
    "and lints: what is legal and perhaps not meant. A policy's own tests are asked by every load; --test shows each."
    "\vExample:\n"
    "  sallyport check policies/invoice-env.yaml\n"
    "  sallyport check --test policies/*-env.yaml\n"
    "  sallyport check --json --egress egress.yaml environment.yaml\n"
    "  sallyport check --strict /etc/sallyport/gateway.yaml\n\n"
    "Exit status: 0 every file would load, 1 one would not, 64 wrong usage.";

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct check *c = state->input;
    switch (key) {
    case OPT_EGRESS:
        c->egress = arg;
        return 0;
    case OPT_CATALOGUE:
        c->catalogue = arg;
        return 0;
    case OPT_JSON:
        c->json = true;
        return 0;
    case OPT_STRICT:
        c->strict = true;
        return 0;
    case OPT_QUIET:
        c->quiet = true;
        return 0;
    case OPT_TEST:
        c->tests = c->quiet = true;
        return 0;
    case ARGP_KEY_ARG:
        if (c->file_count == CHECK_FILES_MAX)
            argp_error(state, "more than %d files", CHECK_FILES_MAX);
        c->files[c->file_count++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "name at least one file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- one environment ---- */

struct results {
    struct policy_tested *items;
    size_t count;
};

/* The words belong to the load's own tree, which is gone when it ends. */
static struct span keep(struct span text)
{
    char *copy = text.len == 0 ? strdup("") : strndup((const char *)text.data, text.len);
    if (copy == NULL)
        abort();
    return span_text(copy);
}

static void take_test(void *arg, const struct policy_tested *tested)
{
    struct results *r = arg;
    if (r->count == CHECK_TESTS_MAX)
        return;
    struct policy_tested *mine = &r->items[r->count++];
    *mine = *tested;
    mine->target = keep(tested->target);
    mine->via = keep(tested->via);
    mine->expect = keep(tested->expect);
    mine->file = (const char *)keep(span_text(tested->file)).data;
}

static void forget_tests(struct results *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free((void *)(uintptr_t)r->items[i].target.data);
        free((void *)(uintptr_t)r->items[i].via.data);
        free((void *)(uintptr_t)r->items[i].expect.data);
        free((void *)(uintptr_t)r->items[i].file);
    }
    free(r->items);
}

bool check_environment(const struct check *c, const struct policy_sources *given, const char *file,
                       const char *configuration, struct policy **out)
{
    struct policy_sources sources = *given;
    struct results results = {.items = c->tests ? calloc(CHECK_TESTS_MAX, sizeof *results.items) : NULL};
    struct diag diag;
    diag_init(&diag);
    if (results.items != NULL) {
        sources.tested = take_test;
        sources.tested_arg = &results;
    }
    enum err err = policy_load(&sources, &diag, out);
    if (err != ERR_NONE && diag.errors == 0)
        diag_add(&diag, SEVERITY_ERROR, "failed", file, 0, 0, "loading failed: %s", err_text(err));
    check_say(c, &(struct check_report){
                     .file = file,
                     .configuration = configuration,
                     .policy = *out,
                     .diag = &diag,
                     .loads = *out != NULL,
                     .tests = results.items,
                     .test_count = results.count,
                 });
    bool good = err == ERR_NONE && (!c->strict || diag.lints == 0);
    forget_tests(&results);
    diag_clear(&diag);
    return good;
}

static bool check_file(const struct check *c, const char *file)
{
    const struct policy_sources sources = {
        .path = file, .egress_path = c->egress, .strict_files = c->strict, .catalogue_path = c->catalogue};
    if (c->egress == NULL && config_looks_like_one(file))
        return check_config(c, file);
    struct policy *policy = NULL;
    bool good = check_environment(c, &sources, file, NULL, &policy);
    policy_unref(policy);
    return good;
}

int verb_check(int argc, char **argv)
{
    static const struct argp argp = {options, parse, "FILE...", doc, NULL, NULL, NULL};
    struct check c = {0};
    argp_err_exit_status = EXIT_USAGE;
    options_read(&argp, argc, argv, 0, &c);
    mallopt(M_TOP_PAD, HEAP_STEP); /* a large policy asks the kernel for memory a few times, not hundreds of times */
    bool good = true;
    for (size_t i = 0; i < c.file_count; i++)
        good &= check_file(&c, c.files[i]);
    return good ? 0 : 1;
}
