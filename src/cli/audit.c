/* SPDX-License-Identifier: Apache-2.0 */
/* audit: the words around a log: is it whole, what stands in it, what is its state. */
#include "cli/verbs.h"

#include "audit_report.h"
#include "audit_tail.h"
#include "audit_verbs.h"

#include "audit/reader.h"
#include "audit/verify.h"
#include "base/text.h"

#include <argp.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPT_KEY = 1000, OPT_PINNED, OPT_JSON, OPT_QUIET, OPT_FOLLOW, OPT_FROM, OPT_REPORT };

struct audit_args {
    const char *dir, *key, *pinned;
    const char *report_file;
    bool json, quiet, follow, report;
    uint64_t from;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct audit_args *a = state->input;
    switch (key) {
    case OPT_KEY:
        a->key = arg;
        return 0;
    case OPT_PINNED:
        a->pinned = arg;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case OPT_QUIET:
        a->quiet = true;
        return 0;
    case OPT_REPORT:
        a->report = true;
        a->report_file = arg;
        return 0;
    case OPT_FOLLOW:
        a->follow = true;
        return 0;
    case OPT_FROM:
        if (text_u64(span_text(arg), UINT64_MAX / 2, &a->from) != ERR_NONE)
            argp_error(state, "'%s' is no index", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (a->dir != NULL)
            argp_error(state, "one directory is enough");
        a->dir = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->dir == NULL)
            argp_error(state, "name the log's directory");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- verify ---- */

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

static void progress(void *arg, uint64_t entries)
{
    (void)arg;
    fprintf(stderr, "\r%llu entries", (unsigned long long)entries);
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

static void print_object(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

static void print_report_json(struct verify_report *r)
{
    char root[2 * DIGEST_BYTES + 1];
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        snprintf(root + 2 * i, 3, "%02x", r->root[i]);
    json_t *object = json_object();
    json_object_set_new(object, "result", json_string(result_text(r->result)));
    json_object_set_new(object, "exit", json_integer((int)r->result));
    json_object_set_new(object, "entries", json_integer((json_int_t)r->entries));
    json_object_set_new(object, "signed", json_integer((json_int_t)r->signed_size));
    json_object_set_new(object, "attempts", json_integer((json_int_t)r->attempts));
    json_object_set_new(object, "outcomes", json_integer((json_int_t)r->outcomes));
    json_object_set_new(object, "open_flows", json_integer((json_int_t)r->open_flows));
    json_object_set_new(object, "root", json_string(root));
    if (r->has_first_bad)
        json_object_set_new(object, "first_bad", json_integer((json_int_t)r->first_bad));
    json_object_set_new(object, "found", json_lines(r->findings, r->finding_count));
    json_object_set_new(object, "proven", json_lines(r->proven, r->proven_count));
    json_object_set_new(object, "not_proven", json_lines(r->unproven, r->unproven_count));
    print_object(object);
}

/* A key line has plus signs; anything else is a file that holds one. */
const char *audit_key_line(const char *given, char *buffer, size_t cap)
{
    if (given == NULL || strchr(given, '+') != NULL)
        return given;
    FILE *file = fopen(given, "re");
    buffer[0] = '\0';
    if (file == NULL || fgets(buffer, (int)cap, file) == NULL)
        fprintf(stderr, "sallyport audit: %s cannot be read\n", given);
    if (file != NULL)
        fclose(file);
    buffer[strcspn(buffer, "\r\n")] = '\0';
    return buffer;
}

static int verify(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"key",                                                                           OPT_KEY, "VKEY", 0, "the verifier key that you trust, or a file with it; else the directory's own", 0},
        {"pinned",                                                                         OPT_PINNED, "FILE", 0, "a checkpoint of this log that was kept elsewhere: it must still hold", 0},
        {"json", OPT_JSON, 0, 0, "one JSON object", 0},
        {"report",                                                                               OPT_REPORT, "FILE", OPTION_ARG_OPTIONAL, "a report for auditors, as text; =FILE: as one HTML file",
         0},
        {"quiet",OPT_QUIET, 0, 0, "nothing but the exit status", 0},
        {0                                                                             },
    };
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
    struct audit_args args = {0};
    char line[512];
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    struct verify_report *report = calloc(1, sizeof *report);
    if (report == NULL)
        return 1;
    bool show = !args.quiet && !args.json && isatty(STDERR_FILENO);
    struct verify_options todo = {
        .dir = args.dir,
        .vkey = audit_key_line(args.key, line, sizeof line),
        .pinned = args.pinned,
        .progress = show ? progress : NULL,
    };
    int result = (int)audit_verify(&todo, report);
    if (show)
        fputs("\r                    \r", stderr);
    if (args.report && !audit_report(report, args.report_file))
        result = result == 0 ? 1 : result;
    else if (args.report)
        args.quiet = true;
    if (args.json)
        print_report_json(report);
    else if (!args.quiet)
        print_report(report);
    free(report);
    return result;
}

/* ---- tail ---- */

static int tail(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"follow",         OPT_FOLLOW, 0, 0, "wait for more", 0},
        {"json",               OPT_JSON, 0, 0, "each record as it stands in the log, one OCSF object a line", 0},
        {"from", OPT_FROM, "N", 0, "begin with entry N", 0},
        {0               },
    };
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Prints the records of the log in DIR, a line each: time, verdict, kind, door, target, reason, rule, "
        "environment.\vExamples:\n  sallyport audit tail --follow /var/lib/sallyport/audit\n"
        "  sallyport audit tail --json --from 1000 DIR | jq .status_code\n\n"
        "Exit status: 0 done, 1 it failed, 2 the framing is broken, 3 no log there, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct audit_args args = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    return audit_tail(args.dir, args.from, args.json, args.follow);
}

