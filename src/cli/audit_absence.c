/* SPDX-License-Identifier: Apache-2.0 */
/* audit absence: a statement that an environment never contacted a host, from all of its entries. */
#include "audit_verbs.h"
#include "options.h"

#include "audit/evidence.h"
#include "cli/verbs.h"

#include <stdio.h>

#define EXIT_CONTACTED 5

enum { OPT_ENV = 1000, OPT_HOST, OPT_FROM, OPT_TO, OPT_KEY, OPT_JSON };

struct absence_args {
    const char *dir, *key;
    struct evidence_absence question;
    bool json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const struct audit_place places[] = {
        AUDIT_PLACE(OPT_ENV, struct absence_args, question.environment),
        AUDIT_PLACE(OPT_HOST, struct absence_args, question.host),
        AUDIT_PLACE(OPT_FROM, struct absence_args, question.from_ms),
        AUDIT_PLACE(OPT_TO, struct absence_args, question.to_ms),
        AUDIT_PLACE(OPT_KEY, struct absence_args, key),
        AUDIT_PLACE(OPT_JSON, struct absence_args, json),
    };
    struct absence_args *a = state->input;
    return audit_take(places, sizeof places / sizeof places[0], key, arg, state, &a->dir);
}

static const char not_proven[] =
    "that the host was not reached under another name or by an address, that the clock was right, and that every "
    "attempt passed this gate";

static bool is_absent(const struct evidence_absence *q)
{
    return q->contacts == 0 && q->unknown == 0;
}

static void print_json(const struct evidence_absence *q, const struct evidence *e)
{
    struct span note = evidence_checkpoint(e);
    json_t *o = json_object();
    json_object_set_new(o, "statement", json_string(is_absent(q) ? "never contacted" : "contacted"));
    json_object_set_new(o, "origin", json_string(evidence_origin(e)));
    json_object_set_new(o, "environment", json_string(q->environment));
    json_object_set_new(o, "host", json_string(q->host));
    json_object_set_new(o, "from_ms", json_integer(q->from_ms));
    json_object_set_new(o, "to_ms", json_integer(q->to_ms));
    json_object_set_new(o, "env_entries", json_integer((json_int_t)q->entries));
    json_object_set_new(o, "env_entries_then", json_integer((json_int_t)q->entries_then));
    json_object_set_new(o, "contacts", json_integer((json_int_t)q->contacts));
    json_object_set_new(o, "unknown", json_integer((json_int_t)q->unknown));
    json_object_set_new(o, "refused", json_integer((json_int_t)q->refused));
    json_object_set_new(o, "lookups", json_integer((json_int_t)q->lookups));
    if (!is_absent(q))
        json_object_set_new(o, "first_contact", json_integer((json_int_t)q->first_contact));
    json_object_set_new(o, "not_proven", json_string(not_proven));
    json_object_set_new(o, "vkey", json_string(evidence_vkey(e)));
    json_object_set_new(o, "checkpoint", json_stringn((const char *)note.data, note.len));
    audit_print_object(o);
}

static void print_text(const struct evidence_absence *q, const struct evidence *e)
{
    char from[32], to[32];
    struct span note = evidence_checkpoint(e);
    audit_time_text(q->from_ms, from);
    audit_time_text(q->to_ms, to);
    printf("%s %s %s from %s to %s.\n", q->environment, is_absent(q) ? "never contacted" : "MAY HAVE CONTACTED",
           q->host, q->from_ms == 0 ? "the beginning" : from, q->to_ms == 0 ? "the end of what is signed" : to);
    printf("all %llu entries of %s were read, numbers 1 to %llu without a gap; %llu fall into that time\n",
           (unsigned long long)q->entries, q->environment, (unsigned long long)q->entries,
           (unsigned long long)q->entries_then);
    printf("flows to the host: %llu contacts, %llu without an end on record, %llu refused\n",
           (unsigned long long)q->contacts, (unsigned long long)q->unknown, (unsigned long long)q->refused);
    if (q->lookups > 0)
        printf("its name was asked of name servers in %llu questions\n", (unsigned long long)q->lookups);
    if (!is_absent(q))
        printf("the first is entry %llu\n", (unsigned long long)q->first_contact);
    printf("not proven: %s\nthey are entries of the tree with this signed head, of key %s:\n\n", not_proven,
           evidence_vkey(e));
    fwrite(note.data, 1, note.len, stdout);
}

int audit_verb_absence(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        {"env",  OPT_ENV,  "NAME", 0, "the environment (required)", 0},
        {"host", OPT_HOST, "HOST", 0, "a name, *.example.com for anything below it, or an address (required)", 0},
        {"from", OPT_FROM, "TIME", 0, "from this time on: 2026-11-21, 2026-11-21T10:00:00Z, or 1h ago", 0},
        {"to",   OPT_TO,   "TIME", 0, "before this time", 0},
        {"key",  OPT_KEY,  "VKEY", 0, "the verifier key that you trust, or a file with it", 0},
        {"json", OPT_JSON, 0,      0, "one JSON object", 0},
        {0},
    };
    /* clang-format on */
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "States whether an environment ever contacted a host, from all of its signed entries, whose numbers have no "
        "gap. The statement names the signed tree head that it was made from: whoever has the log can make it again. A "
        "flow counts as a contact if it was allowed in the end, if anything was dialled for it, or if its end is not "
        "on "
        "record.\vExample:\n"
        "  sallyport audit absence --env invoice-env --host '*.example.com' --from 2026-11-01 --to 2026-12-01 DIR\n\n"
        "Exit status: 0 never contacted, 1 it failed, 2 the log is not what was signed or a number is missing, 3 no "
        "log "
        "there, 5 contacted, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct absence_args args = {0};
    struct evidence *e = NULL;
    options_read(&argp, argc, argv, 0, &args);
    if (args.question.environment == NULL || args.question.host == NULL) {
        fputs("sallyport audit absence: --env and --host are required\n", stderr);
        return EXIT_USAGE;
    }
    int status = audit_open_evidence("absence", args.dir, args.key, &e);
    if (status != 0)
        return status;
    enum err err = evidence_absence(e, &args.question);
    if (err == ERR_NOT_FOUND)
        status = audit_fail("absence", args.dir, ERR_IO, "there is no signed entry of that environment");
    else if (err != ERR_NONE)
        status = audit_fail("absence", args.dir, err, err_text(err));
    else if (args.json)
        print_json(&args.question, e);
    else
        print_text(&args.question, e);
    evidence_close(e);
    if (err != ERR_NONE)
        return status;
    return is_absent(&args.question) ? 0 : EXIT_CONTACTED;
}
