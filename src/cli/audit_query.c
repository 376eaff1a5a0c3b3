/* SPDX-License-Identifier: Apache-2.0 */
#include "audit_tail.h"
#include "audit_verbs.h"
#include "options.h"

#include "audit/query.h"
#include "audit/reader.h"
#include "base/digest.h"
#include "base/outbuf.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <string.h>

enum {
    OPT_ENV = 1000,
    OPT_SESSION,
    OPT_HOST,
    OPT_VERDICT,
    OPT_RULE,
    OPT_REASON,
    OPT_SINCE,
    OPT_UNTIL,
    OPT_JSON,
    OPT_COUNT,
    OPT_FORMAT,
};

struct query_args {
    const char *dir;
    struct audit_filter filter;
    bool json, count;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const struct audit_place places[] = {
        AUDIT_PLACE(OPT_ENV, struct query_args, filter.environment),
        AUDIT_PLACE(OPT_SESSION, struct query_args, filter.session),
        AUDIT_PLACE(OPT_HOST, struct query_args, filter.host),
        AUDIT_PLACE(OPT_RULE, struct query_args, filter.rule),
        AUDIT_PLACE(OPT_REASON, struct query_args, filter.reason),
        AUDIT_PLACE(OPT_SINCE, struct query_args, filter.since_ms),
        AUDIT_PLACE(OPT_UNTIL, struct query_args, filter.until_ms),
        AUDIT_PLACE(OPT_JSON, struct query_args, json),
        AUDIT_PLACE(OPT_COUNT, struct query_args, count),
    };
    struct query_args *a = state->input;
    if (key == OPT_VERDICT) {
        a->filter.verdict = strcmp(arg, "allow") == 0 ? AUDIT_ALLOWED : AUDIT_DENIED;
        if (strcmp(arg, "allow") != 0 && strcmp(arg, "deny") != 0)
            argp_error(state, "a verdict is allow or deny, not '%s'", arg);
        return 0;
    }
    if (key == OPT_FORMAT) {
        if (strcmp(arg, "jsonl") != 0)
            argp_error(state, "the only format is jsonl, not '%s'", arg);
        return 0;
    }
    return audit_take(places, sizeof places / sizeof places[0], key, arg, state, &a->dir);
}

/* clang-format off */
#define FILTER_OPTIONS                                                                                                 \
    {"env", OPT_ENV, "NAME", 0, "of this environment", 0},                                                             \
    {"session", OPT_SESSION, "ID", 0, "of this session", 0},                                                           \
    {"host", OPT_HOST, "HOST", 0, "to this name or address; *.example.com: to anything below it", 0},                  \
    {"verdict", OPT_VERDICT, "WHAT", 0, "allow or deny, as it was in the end", 0},                                     \
    {"rule", OPT_RULE, "ID", 0, "decided by this rule", 0},                                                            \
    {"reason", OPT_REASON, "NAME", 0, "for this reason", 0},                                                           \
    {"since", OPT_SINCE, "TIME", 0, "from this time on: 2026-11-21, 2026-11-21T10:00:00Z, or 1h ago", 0},              \
    {"until", OPT_UNTIL, "TIME", 0, "before this time", 0}
/* clang-format on */

static int finish(enum err err, const char *verb, const char *dir)
{
    if (err == ERR_AGAIN)
        err = fflush(stdout) == 0 ? ERR_NONE : ERR_IO;
    return err == ERR_NONE ? 0 : audit_fail(verb, dir, err, err_text(err));
}

int audit_verb_query(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        FILTER_OPTIONS,
        {"json",  OPT_JSON,  0, 0, "each record as it stands in the log", 0},
        {"count", OPT_COUNT, 0, 0, "only how many there are", 0},
        {0},
    };
    /* clang-format on */
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Prints the records in DIR that match all of what is given. Nothing is proven by it: see prove.\vExamples:\n"
        "  sallyport audit query --env invoice-env --verdict deny --since 1h /var/lib/sallyport/audit\n"
        "  sallyport audit query --host '*.example.com' --count DIR\n\n"
        "Exit status: 0 done, 1 it failed, 2 the framing is broken, 3 no log there, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct query_args args = {0};
    struct audit_query *query = NULL;
    unsigned long long count = 0;
    options_read(&argp, argc, argv, 0, &args);
    enum err err = audit_query_open(args.dir, &args.filter, &query);
    while (err == ERR_NONE) {
        uint64_t index = 0;
        struct span leaf;
        err = audit_query_next(query, &index, &leaf);
        if (err != ERR_NONE)
            break;
        count++;
        if (args.count)
            continue;
        if (args.json) {
            fwrite(leaf.data, 1, leaf.len, stdout);
            putchar('\n');
        } else {
            err = audit_print(index, leaf);
        }
    }
    audit_query_close(query);
    if (args.count && err == ERR_AGAIN)
        printf("%llu\n", count);
    return finish(err, "query", args.dir);
}

/* An entry holds no newline and is JSON already: it is set into the line as it is. */
static void print_export(struct digest *digest, const char *origin, uint64_t index, struct span leaf)
{
    static const uint8_t prefix = 0; /* RFC 6962 2.1 */
    uint8_t hash[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES];
    digest_begin(digest);
    digest_add(digest, span_make(&prefix, 1));
    digest_add(digest, leaf);
    digest_end(digest, hash);
    struct outbuf o = outbuf_make(hex, sizeof hex);
    outbuf_hex(&o, span_make(hash, sizeof hash));
    /* An origin has no character that JSON escapes. */
    printf("{\"origin\":\"%s\",\"index\":%llu,\"leaf_hash\":\"%.*s\",\"event\":", origin, (unsigned long long)index,
           (int)sizeof hex, hex);
    fwrite(leaf.data, 1, leaf.len, stdout);
    fputs("}\n", stdout);
}

int audit_verb_export(int argc, char **argv)
{
    static const struct argp_option options[] = {
        FILTER_OPTIONS,
        {"format", OPT_FORMAT, "jsonl", 0, "one JSON object a line (the only one)", 0},
        {0},
    };
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Prints the records in DIR, each as one JSON object with origin, index and leaf_hash, so that whoever gets it "
        "can "
        "be shown its proof.\vExample:\n  sallyport audit export --since 24h /var/lib/sallyport/audit > day.jsonl\n\n"
        "Exit status: 0 done, 1 it failed, 2 the framing is broken, 3 no log there, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct query_args args = {0};
    struct audit_query *query = NULL;
    struct audit_peek peek;
    struct digest *digest = NULL;
    options_read(&argp, argc, argv, 0, &args);
    enum err err = audit_peek(args.dir, &peek);
    if (err == ERR_NONE)
        err = digest_new(&digest);
    if (err == ERR_NONE)
        err = audit_query_open(args.dir, &args.filter, &query);
    while (err == ERR_NONE) {
        uint64_t index = 0;
        struct span leaf;
        err = audit_query_next(query, &index, &leaf);
        if (err == ERR_NONE)
            print_export(digest, peek.origin, index, leaf);
    }
    audit_query_close(query);
    digest_free(digest);
    return finish(err, "export", args.dir);
}
