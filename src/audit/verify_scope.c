/* SPDX-License-Identifier: Apache-2.0 */
/* One environment alone, as its owner asks; and whether outcomes add up to what the kernel counted. */
#include "verify_private.h"

#include "base/text.h"

#include <stdlib.h>

struct scope {
    char name[1024]; /* as it stands in a leaf, escaped */
    size_t len;
    struct flows open;
};

enum err scope_new(struct verify *v)
{
    struct scope *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NO_MEMORY;
    struct outbuf o = outbuf_make(s->name, sizeof s->name);
    struct json j = json_make(&o);
    json_text(&j, v->options->environment);
    if (o.overflow) {
        free(s);
        return ERR_TOO_BIG;
    }
    s->len = o.len - 2; /* without its quotes */
    memmove(s->name, s->name + 1, s->len);
    v->scope = s;
    return ERR_NONE;
}

void scope_free(struct scope *s)
{
    if (s == NULL)
        return;
    flows_free(&s->open);
    free(s);
}

bool scope_has(const struct verify *v, const struct leaf_facts *facts)
{
    return v->scope == NULL ||
           (facts->has_tenant && span_equal(facts->tenant, span_make(v->scope->name, v->scope->len)));
}

enum err scope_entry(struct verify *v, const struct leaf_facts *facts)
{
    struct verify_environment *e = &v->report->environment;
    enum err err = ERR_NONE;
    if (v->scope == NULL || !scope_has(v, facts))
        return ERR_NONE;
    e->first_seq = e->entries++ == 0 ? facts->env_seq : e->first_seq;
    e->last_seq = facts->env_seq;
    if (facts->kind == LEAF_ATTEMPT) {
        e->attempts++;
        e->denied += !facts->allowed;
        if (facts->allowed)
            err = flows_put(&v->scope->open, facts->flow, 0, 0);
    } else if (facts->kind == LEAF_OUTCOME) {
        e->outcomes++;
        e->denied += !facts->allowed;
        flows_take(&v->scope->open, facts->flow);
    }
    return err;
}

void scope_end(struct verify *v)
{
    struct verify_report *r = v->report;
    struct verify_environment *e = &r->environment;
    const char *name = v->options->environment;
    if (v->scope == NULL)
        return;
    e->open = v->scope->open.count;
    if (e->entries == 0) {
        verify_finding(r, VERIFY_INCOMPLETE, "environment %.64s: no entry of it was read", name);
        return;
    }
    if (v->gaps == 0)
        verify_proven(r, "environment %.64s: its numbers %llu to %llu are all here, without a gap", name,
                      (unsigned long long)e->first_seq, (unsigned long long)e->last_seq);
    verify_remark(r,
                  "environment %.64s: %llu attempts, %llu of them denied in the end, %llu outcomes, %llu without one",
                  name, (unsigned long long)e->attempts, (unsigned long long)e->denied, (unsigned long long)e->outcomes,
                  (unsigned long long)e->open);
    if (v->elsewhere > 0)
        verify_remark(r, "%llu findings about other environments do not count here", (unsigned long long)v->elsewhere);
    verify_unproven(r, "anything about the completeness of other environments than %.64s", name);
}

/* ---- what the kernel counted ---- */

static uint64_t leaf_count(struct span unmapped, const char *mark)
{
    const uint8_t *at = memmem(unmapped.data, unmapped.len, mark, strlen(mark));
    uint64_t value = 0;
    size_t digits = 0;
    if (at == NULL)
        return 0;
    struct span rest = span_from(unmapped, (size_t)(at - unmapped.data) + strlen(mark));
    while (digits < rest.len && rest.data[digits] >= '0' && rest.data[digits] <= '9')
        digits++;
    return text_u64(span_first(rest, digits), UINT32_MAX, &value) == ERR_NONE ? value : 0;
}

void counter_entry(struct verify *v, const struct leaf_facts *facts)
{
    if (facts->kind == LEAF_OUTCOME)
        v->report->dials += leaf_count(facts->unmapped, ",\"dials\":");
    if (facts->kind == LEAF_LOOKUP)
        v->report->dns_sent += leaf_count(facts->unmapped, ",\"dns_sent\":");
}

static void add_up(struct verify *v, const char *what, const char *records, uint64_t recorded, uint64_t counted)
{
    struct verify_report *r = v->report;
    unsigned long long have = recorded, kernel = counted;
    uint64_t unknown = v->ledger.open.count + v->ledger.lost;
    if (recorded == counted)
        verify_proven(r, "%s: the %s hold %llu, and the kernel counted as many", what, records, have);
    else if (recorded > counted)
        verify_finding(r, VERIFY_INCOMPLETE,
                       "%s: the %s hold %llu, the kernel counted %llu: the counter does not cover the whole log", what,
                       records, have, kernel);
    else if (unknown > 0)
        verify_unproven(r,
                        "that nothing left unrecorded: %s: %llu on record, %llu counted, and %llu flows without an "
                        "outcome may account for the rest",
                        what, have, kernel, (unsigned long long)unknown);
    else
        verify_finding(r, VERIFY_INCOMPLETE, "%s: the kernel counted %llu, the %s hold %llu: %llu left unrecorded",
                       what, kernel, records, have, kernel - have);
}

void counter_end(struct verify *v)
{
    const struct verify_counter *c = v->options->counter;
    if (c == NULL) {
        verify_unproven(v->report, "agreement with a counter of the kernel's: none was given (--counter)");
        return;
    }
    add_up(v, "connections", "outcomes", v->report->dials, c->connects);
    add_up(v, "DNS queries", "lookup records", v->report->dns_sent, c->dns_queries);
}
