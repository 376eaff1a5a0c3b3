/* SPDX-License-Identifier: Apache-2.0 */
/* check: would this policy load, what does it open, and from which line. */
#include "cli/verbs.h"

#include "findings.h"
#include "policy/policy.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_EGRESS = 1000, OPT_CATALOGUE, OPT_JSON, OPT_STRICT, OPT_QUIET };

#define FILES_MAX 256
#define JSON_CAP  (256u * 1024u) /* the findings of one file: at most DIAG_MAX, escaped */

struct check {
    const char *egress, *catalogue;
    bool json, strict, quiet;
    const char *files[FILES_MAX];
    size_t file_count;
};

static const struct argp_option options[] = {
    {"egress",                                 OPT_EGRESS, "FILE", 0, "the egress block in a file of its own", 0},
    {"catalogue",                                  OPT_CATALOGUE, "FILE", 0, "an operator's own catalogue of package managers' hosts", 0},
    {"json", OPT_JSON, 0, 0, "one JSON object a file, one a line", 0},
    {"strict",                                        OPT_STRICT, 0, 0, "lints fail as well, and what the group may write is an error", 0},
    {"quiet",OPT_QUIET, 0, 0, "the findings alone, without the effective policy", 0},
    {0                                      },
};

static const char doc[] =
    "Loads each environment FILE as the proxy would, without running anything, and prints the effective policy with "
    "the "
    "line that every rule comes from, errors with their fix, and lints: what is legal and perhaps not meant."
    "\vExample:\n"
    "  sallyport check policies/invoice-env.yaml\n"
    "  sallyport check --json --egress egress.yaml environment.yaml\n\n"
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
    case ARGP_KEY_ARG:
        if (c->file_count == FILES_MAX)
            argp_error(state, "more than %d files", FILES_MAX);
        c->files[c->file_count++] = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "name at least one environment file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- for people ---- */

static void print_rule(void *arg, const struct policy_line *line)
{
    const char **section = arg;
    if (*section == NULL || strcmp(*section, line->section) != 0)
        printf("  %s\n", line->section);
    *section = line->section;
    const struct rule *rule = &line->rule;
    if (rule->file != NULL && rule->group.len > 0)
        printf("    %-60s group %.*s, version %.*s, %s:%u\n", line->text, (int)rule->group.len,
               (const char *)rule->group.data, (int)rule->version.len, (const char *)rule->version.data, rule->file,
               rule->line);
    else if (rule->file != NULL)
        printf("    %-60s %s:%u\n", line->text, rule->file, rule->line);
    else if (rule->group.len > 0)
        printf("    %-60s group %.*s, version %.*s\n", line->text, (int)rule->group.len, (const char *)rule->group.data,
               (int)rule->version.len, (const char *)rule->version.data);
    else
        printf("    %-60s built in\n", line->text);
}

static void report_text(const struct check *c, const char *file, const struct policy *policy, const struct diag *diag)
{
    if (policy == NULL)
        printf("%s: would not load\n", file);
    else
        printf("%s: would load as environment '%.*s', policy %.16s…\n", file, (int)policy_name(policy).len,
               (const char *)policy_name(policy).data, policy_id(policy));
    if (policy != NULL && !c->quiet) {
        const char *section = NULL;
        policy_describe(policy, print_rule, &section);
    }
    findings_print(diag, stdout);
}

/* ---- for programs ---- */

static void json_rule(void *arg, const struct policy_line *line)
{
    struct json *j = arg;
    const struct rule *rule = &line->rule;
    json_open(j, '{');
    json_key_text(j, "section", line->section);
    json_key_text(j, "text", line->text);
    json_key_text(j, "rule", rule->id);
    if (rule->file != NULL) {
        json_key_text(j, "file", rule->file);
        json_key_u64(j, "line", rule->line);
    }
    if (rule->group.len > 0)
        json_key_span(j, "group", rule->group);
    if (rule->version.len > 0)
        json_key_span(j, "version", rule->version);
    json_close(j, '}');
    json_flush(j, stdout);
}

static void report_json(const struct check *c, const char *file, const struct policy *policy, const struct diag *diag)
{
    void *buffer = malloc(JSON_CAP);
    if (buffer == NULL)
        abort();
    struct outbuf out = outbuf_make(buffer, JSON_CAP);
    struct json j = json_make(&out);
    json_open(&j, '{');
    json_key_text(&j, "file", file);
    json_key_bool(&j, "loads", policy != NULL);
    if (policy != NULL) {
        json_key_span(&j, "environment", policy_name(policy));
        json_key_text(&j, "policy_id", policy_id(policy));
        json_key_bool(&j, "limited", policy_is_limited(policy));
    }
    json_key_u64(&j, "errors", diag->errors);
    json_key_u64(&j, "lints", diag->lints);
    json_key(&j, "findings");
    json_open(&j, '[');
    json_flush(&j, stdout);
    findings_json(diag, &j);
    json_close(&j, ']');
    json_flush(&j, stdout);
    if (policy != NULL && !c->quiet) {
        json_key(&j, "rules");
        json_open(&j, '[');
        policy_describe(policy, json_rule, &j);
        json_close(&j, ']');
    }
    json_close(&j, '}');
    json_flush(&j, stdout);
    putchar('\n');
    free(buffer);
}

/* ---- both ---- */

static bool check_file(const struct check *c, const char *file)
{
    const struct policy_sources sources = {
        .path = file, .egress_path = c->egress, .strict_files = c->strict, .catalogue_path = c->catalogue};
    struct diag diag;
    struct policy *policy = NULL;
    diag_init(&diag);
    enum err err = policy_load(&sources, &diag, &policy);
    if (err != ERR_NONE && diag.errors == 0)
        diag_add(&diag, SEVERITY_ERROR, "failed", file, 0, 0, "loading failed: %s", err_text(err));
    if (c->json)
        report_json(c, file, policy, &diag);
    else
        report_text(c, file, policy, &diag);
    bool good = err == ERR_NONE && (!c->strict || diag.lints == 0);
    policy_unref(policy);
    diag_clear(&diag);
    return good;
}

int verb_check(int argc, char **argv)
{
    static const struct argp argp = {options, parse, "FILE...", doc, NULL, NULL, NULL};
    struct check c = {0};
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &c);
    bool good = true;
    for (size_t i = 0; i < c.file_count; i++)
        good &= check_file(&c, c.files[i]);
    return good ? 0 : 1;
}
