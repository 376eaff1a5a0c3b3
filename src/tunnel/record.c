/* SPDX-License-Identifier: Apache-2.0 */
/* What the audit desk is told of an attempt. */
#include "internal.h"

#include "base/assert.h"
#include "excess.h"

#define TIME_NONE UINT32_MAX

/* What attempt and outcome share. `rule` must live until the record is sealed. */
static struct record_flow common(const struct tunnel *t, const struct decision *decision, struct rule *rule)
{
    memset(rule, 0, sizeof *rule);
    const char *rule_id = rule_kind_text(decision->rule.kind);
    if (t->policy != NULL && decision->rule.kind != RULE_SYNTAX && decision->rule.kind != RULE_LIMIT) {
        policy_rule(t->policy, decision->rule, rule);
        rule_id = rule->id;
    }
    struct record_flow record = {
        .http = t->door == DOOR_HTTP,
        .scheme = span_text(t->door == DOOR_HTTP ? "http" : ""),
        .door = span_text(door_text(t->door)),
        .listener = span_text(t->listener->name),
        .peer = t->from.peer,
        .peer_port = t->from.peer_port,
        .has_peer_uid = t->from.has_uid,
        .peer_uid = t->from.uid,
        .peer_pid = t->from.pid,
        .environment = t->who.environment.len > 0 ? t->who.environment : span_text("-"),
        .session = t->who.session,
        .work = t->who.work,
        .agent = t->who.agent,
        .target = tunnel_target(t),
        .decision = *decision,
        .policy_id = t->policy != NULL ? span_text(policy_id(t->policy)) : span_make(NULL, 0),
        .rule_id = span_text(rule_id),
        .rule_type = span_text(rule_kind_text(decision->rule.kind)),
        .group_version = rule->version,
    };
    memcpy(record.flow, t->flow, sizeof record.flow);
    return record;
}

void record_attempt(struct tunnel *t, const struct decision *decision)
{
    struct tunnels *home = t->home;
    const struct setup *s = t->setup;
    ASSERT(t->holds_credit && t->recorded == RECORDED_NOTHING);
    struct rule rule;
    struct record_flow record = common(t, decision, &rule);
    record.kind = RECORD_ATTEMPT;
    record.method = span_text(s->method);
    record.path = span_make(s->path, s->path_len);
    record.raw_target = span_make(s->raw_target, s->raw_target_len);
    record.raw_target_truncated = s->raw_target_truncated;
    record.raw_target_bytes = s->raw_target_bytes;
    record.raw_target_hash = span_make(s->raw_target_hash, s->raw_target_hash_len);
    record.query_names = span_make(s->query_names, s->query_names_len);
    record.target_generation = decision->generation;
    t->ticket = desk_seal_flow(home->o.desk, &record, RECORD_URGENT);
    t->holds_credit = false;
    COUNT(home, attempts, 1);
    ASSERT(t->credit_of != NULL && t->tenant_credit == DESK_PAIR_BYTES);
    budget_give(&t->credit_of->credit, DESK_RECORD_BYTES);
    t->tenant_credit = DESK_RECORD_BYTES;
    if (decision->verdict == VERDICT_ALLOW) {
        COUNT(home, allowed, 1);
        t->holds_outcome_credit = true;
        t->recorded = RECORDED_ATTEMPT;
        return;
    }
    desk_credit_give(home->o.desk, DESK_RECORD_BYTES);
    tunnel_uncount_credit(t);
    t->recorded = RECORDED_ALL;
}

static void add_setup_facts(const struct tunnel *t, struct record_flow *record)
{
    const struct setup *s = t->setup;
    record->answers = s->answers.addresses;
    record->answer_count = s->answers.count;
    if (record->decision.reason == REASON_DNS)
        record->dns_result = span_text(dns_result_text(s->answers.result));
    record->sni = s->sni.len > 0 ? hostname_span(&s->sni) : span_make(s->odd_sni, s->odd_sni_len);
    record->raw_target_truncated = s->odd_sni_truncated;
}

