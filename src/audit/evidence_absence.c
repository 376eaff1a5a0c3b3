/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "It never contacted that host": every entry of the environment is read, and its numbers have no gap, so there is none
 * that could say otherwise.
 */
#include "evidence_private.h"
#include "flows.h"
#include "leaf.h"
#include "query_match.h"

struct absence {
    struct evidence_absence *a;
    char tenant[1024]; /* as it stands in a leaf */
    size_t tenant_len;
    struct audit_query *host;
    struct flows open; /* allowed attempts to the host, in that time */
    bool has_first;
};

static bool was_dialled(struct span unmapped)
{
    static const char key[] = ",\"dials\":";
    const uint8_t *at = memmem(unmapped.data, unmapped.len, key, sizeof key - 1);
    /* An outcome without the number is none that this program wrote: it counts against absence. */
    return at == NULL || at + sizeof key - 1 >= unmapped.data + unmapped.len || at[sizeof key - 1] != '0';
}

static void contact(struct absence *s, uint64_t index)
{
    s->a->contacts++;
    if (!s->has_first)
        s->a->first_contact = index;
    s->has_first = true;
}

/* The attempt decides whether a flow is meant; what became of it stands in its outcome, whenever that came. */
static enum err take_flow(struct absence *s, uint64_t index, struct span leaf, const struct leaf_facts *facts)
{
    if (facts->kind == LEAF_OUTCOME) {
        if (!flows_take(&s->open, facts->flow))
            return ERR_NONE;
        if (facts->allowed || was_dialled(facts->unmapped))
            contact(s, index);
        else
            s->a->refused++;
        return ERR_NONE;
    }
    bool attempt = facts->kind == LEAF_ATTEMPT, lookup = facts->kind == LEAF_LOOKUP;
    if ((!attempt && !lookup) || !query_matches(s->host, leaf))
        return ERR_NONE;
    s->a->lookups += lookup;
    if (lookup)
        return ERR_NONE; /* it went to a name server */
    if (facts->allowed)
        return flows_put(&s->open, facts->flow, index, 0);
    s->a->refused++;
    return ERR_NONE;
}

static enum err look(void *arg, uint64_t index, struct span leaf, const uint8_t hash[static DIGEST_BYTES])
{
    struct absence *s = arg;
    struct leaf_facts facts;
    (void)hash;
    if (!leaf_scan(leaf, &facts))
        return ERR_CORRUPT;
    if (!facts.has_tenant || !span_equal(facts.tenant, span_make(s->tenant, s->tenant_len)))
        return ERR_NONE;
    if (facts.env_seq != ++s->a->entries)
        return ERR_CORRUPT;
    int64_t ms = evidence_time(leaf);
    bool then = ms >= s->a->from_ms && (s->a->to_ms == 0 || ms < s->a->to_ms);
    s->a->entries_then += then;
    return then || facts.kind == LEAF_OUTCOME ? take_flow(s, index, leaf, &facts) : ERR_NONE;
}

static void count_unknown(struct absence *s)
{
    s->a->unknown = s->open.count;
    for (size_t i = 0; i < s->open.cap; i++) {
        const struct flow_row *row = &s->open.rows[i];
        if (row->used && (!s->has_first || row->index < s->a->first_contact)) {
            s->a->first_contact = row->index;
            s->has_first = true;
        }
    }
}

enum err evidence_absence(struct evidence *e, struct evidence_absence *a)
{
    struct absence s = {.a = a};
    const struct audit_filter filter = {.host = a->host};
    struct outbuf o = outbuf_make(s.tenant, sizeof s.tenant);
    struct json j = json_make(&o);
    json_text(&j, a->environment);
    if (o.overflow)
        return ERR_NOT_FOUND;
    s.tenant_len = o.len - 2; /* without its quotes */
    memmove(s.tenant, s.tenant + 1, s.tenant_len);
    a->entries = a->entries_then = a->refused = a->lookups = a->contacts = a->unknown = a->first_contact = 0;
    enum err err = query_matcher(&filter, &s.host);
    if (err == ERR_NONE)
        err = evidence_each(e, look, &s);
    if (err == ERR_NONE)
        count_unknown(&s);
    audit_query_close(s.host);
    flows_free(&s.open);
    return err == ERR_NONE && a->entries == 0 ? ERR_NOT_FOUND : err;
}
