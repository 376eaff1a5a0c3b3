/* SPDX-License-Identifier: Apache-2.0 */
#include "inside.h"

#include "wire/admitted_make.h"

struct place_in {
    const struct policy *policy;
    const struct question *question;
    const struct standing *standing;
    bool exactly_named; /* private_networks may open addresses for this target */
};

/* Whoever owns a name that a wildcard, a pattern, a group or `unrestricted` allowed chooses its address: for such a
 * name the environment's private prefixes stay closed. */
static bool is_exactly_named(const struct question *question, const struct standing *s)
{
    if (s->mcp != NULL && ports_have(&s->mcp->ports, question->target->port))
        return true;
    if (question->target->kind == TARGET_ADDRESS)
        return s->entry != NULL || s->allowed_index != 0;
    return s->hits[NAME_ENTRY].exact || s->hits[NAME_ALLOWED].exact;
}

/* ---- one address ---- */

struct finding_of {
    enum reason reason; /* REASON_ALLOWED: admitted */
    struct rule_ref rule;
};

static struct finding_of refuse(enum reason reason, enum rule_kind kind, uint32_t index)
{
    return (struct finding_of){
        reason, {kind, index}
    };
}

static struct finding_of admit(enum rule_kind kind, uint32_t index)
{
    return (struct finding_of){
        REASON_ALLOWED, {kind, index}
    };
}

static bool is_loopback(const struct ipaddr *addr)
{
    return address_classify(addr)->lift == LIFT_LOOPBACK;
}

/* A socket bound to every address answers on the loopback ones; the other addresses of this machine are the daemon's
 * to list. A socket bound to :: answers IPv4 as well. */
static bool socket_is(const struct own_socket *own, const struct ipaddr *addr, uint16_t port)
{
    static const uint8_t zeros[16];
    if (own->port != port)
        return false;
    if (ipaddr_equal(&own->addr, addr))
        return true;
    bool every = memcmp(own->addr.bytes, zeros, sizeof zeros) == 0;
    return every && is_loopback(addr) && (own->addr.family == 6 || addr->family == 4);
}

static bool is_own(const struct question *question, const struct ipaddr *addr)
{
    for (size_t i = 0; i < question->own_count; i++)
        if (socket_is(&question->own[i], addr, question->target->port))
            return true;
    return false;
}

static bool is_pinned(const struct host_entry *entry, const struct ipaddr *addr)
{
    for (uint32_t i = 0; i < entry->pin_count; i++)
        if (entry->pins[i].addr.family == addr->family && prefix_contains(&entry->pins[i], addr))
            return true;
    return false;
}

/* A pin opens a private address only if it lies as a whole in a range that may be opened by name: 0.0.0.0/0 pins to
 * everything public and opens nothing. */
static bool pin_opens(const struct host_entry *entry, const struct ipaddr *addr)
{
    for (uint32_t i = 0; i < entry->pin_count; i++)
        if (entry->pins[i].addr.family == addr->family && prefix_contains(&entry->pins[i], addr) &&
            address_prefix_may_be_named(&entry->pins[i]))
            return true;
    return false;
}

static struct finding_of judge_named(const struct place_in *in, const struct ipaddr *addr)
{
    const struct host_entry *entry = in->standing->entry;
    if (entry != NULL && pin_opens(entry, addr))
        return admit(RULE_PIN, in->standing->entry_index);
    for (uint32_t i = 0; i < in->policy->private_networks.count && in->exactly_named; i++) {
        const struct prefix *prefix = &in->policy->private_networks.at[i].prefix;
        if (prefix->addr.family == addr->family && prefix_contains(prefix, addr))
            return admit(RULE_PRIVATE_NETWORK, i);
    }
    return refuse(REASON_ADDRESS, RULE_BUILTIN_ADDRESS, 0);
}

/* Loopback needs an entry that names the very address and the port. */
static struct finding_of judge_loopback(const struct place_in *in, const struct ipaddr *addr)
{
    const struct host_entry *entry = in->standing->entry;
    if (entry == NULL || !entry->has_ports || !ports_have(&entry->ports, in->question->target->port))
        return refuse(REASON_ADDRESS, RULE_BUILTIN_ADDRESS, 0);
    for (uint32_t i = 0; i < entry->pin_count; i++)
        if (entry->pins[i].bits == (addr->family == 4 ? 32 : 128) && ipaddr_equal(&entry->pins[i].addr, addr))
            return admit(RULE_PIN, in->standing->entry_index);
    return refuse(REASON_ADDRESS, RULE_BUILTIN_ADDRESS, 0);
}