/* What it has come to so far. */
static void add_progress(const struct tunnel *t, struct record_flow *record)
{
    record->bytes_up = t->up.bytes_out + t->http_up;
    record->bytes_down = t->down.bytes_out + t->http_down;
    record->duration_ms = tunnel_now(t) - t->attempt_ms;
    record->dialled = t->dialled;
    record->dials = t->dials;
    record->dns_sent = t->dns_sent;
    record->times = t->times;
    record->target_generation = t->target_decision.generation;
}

void record_outcome(struct tunnel *t)
{
    struct tunnels *home = t->home;
    ASSERT(t->holds_outcome_credit && t->recorded == RECORDED_ATTEMPT);
    struct rule rule;
    struct record_flow record = common(t, &t->final_decision, &rule);
    record.kind = RECORD_OUTCOME;
    record.method = span_text(t->setup != NULL ? t->setup->method : t->door == DOOR_HTTP ? "GET" : "CONNECT");
    if (t->setup != NULL)
        record.path = span_make(t->setup->path, t->setup->path_len);
    record.end = t->end;
    add_progress(t, &record);
    record.dns_joined = t->dns_joined;
    record.http_status = t->status;
    record.has_hello = t->has_hello;
    record.ech = t->ech;
    record.tls_version = t->tls_version;
    if (t->setup != NULL)
        add_setup_facts(t, &record);
    else if (t->other_name != NULL)
        record.sni = hostname_span((const struct hostname *)(const void *)t->other_name->data);
    else if (t->sni_present)
        record.sni = hostname_span(&t->target.name); /* equal, or there would have been no relay */
    desk_seal_flow(home->o.desk, &record, RECORD_LAZY);
    t->holds_outcome_credit = false;
    t->recorded = RECORDED_ALL;
}

static uint64_t carried(const struct tunnel *t)
{
    return t->up.bytes_out + t->http_up + t->down.bytes_out + t->http_down;
}

uint64_t record_traffic_next_ms(const struct tunnel *t)
{
    uint64_t every_ms = t->home->o.traffic_ms;
    return every_ms == 0 ? UINT64_MAX : t->traffic_ms + every_ms;
}

static void record_traffic(struct tunnel *t)
{
    struct rule rule;
    struct record_flow record = common(t, &t->target_decision, &rule);
    record.kind = RECORD_TRAFFIC;
    record.decision.stage = STAGE_RELAY;
    add_progress(t, &record);
    desk_seal_flow(t->home->o.desk, &record, RECORD_LAZY);
}

bool record_traffic_due(struct tunnel *t)
{
    uint64_t now_ms = tunnel_now(t), all = carried(t), fresh = all - t->traffic_recorded;
    uint64_t most = t->home->o.traffic_bytes;
    bool by_time = now_ms >= record_traffic_next_ms(t);
    if (!by_time && (most == 0 || fresh < most))
        return true;
    if (fresh > 0) {
        if (!desk_credit_take(t->home->o.desk, DESK_RECORD_BYTES))
            return false;
        record_traffic(t);
        t->traffic_recorded = all;
    }
    t->traffic_ms = now_ms;
    return true;
}

