/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_open.h"

#include "findings.h"
#include "policy_diff.h"

#include <stdio.h>
#include <string.h>

/* ---- the lines ---- */

/* The policy with these lines in it; `unasked`: whatever its own tests and its ceiling say. NULL: it is not loaded. */
static struct policy *load_changed(const struct opening_case *c, const struct opening *o, bool unasked,
                                   struct diag *diag)
{
    struct policy_sources sources = *c->sources;
    struct policy *policy = NULL;
    sources.changes = o->changes;
    sources.change_count = o->change_count;
    sources.unasked = unasked;
    return policy_load(&sources, diag, &policy) == ERR_NONE ? policy : NULL;
}

/* Why the policy with these lines would not be taken: a test of its own, the ceiling above it. */
static void try_load(const struct opening_case *c, struct opening *o)
{
    struct diag diag;
    diag_init(&diag);
    struct policy *policy = load_changed(c, o, c->sources->unasked, &diag);
    if (policy == NULL)
        snprintf(o->forbids, sizeof o->forbids, "it is not loaded");
    for (size_t i = 0; i < diag.count && policy == NULL; i++) {
        const struct finding *f = &diag.items[i];
        if (f->severity != SEVERITY_ERROR)
            continue;
        snprintf(o->forbids, sizeof o->forbids, "%.80s:%u:%u: %s", f->file, f->line, f->column, f->message);
        break;
    }
    policy_unref(policy);
    diag_clear(&diag);
}

/* The policy as it would be, for whatever is asked of it next. */
static bool change(const struct opening_case *c, struct opening *o)
{
    struct diag diag;
    diag_init(&diag);
    struct policy *policy = load_changed(c, o, true, &diag);
    diag_clear(&diag);
    if (policy == NULL)
        return false;
    policy_unref(o->changed);
    o->changed = policy;
    return true;
}

/* One refusal may hide another: lines are added until the answer is yes. */
void opening_find(const struct opening_case *c, const struct decision *decision, const struct ipaddr *address,
                  struct opening *out)
{
    *out = (struct opening){0};
    const struct policy *policy = c->policy;
    struct decision now = *decision;
    struct outbuf text = outbuf_make(out->text, sizeof out->text);
    while (now.verdict == VERDICT_DENY && out->change_count < OPENING_CHANGES_MAX) {
        struct policy_change *next = &out->changes[out->change_count];
        policy_opening(policy, c->question, &now, address, c->catalogue, &text, next);
        if (next->kind == CHANGE_NONE)
            break;
        out->change_count++;
        if (!change(c, out)) {
            out->change_count--;
            break;
        }
        policy = out->changed;
        c->ask(c->arg, policy, &now, &address);
    }
    out->len = text.len;
    out->left = now;
    out->opens = now.verdict == VERDICT_ALLOW && out->changed != NULL;
    if (out->opens)
        try_load(c, out);
}

void opening_free(struct opening *opening)
{
    policy_unref(opening->changed);
    opening->changed = NULL;
}

/* ---- what else ---- */

struct telling {
    const struct opening_case *c;
    struct json *j;   /* NULL: for people */
    bool opens;       /* openings, or closings */
    const char *head; /* said before the first */
    size_t count;
};

/* The connection that was asked about is no surprise. */
static bool is_asked(const struct opening_case *c, const struct policy_difference *one)
{
    char host[TARGET_TEXT_MAX];
    const struct question *q = c->question;
    bool http = q->door == DOOR_HTTP || q->door == DOOR_PLAIN;
    target_format_host(q->target, host);
    return one->opens && one->host != NULL && strcmp(one->host, host) == 0 && one->port == q->target->port &&
           (one->door == DOOR_HTTP) == http;
}

static void tell(void *arg, const struct policy_difference *one)
{
    struct telling *t = arg;
    if (one->opens != t->opens || is_asked(t->c, one))
        return;
    if (t->count++ == 0 && t->head != NULL)
        puts(t->head);
    const char *host = one->host == NULL ? "every name that no line mentions" : one->host;
    const char *door = one->door == DOOR_HTTP ? "http" : "connect";
    if (t->j != NULL) {
        json_open(t->j, '{');
        json_key_text(t->j, "host", one->host == NULL ? "*" : one->host);
        json_key_u64(t->j, "port", one->port);
        json_key_text(t->j, "via", door);
        json_close(t->j, '}');
        json_flush(t->j, stdout);
    } else if (one->port == 0) {
        printf("  %s, every port that no line mentions, by %s\n", host, door);
    } else {
        printf("  %s:%u by %s\n", host, (unsigned)one->port, door);
    }
}

