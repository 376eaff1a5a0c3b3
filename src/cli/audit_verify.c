/* SPDX-License-Identifier: Apache-2.0 */
/* audit verify: is the log whole and unchanged, and what of that is proven. */
#include "audit_counter.h"
#include "audit_report.h"
#include "audit_verbs.h"
#include "options.h"

#include "audit/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_KEY = 1000,
    OPT_PINNED,
    OPT_JSON,
    OPT_QUIET,
    OPT_REPORT,
    OPT_SINCE,
    OPT_FULL,
    OPT_ENV,
    OPT_COUNTER,
    OPT_WITNESSES
};

struct verify_args {
    const char *dir, *key, *pinned, *environment, *counter, *witnesses, *report_file;
    bool json, quiet, report, full;
    uint64_t since;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const struct audit_place places[] = {
        AUDIT_PLACE(OPT_KEY, struct verify_args, key),
        AUDIT_PLACE(OPT_PINNED, struct verify_args, pinned),
        AUDIT_PLACE(OPT_SINCE, struct verify_args, since),
        AUDIT_PLACE(OPT_FULL, struct verify_args, full),
        AUDIT_PLACE(OPT_ENV, struct verify_args, environment),
        AUDIT_PLACE(OPT_WITNESSES, struct verify_args, witnesses),
        AUDIT_PLACE(OPT_COUNTER, struct verify_args, counter),
        AUDIT_PLACE(OPT_JSON, struct verify_args, json),
        AUDIT_PLACE(OPT_QUIET, struct verify_args, quiet),
        AUDIT_PLACE(OPT_REPORT, struct verify_args, report_file),
    };
    struct verify_args *a = state->input;
    if (key == OPT_REPORT)
        a->report = true;
    return audit_take(places, sizeof places / sizeof places[0], key, arg, state, &a->dir);
}

static const char *result_text(enum verify_result result)
{
    switch (result) {
    case VERIFY_PROVEN:
        return "proven";
    case VERIFY_FAILED:
        return "failed";
    case VERIFY_TAMPERED:
        return "tampered";
    case VERIFY_UNAVAILABLE:
        return "unavailable";
    case VERIFY_ROLLBACK:
        return "rollback";
    case VERIFY_INCOMPLETE:
        return "incomplete";
    }
    return "failed";
}

static void progress(void *arg, uint64_t entries, uint64_t of)
{
    (void)arg;
    if (of >= entries)
        fprintf(stderr, "\r%llu entries, %llu %%", (unsigned long long)entries,
                (unsigned long long)(100 * entries / of));
    else
        fprintf(stderr, "\r%llu entries      ", (unsigned long long)entries);
}

#define SENTENCE_BYTES sizeof((struct verify_report *)0)->proven[0]

/* Sentences of a report stand one behind the other. */
static void print_lines(const char *title, const char *first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("%s %s\n", title, first + i * SENTENCE_BYTES);
}

static void print_report(const struct verify_report *r)
{
    print_lines("found:     ", r->findings[0], r->finding_count);
    print_lines("proven:    ", r->proven[0], r->proven_count);
    print_lines("not proven:", r->unproven[0], r->unproven_count);
    printf("%s: %llu entries, %llu signed, %llu attempts, %llu outcomes, %llu open", result_text(r->result),
           (unsigned long long)r->entries, (unsigned long long)r->signed_size, (unsigned long long)r->attempts,
           (unsigned long long)r->outcomes, (unsigned long long)r->open_flows);
    if (r->has_first_bad)
        printf("; first bad entry %llu", (unsigned long long)r->first_bad);
    putchar('\n');
}

static json_t *json_lines(char lines[][256], size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_string(lines[i]));
    return array;
}

static json_t *environment_json(const struct verify_environment *e)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "entries", (json_int_t)e->entries, "first_seq",
                     (json_int_t)e->first_seq, "last_seq", (json_int_t)e->last_seq, "attempts", (json_int_t)e->attempts,
                     "denied", (json_int_t)e->denied, "outcomes", (json_int_t)e->outcomes, "open", (json_int_t)e->open);
}