/* ---- status ---- */

static void print_status(const struct audit_peek *p)
{
    printf("origin       %s\n", p->origin);
    printf("key          %s\n", p->vkey[0] != '\0' ? p->vkey : "(missing)");
    printf("entries      %llu, %llu of them signed\n", (unsigned long long)p->entries,
           (unsigned long long)p->signed_size);
    printf("segments     %llu, %llu bytes\n", (unsigned long long)p->segments, (unsigned long long)p->segment_bytes);
    printf("quarantined  %llu files\n", (unsigned long long)p->quarantined);
    printf("signer       %s\n", p->signer[0] != '\0' ? p->signer : "(unknown)");
    if (p->held)
        printf("held by      %s\n", p->holder);
    else
        puts("held by      nobody");
}

static void print_status_json(const struct audit_peek *p)
{
    json_t *object = json_object();
    json_object_set_new(object, "origin", json_string(p->origin));
    json_object_set_new(object, "vkey", json_string(p->vkey));
    json_object_set_new(object, "entries", json_integer((json_int_t)p->entries));
    json_object_set_new(object, "signed", json_integer((json_int_t)p->signed_size));
    json_object_set_new(object, "segments", json_integer((json_int_t)p->segments));
    json_object_set_new(object, "segment_bytes", json_integer((json_int_t)p->segment_bytes));
    json_object_set_new(object, "quarantined", json_integer((json_int_t)p->quarantined));
    json_object_set_new(object, "signer", json_string(p->signer));
    json_object_set_new(object, "held", json_boolean(p->held));
    json_object_set_new(object, "holder", json_string(p->holder));
    print_object(object);
}

static int status(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", OPT_JSON, 0, 0, "one JSON object", 0},
        {0    },
    };
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "What can be seen of the log in DIR from outside; nothing of it is proven.\vExample:\n"
        "  sallyport audit status /var/lib/sallyport/audit\n\n"
        "Exit status: 0 done, 1 it failed, 3 no log there, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct audit_args args = {0};
    struct audit_peek peek;
    argp_parse(&argp, argc, argv, 0, NULL, &args);
    enum err err = audit_peek(args.dir, &peek);
    if (err != ERR_NONE) {
        fprintf(stderr, "sallyport audit status: %s: %s\n", args.dir,
                err == ERR_NOT_FOUND ? "no log there" : "log.json cannot be read");
        return err == ERR_NOT_FOUND ? 3 : 1;
    }
    if (args.json)
        print_status_json(&peek);
    else
        print_status(&peek);
    return 0;
}

/* ---- the verb ---- */

struct sub_verb {
    const char *name;
    int (*fn)(int argc, char **argv);
    const char *sentence;
};

static const struct sub_verb sub_verbs[] = {
    {"verify",     verify,                "is the log whole and unchanged, and what of that is proven"       },
    {"tail",       tail,                  "the records, a line each, or as they stand in the log"            },
    {"query",      audit_verb_query,      "the records of an environment, session, host, verdict, rule, time"},
    {"export",     audit_verb_export,     "the same, each with its place in the log and its leaf hash"       },
    {"prove",      audit_verb_prove,      "proof of an entry, or everything of one environment, to hand on"  },
    {"checkpoint", audit_verb_checkpoint, "the newest signed tree head, to be kept elsewhere"                },
    {"tiles",      audit_verb_tiles,      "the signed tree as plain C2SP files for other programs"           },
    {"status",     status,                "size, signatures and holder of a log"                             },
};

static void usage(FILE *out)
{
    fputs("Usage: sallyport audit VERB [OPTION...] DIR\n\n", out);
    for (size_t i = 0; i < sizeof sub_verbs / sizeof sub_verbs[0]; i++)
        fprintf(out, "  %-10s %s\n", sub_verbs[i].name, sub_verbs[i].sentence);
    fputs("\nExample:\n  sallyport audit verify /var/lib/sallyport/audit\n", out);
}

int verb_audit(int argc, char **argv)
{
    argp_err_exit_status = EXIT_USAGE;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : 0;
    }
    for (size_t i = 0; i < sizeof sub_verbs / sizeof sub_verbs[0]; i++) {
        if (strcmp(argv[1], sub_verbs[i].name) != 0)
            continue;
        char name[64];
        snprintf(name, sizeof name, "sallyport audit %s", sub_verbs[i].name);
        argv[1] = name;
        return sub_verbs[i].fn(argc - 1, argv + 1);
    }
    fprintf(stderr, "sallyport audit: there is no '%s'; 'sallyport audit --help' lists what there is\n", argv[1]);
    return EXIT_USAGE;
}