static size_t tell_all(const struct opening_case *c, const struct opening *o, bool opens, struct json *j)
{
    struct telling t = {.c = c, .j = j, .opens = opens};
    policy_diff_each(c->policy, o->changed, tell, &t);
    return t.count;
}

/* What is no question of host and port, and holds for the host of the entry alone. */
static const char *beyond_ports(const struct policy_change *change)
{
    if (change->tls_key != NULL && strcmp(change->tls_key, "sni") == 0)
        return "a TLS hello to this host that names none, on each of its ports";
    if (change->tls_key != NULL && strcmp(change->tls_key, "ech") == 0)
        return "encrypted client hello to this host: what the inner name is nobody sees";
    if (change->tls_key != NULL)
        return "every protocol to this host, on each of its ports";
    if (change->methods != 0)
        return "this method on every path of this host";
    if (change->address[0] != '\0')
        return "this address for this host, and from then on none that its entry does not list";
    return NULL;
}

/* ---- what is not decided ---- */

struct looking {
    bool patterns, lists;
};

static void look(void *arg, const struct policy_line *line)
{
    struct looking *l = arg;
    l->patterns |= strncmp(line->section, "egress.host_patterns", 20) == 0;
    l->lists |= strcmp(line->section, "egress.allowed_host_files") == 0;
}

/* The lines of one host touch no other; only the list of blocked ports does. */
static struct looking undecided(const struct opening_case *c, const struct opening *o)
{
    struct looking l = {false, false};
    bool wide = false;
    for (size_t i = 0; i < o->change_count; i++)
        wide |= o->changes[i].kind == CHANGE_BLOCKED_PORTS;
    if (wide)
        policy_describe(c->policy, look, &l);
    return l;
}

/* ---- words ---- */

static void print_else(const struct opening_case *c, const struct opening *o)
{
    puts("What else that opens:");
    size_t count = tell_all(c, o, true, NULL);
    for (size_t i = 0; i < o->change_count; i++) {
        const char *words = beyond_ports(&o->changes[i]);
        if (words != NULL)
            printf("  %s\n", words);
        count += words != NULL;
    }
    if (count == 0)
        puts("  nothing");
    struct looking l = undecided(c, o);
    if (l.patterns)
        puts("  undecided: hosts that regular expressions match");
    if (l.lists)
        puts("  undecided: hosts of list files");
}

static void print_closed(const struct opening_case *c, const struct opening *o)
{
    struct telling t = {.c = c, .opens = false, .head = "And closes, since an entry of its own speaks for this host:"};
    policy_diff_each(c->policy, o->changed, tell, &t);
}

void opening_print(const struct opening_case *c, const struct opening *o)
{
    if (o->len == 0)
        return;
    printf("What would open it:\n%.*s", (int)o->len, o->text);
    if (!o->opens && o->change_count > 0)
        puts("These lines alone do not open it.");
    if (!o->opens)
        return;
    print_else(c, o);
    print_closed(c, o);
    if (o->forbids[0] != '\0')
        printf("A policy with these lines would not load: %s\n", o->forbids);
}

void opening_json(const struct opening_case *c, const struct opening *o, struct json *j)
{
    json_key_span(j, "opening", span_make(o->text, o->len));
    json_key_bool(j, "opens", o->opens);
    if (!o->opens)
        return;
    json_flush(j, stdout);
    static const char *const keys[] = {"also_closes", "also_opens"};
    for (unsigned opens = 2; opens-- > 0;) {
        json_key(j, keys[opens]);
        json_open(j, '[');
        tell_all(c, o, opens == 1, j);
        json_close(j, ']');
    }
    json_key(j, "also");
    json_open(j, '[');
    for (size_t i = 0; i < o->change_count; i++)
        if (beyond_ports(&o->changes[i]) != NULL)
            json_text(j, beyond_ports(&o->changes[i]));
    json_close(j, ']');
    struct looking l = undecided(c, o);
    json_key(j, "undecided");
    json_open(j, '[');
    if (l.patterns)
        json_text(j, "egress.host_patterns");
    if (l.lists)
        json_text(j, "egress.allowed_host_files");
    json_close(j, ']');
    if (o->forbids[0] != '\0')
        json_key_text(j, "would_not_load", o->forbids);
    json_flush(j, stdout);
}