/* By its range alone, pins apart. */
static struct finding_of judge_range(const struct place_in *in, const struct ipaddr *addr)
{
    switch (address_classify(addr)->lift) {
    case LIFT_PUBLIC:
        return admit(RULE_DEFAULT, 0);
    case LIFT_NAMED:
        return judge_named(in, addr);
    case LIFT_LOOPBACK:
        return judge_loopback(in, addr);
    case LIFT_NOTHING:
    case LIFT_INNER:
        break;
    }
    return refuse(REASON_ADDRESS, RULE_BUILTIN_ADDRESS, 0);
}

static struct finding_of judge_address(const struct place_in *in, const struct ipaddr *addr)
{
    if (is_own(in->question, addr))
        return refuse(REASON_SELF, RULE_BUILTIN_ADDRESS, 0);
    const struct prefix *nat64 = &in->policy->nat64.prefix;
    bool translated = nat64->addr.family == 6 && addr->family == 6 && prefix_contains(nat64, addr);
    struct ipaddr judged = *addr;
    if (translated && !address_inner(nat64, addr, &judged))
        return refuse(REASON_ADDRESS, RULE_BUILTIN_ADDRESS, 0);
    /* Behind the translator the inner address is where the bytes arrive: it may be one of ours. */
    if (translated && is_own(in->question, &judged))
        return refuse(REASON_SELF, RULE_BUILTIN_ADDRESS, 0);
    /* Of a pinned host only what lies inside the pins is looked at further. */
    const struct host_entry *entry = in->standing->entry;
    if (entry != NULL && entry->pinned && !is_pinned(entry, addr) && address_classify(&judged)->lift != LIFT_NOTHING)
        return refuse(REASON_ADDRESS, RULE_PIN, in->standing->entry_index);
    return judge_range(in, &judged);
}

/* ---- the stage ---- */

static void say(struct decision *out, const struct finding_of *found)
{
    out->stage = STAGE_ADDRESS;
    out->reason = found->reason;
    out->verdict = found->reason == REASON_ALLOWED ? VERDICT_ALLOW : VERDICT_DENY;
    out->rule = found->rule;
}

/* One forbidden answer refuses all of them: a resolver that mixes them is not to be trusted with the rest. */
static bool judge_all(const struct place_in *in, const struct ipaddr *answers, size_t count, struct admitted *admitted,
                      struct decision *out, size_t *out_index)
{
    const struct target *target = in->question->target;
    for (size_t i = 0; i < count; i++) {
        struct finding_of found = judge_address(in, &answers[i]);
        if (target->kind == TARGET_ADDRESS && !ipaddr_equal(&target->addr, &answers[i]))
            found = refuse(REASON_ADDRESS, RULE_BUILTIN_ADDRESS, 0);
        if (found.reason != REASON_ALLOWED) {
            say(out, &found);
            *out_index = i;
            return false;
        }
        /* Of several the first that needed opening is named. */
        if (i == 0 || out->rule.kind == RULE_DEFAULT)
            say(out, &found);
        if (!admitted_add(admitted, &answers[i]))
            break;
    }
    return count > 0;
}

void policy_ask_address(const struct policy *policy, const struct question *question, const struct ipaddr *answers,
                        size_t count, struct admitted *out, struct decision *out_decision, size_t *out_index)
{
    struct standing standing;
    *out = (struct admitted){0};
    size_t index = 0;
    judge_target(policy, question, &standing, out_decision);
    if (out_decision->verdict == VERDICT_ALLOW) {
        struct place_in in = {policy, question, &standing, is_exactly_named(question, &standing)};
        struct admitted admitted;
        admitted_begin(&admitted, question->target->port);
        struct finding_of none = refuse(REASON_ADDRESS, RULE_DEFAULT, 0);
        say(out_decision, &none);
        if (judge_all(&in, answers, count < ADMITTED_MAX ? count : ADMITTED_MAX, &admitted, out_decision, &index))
            *out = admitted;
    }
    if (out_index != NULL)
        *out_index = index;
}
