/* SPDX-License-Identifier: Apache-2.0 */
/* audit: the words around a log: is it whole, what stands in it, what is its state. */
#include "cli/verbs.h"
#include "options.h"

#include "audit_tail.h"
#include "audit_verbs.h"

#include "audit/reader.h"
#include "audit/ship.h"

#include <stdio.h>
#include <string.h>

enum { OPT_JSON = 1000, OPT_FOLLOW, OPT_FROM };

struct audit_args {
    const char *dir;
    bool json, follow;
    uint64_t from;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const struct audit_place places[] = {
        AUDIT_PLACE(OPT_JSON, struct audit_args, json),
        AUDIT_PLACE(OPT_FOLLOW, struct audit_args, follow),
        AUDIT_PLACE(OPT_FROM, struct audit_args, from),
    };
    struct audit_args *a = state->input;
    return audit_take(places, sizeof places / sizeof places[0], key, arg, state, &a->dir);
}

/* ---- tail ---- */

static int tail(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        {"follow", OPT_FOLLOW, 0,   0, "wait for more", 0},
        {"json",   OPT_JSON,   0,   0, "each record as it stands in the log, one OCSF object a line", 0},
        {"from",   OPT_FROM,   "N", 0, "begin with entry N", 0},
        {0},
    };
    /* clang-format on */
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
    options_read(&argp, argc, argv, 0, &args);
    return audit_tail(args.dir, args.from, args.json, args.follow);
}

/* ---- status ---- */

static void print_shipped(const struct audit_peek *p, const char *dir)
{
    struct ship_progress s;
    char through[32];
    if (ship_read(dir, &s) != ERR_NONE)
        return;
    audit_time_text(s.through_ms, through);
    printf("shipped      %llu entries to %s, everything until %s; %llu signed ones are not there\n",
           (unsigned long long)s.entries, s.to, through,
           (unsigned long long)(p->signed_size > s.entries ? p->signed_size - s.entries : 0));
}

static json_t *shipped_json(const struct audit_peek *p, const char *dir)
{
    struct ship_progress s;
    if (ship_read(dir, &s) != ERR_NONE)
        return json_null();
    uint64_t lag = p->signed_size > s.entries ? p->signed_size - s.entries : 0;
    return json_pack("{s:s, s:I, s:I, s:I, s:I}", "to", s.to, "entries", (json_int_t)s.entries, "lag_entries",
                     (json_int_t)lag, "through_ms", (json_int_t)s.through_ms, "written_ms", (json_int_t)s.written_ms);
}

static void print_withheld(const struct audit_peek *p)
{
    char since[32];
    if (p->withheld == 0)
        return;
    audit_time_text(p->withheld_since_ms, since);
    printf("published    %llu entries; %llu heads withheld since %s, until witnesses sign\n",
           (unsigned long long)p->published_size, (unsigned long long)p->withheld, since);
}

static void print_status(const struct audit_peek *p, const char *dir)
{
    printf("origin       %s\n", p->origin);
    printf("key          %s\n", p->vkey[0] != '\0' ? p->vkey : "(missing)");
    printf("entries      %llu, %llu of them signed\n", (unsigned long long)p->entries,
           (unsigned long long)p->signed_size);
    print_withheld(p);
    printf("segments     %llu, %llu bytes\n", (unsigned long long)p->segments, (unsigned long long)p->segment_bytes);
    printf("quarantined  %llu files\n", (unsigned long long)p->quarantined);
    printf("signer       %s\n", p->signer[0] != '\0' ? p->signer : "(unknown)");
    print_shipped(p, dir);
    if (p->held)
        printf("held by      %s\n", p->holder);
    else
        puts("held by      nobody");
}

static void print_status_json(const struct audit_peek *p, const char *dir)
{
    json_t *object = json_object();
    json_object_set_new(object, "origin", json_string(p->origin));
    json_object_set_new(object, "vkey", json_string(p->vkey));
    json_object_set_new(object, "entries", json_integer((json_int_t)p->entries));
    json_object_set_new(object, "signed", json_integer((json_int_t)p->signed_size));
    json_object_set_new(object, "published", json_integer((json_int_t)p->published_size));
    json_object_set_new(object, "withheld", json_integer((json_int_t)p->withheld));
    json_object_set_new(object, "withheld_since_ms", json_integer((json_int_t)p->withheld_since_ms));
    json_object_set_new(object, "segments", json_integer((json_int_t)p->segments));
    json_object_set_new(object, "segment_bytes", json_integer((json_int_t)p->segment_bytes));
    json_object_set_new(object, "quarantined", json_integer((json_int_t)p->quarantined));
    json_object_set_new(object, "signer", json_string(p->signer));
    json_object_set_new(object, "held", json_boolean(p->held));
    json_object_set_new(object, "holder", json_string(p->holder));
    json_object_set_new(object, "shipped", shipped_json(p, dir));
    audit_print_object(object);
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
    options_read(&argp, argc, argv, 0, &args);
    enum err err = audit_peek(args.dir, &peek);
    if (err != ERR_NONE) {
        fprintf(stderr, "sallyport audit status: %s: %s\n", args.dir,
                err == ERR_NOT_FOUND ? "no log there" : "log.json cannot be read");
        return err == ERR_NOT_FOUND ? 3 : 1;
    }
    if (args.json)
        print_status_json(&peek, args.dir);
    else
        print_status(&peek, args.dir);
    return 0;
}

/* ---- the verb ---- */

struct sub_verb {
    const char *name;
    int (*fn)(int argc, char **argv);
    const char *sentence;
};

static const struct sub_verb sub_verbs[] = {
    {"verify",     audit_verb_verify,     "is the log whole and unchanged, and what of that is proven"       },
    {"tail",       tail,                  "the records, a line each, or as they stand in the log"            },
    {"query",      audit_verb_query,      "the records of an environment, session, host, verdict, rule, time"},
    {"export",     audit_verb_export,     "the same, each with its place in the log and its leaf hash"       },
    {"prove",      audit_verb_prove,      "proof of an entry, or everything of one environment, to hand on"  },
    {"absence",    audit_verb_absence,    "a statement that an environment never contacted a host"           },
    {"replay",     audit_verb_replay,     "recorded decisions, made again with the recorded policies"        },
    {"checkpoint", audit_verb_checkpoint, "the newest signed tree head, to be kept elsewhere"                },
    {"tiles",      audit_verb_tiles,      "the signed tree as plain C2SP files for other programs"           },
    {"ship",       audit_verb_ship,       "a second copy elsewhere, kept up and acknowledged"                },
    {"hmac",       audit_verb_hmac,       "was this secret used? values by standard input"                   },
    {"cosign",     audit_verb_cosign,     "have witnesses sign the newest tree head, or refuse it"           },
    {"rotate-key", audit_verb_rotate_key, "another signing key, which the old one leads to"                  },
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