void record_lookup(struct tunnels *home, const struct lookup_asker *asker, const struct lookup_question *question)
{
    const struct dns_addresses *answer = question->answer;
    bool answered = answer->result == DNS_OK || answer->result == DNS_NODATA || answer->result == DNS_NXDOMAIN;
    const struct target name = {.kind = TARGET_NAME, .name = *question->name};
    struct record_flow record = {
        .kind = RECORD_LOOKUP,
        .peer = asker->from->peer,
        .peer_port = asker->from->peer_port,
        .has_peer_uid = asker->from->has_uid,
        .peer_uid = asker->from->uid,
        .peer_pid = asker->from->pid,
        .environment = asker->environment,
        .session = asker->session,
        .work = asker->work,
        .agent = asker->agent,
        .target = &name,
        .decision = {.verdict = VERDICT_ALLOW,
                     .reason = answered ? REASON_ALLOWED : REASON_DNS,
                     .stage = STAGE_RESOLVE},
        .end = answered ? FLOW_END_CLOSED : FLOW_END_FAILED,
        .duration_ms = question->took_ms,
        .dialled = question->server.addr,
        .answers = answer->addresses,
        .answer_count = answer->result == DNS_OK ? answer->count : 0,
        .dns_result = span_text(dns_result_text(answer->result)),
        .dns_sent = question->sent,
        .lookup = { .type = (uint16_t)question->type,
                     .server_port = question->server.port,
                     .tcp = question->tcp,
                     .rcode = question->rcode,
                     .ttl_s = answer->ttl_s},
    };
    memcpy(record.flow, asker->flow, sizeof record.flow);
    desk_seal_flow(home->o.desk, &record, RECORD_LAZY);
}

bool record_excess(struct tunnels *home, const struct excess_watch *watch)
{
    if (!desk_credit_take(home->o.desk, DESK_RECORD_BYTES))
        return false;
    int64_t from_ms = 0;
    uint64_t count = tenant_excess_take(watch->tenant, &from_ms);
    if (count == 0) { /* another worker's record has them */
        desk_credit_give(home->o.desk, DESK_RECORD_BYTES);
        return true;
    }
    struct record_flow record = {
        .kind = RECORD_ATTEMPT,
        .door = span_text(door_text(DOOR_CONNECT)),
        .listener = span_text(watch->listener->name),
        .peer = watch->from.peer,
        .peer_port = watch->from.peer_port,
        .has_peer_uid = watch->from.has_uid,
        .peer_uid = watch->from.uid,
        .peer_pid = watch->from.pid,
        .environment = span_text(watch->tenant->name),
        .decision = {.verdict = VERDICT_DENY,
                     .reason = REASON_RATE,
                     .stage = STAGE_LIMITS,
                     .rule = {.kind = RULE_LIMIT},
                     .generation = book_generation(home->book)},
        .rule_id = span_text(rule_kind_text(RULE_LIMIT)),
        .rule_type = span_text(rule_kind_text(RULE_LIMIT)),
        .count = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count,
        .count_start_ms = from_ms,
        .count_end_ms = watch->until_wall_ms,
    };
    memcpy(record.flow, watch->flow, sizeof record.flow);
    record.target_generation = record.decision.generation;
    desk_seal_flow(home->o.desk, &record, RECORD_LAZY);
    return true;
}

void record_warning(struct tunnel *t, enum limit limit, uint64_t value, uint64_t max)
{
    struct desk *desk = t->home->o.desk;
    size_t count;
    const struct limit_row *row = &limits_rows(&count)[limit];
    bool quarantined = limit == LIMIT_denials_per_minute && tunnel_limits(t)->quarantine > 0;
    if (!desk_credit_take(desk, DESK_RECORD_BYTES))
        return; /* the counter and the refusals that follow say it too */
    struct record_event event = {
        .event = EVENT_LIMIT_WARNING,
        .environment = t->who.environment,
        .message =
            span_text(quarantined ? "a session was put into quarantine" : "a limit is nearly used up, or passed"),
        .fact_count = 5,
        .facts = {{.key = "limit", .text = span_text(row->key)},
                  {.key = "value", .is_number = true, .number = value},
                  {.key = "max", .is_number = true, .number = max},
                  {.key = "session", .text = t->who.session},
                  {.key = "quarantine_ms",
                   .is_number = true,
                   .number = quarantined ? tunnel_limits(t)->quarantine : 0}},
    };
    desk_seal_event(desk, &event, RECORD_LAZY);
}
