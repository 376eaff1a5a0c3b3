/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include "manifest.h"
#include "open_flows.h"

void ledger_init(struct ledger *l)
{
    *l = (struct ledger){0};
    envs_init(&l->envs);
}

void ledger_free(struct ledger *l)
{
    envs_free(&l->envs);
    flows_free(&l->open);
}

/* What a manifest says of an environment is what the entries before it say, and it leaves none out. */
static enum ledger_finding manifest_entry(struct ledger *l, const struct leaf_facts *facts)
{
    struct span list = leaf_text(facts->unmapped, MANIFEST_KEY);
    struct manifest_row row;
    bool bad = false, wrong = false;
    uint64_t part = leaf_number(facts->unmapped, "part"), parts = leaf_number(facts->unmapped, "parts");
    if (part == 1)
        l->listed = 0;
    while (manifest_next(&list, &row, &bad)) {
        const struct env *env = envs_find(&l->envs, row.name);
        if (env == NULL)
            return LEDGER_NO_MEMORY;
        wrong |= env->settled != row.env_seq || env->settled_index != row.index;
        l->listed++;
    }
    bool all = part < parts || l->listed == envs_used(&l->envs);
    return (wrong || bad || !all) && !l->partial ? LEDGER_MANIFEST : LEDGER_FINE;
}

static enum ledger_finding event_entry(struct ledger *l, const struct leaf_facts *facts)
{
    l->stopped = facts->event == EVENT_LOG_STOPPED;
    if (facts->event == EVENT_LOG_STARTED)
        l->sessions++;
    if (facts->event == EVENT_OPEN_FLOWS) {
        uint8_t id[FLOW_ID_BYTES];
        struct span rest = leaf_text(facts->unmapped, OPEN_FLOWS_KEY);
        while (open_flows_next(&rest, id))
            l->lost += flows_take(&l->open, id);
    }
    return facts->event == EVENT_ENV_MANIFEST ? manifest_entry(l, facts) : LEDGER_FINE;
}

static enum ledger_finding flow_entry(struct ledger *l, uint64_t index, const struct leaf_facts *facts)
{
    l->stopped = false;
    if (facts->kind == LEAF_ATTEMPT) {
        l->attempts++;
        if (facts->allowed && flows_put(&l->open, facts->flow, index, l->sessions) != ERR_NONE)
            return LEDGER_NO_MEMORY;
    } else if (facts->kind == LEAF_OUTCOME) {
        l->outcomes++;
        if (!flows_take(&l->open, facts->flow) && !l->partial)
            return LEDGER_NO_ATTEMPT;
    } else if (facts->kind == LEAF_TRAFFIC && !flows_has(&l->open, facts->flow) && !l->partial) {
        return LEDGER_NO_ATTEMPT;
    } /* a lookup may be answered after the end of the attempt that asked */
    return LEDGER_FINE;
}

enum ledger_finding ledger_entry(struct ledger *l, uint64_t index, struct span leaf, struct leaf_facts *out_facts)
{
    if (!leaf_scan(leaf, out_facts) || out_facts->sequence != index)
        return LEDGER_MALFORMED;
    enum ledger_finding numbers = LEDGER_FINE;
    if (out_facts->has_tenant) {
        struct env *env = envs_find(&l->envs, out_facts->tenant);
        if (env == NULL)
            return LEDGER_NO_MEMORY;
        if (out_facts->env_seq != env->last + 1 && !(l->partial && env->last == 0))
            numbers = LEDGER_GAP;
        env->last = env->settled = out_facts->env_seq;
        env->index = env->settled_index = index;
    }
    enum ledger_finding rest =
        out_facts->kind == LEAF_EVENT ? event_entry(l, out_facts) : flow_entry(l, index, out_facts);
    return rest != LEDGER_FINE ? rest : numbers;
}

uint64_t ledger_forgotten(const struct ledger *l)
{
    uint64_t count = 0;
    for (size_t i = 0; i < l->open.cap; i++)
        count += l->open.rows[i].used && l->open.rows[i].session < l->sessions;
    return count;
}