static void print_report_json(struct verify_report *r, bool environment)
{
    char root[2 * DIGEST_BYTES + 1];
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        snprintf(root + 2 * i, 3, "%02x", r->root[i]);
    json_t *object = json_object();
    json_object_set_new(object, "result", json_string(result_text(r->result)));
    json_object_set_new(object, "exit", json_integer((int)r->result));
    json_object_set_new(object, "entries", json_integer((json_int_t)r->entries));
    json_object_set_new(object, "signed", json_integer((json_int_t)r->signed_size));
    json_object_set_new(object, "published", json_integer((json_int_t)r->published_size));
    json_object_set_new(object, "withheld", json_integer((json_int_t)r->withheld));
    json_object_set_new(object, "attempts", json_integer((json_int_t)r->attempts));
    json_object_set_new(object, "outcomes", json_integer((json_int_t)r->outcomes));
    json_object_set_new(object, "open_flows", json_integer((json_int_t)r->open_flows));
    json_object_set_new(object, "begun", json_integer((json_int_t)r->begun));
    json_object_set_new(object, "root", json_string(root));
    if (r->has_first_bad)
        json_object_set_new(object, "first_bad", json_integer((json_int_t)r->first_bad));
    if (environment)
        json_object_set_new(object, "environment", environment_json(&r->environment));
    json_object_set_new(object, "found", json_lines(r->findings, r->finding_count));
    json_object_set_new(object, "proven", json_lines(r->proven, r->proven_count));
    json_object_set_new(object, "not_proven", json_lines(r->unproven, r->unproven_count));
    audit_print_object(object);
}

/* clang-format off */
static const struct argp_option options[] = {
    {"key",       OPT_KEY,       "VKEY", 0,
     "the verifier key that you trust, or a file with it; else the directory's own", 0},
    {"since",     OPT_SINCE,     "N",    0,
     "begin with the segment that holds entry N; what lies before is not looked at", 0},
    {"full",      OPT_FULL,      0,      0, "everything, which is the default", 0},
    {"env",       OPT_ENV,       "NAME", 0, "judge completeness for this environment alone", 0},
    {"counter",   OPT_COUNTER,   "FILE", 0,
     "what the kernel counted, as 'nft -j list counters' prints it: it must add up; see 'sallyport nft'", 0},
    {"witnesses", OPT_WITNESSES, "FILE", 0,
     "a C2SP tlog-policy: whose signatures in cosigned.log count, and how many must be there", 0},
    {"pinned",    OPT_PINNED,    "FILE", 0,
     "a checkpoint of this log that was kept elsewhere: it must still hold", 0},
    {"json",      OPT_JSON,      0,      0, "one JSON object", 0},
    {"report",    OPT_REPORT,    "FILE", OPTION_ARG_OPTIONAL,
     "a report for auditors, as text; =FILE: as one HTML file", 0},
    {"quiet",     OPT_QUIET,     0,      0, "nothing but the exit status", 0},
    {0},
};
/* clang-format on */
static const struct argp argp = {
    options,
    parse,
    "DIR",
    "Reads the whole log in DIR again, without a lock and beside a running proxy, and says what is proven and what "
    "is not.\vExample:\n  sallyport audit verify /var/lib/sallyport/audit --key \"$(cat trusted.vkey)\"\n\n"
    "Exit status: 0 proven, 1 could not work, 2 tampered or corrupt, 3 unavailable, 4 rollback or fork, "
    "5 incomplete, 64 wrong usage.",
    NULL,
    NULL,
    NULL};

int audit_verb_verify(int argc, char **argv)
{
    struct verify_args args = {0};
    char line[512];
    struct verify_counter counter = {0};
    options_read(&argp, argc, argv, 0, &args);
    struct cosign_policy *witnesses = NULL;
    if (args.witnesses != NULL && cosign_policy_load(args.witnesses, &witnesses, line, sizeof line) != ERR_NONE)
        return audit_fail("verify", args.witnesses, ERR_IO, line);
    if (args.counter != NULL && !audit_read_counter(args.counter, &counter))
        return 1;
    struct verify_report *report = calloc(1, sizeof *report);
    if (report == NULL)
        return 1;
    bool show = !args.quiet && !args.json && isatty(STDERR_FILENO);
    struct verify_options todo = {
        .dir = args.dir,
        .vkey = audit_key_line(args.key, line, sizeof line),
        .pinned = args.pinned,
        .since = args.full ? 0 : args.since,
        .environment = args.environment,
        .witnesses = witnesses,
        .counter = args.counter != NULL ? &counter : NULL,
        .progress = show ? progress : NULL,
    };
    int result = (int)audit_verify(&todo, report);
    if (show)
        fputs("\r                                        \r", stderr);
    if (args.report && !audit_report(report, args.report_file))
        result = result == 0 ? 1 : result;
    else if (args.report)
        args.quiet = true;
    if (args.json)
        print_report_json(report, args.environment != NULL);
    else if (!args.quiet)
        print_report(report);
    cosign_policy_free(witnesses);
    free(report);
    return result;
}
