/* SPDX-License-Identifier: Apache-2.0 */
#include "leaf.h"
#include "leaf_text.h"
#include "record_tbl.h"

#define OCSF_NETWORK_ACTIVITY 4001u
#define OCSF_HTTP_ACTIVITY    4002u
#define OCSF_OTHER            99u
#define TIGHT_ANSWERS         4
#define STEP_ABSENT           0xffffffffu

static const char *kind_code(enum record_kind kind)
{
    switch (kind) {
#define X(id, text)                                                                                                    \
    case id:                                                                                                           \
        return text;
        RECORD_CODE_TABLE(X)
#undef X
    case RECORD_EVENT:
        break;
    }
    return "attempt";
}

static unsigned http_activity(struct span method)
{
#define X(name, activity)                                                                                              \
    if (span_is(method, name))                                                                                         \
        return activity;
    HTTP_ACTIVITY_TABLE(X)
#undef X
    return OCSF_OTHER;
}

static unsigned network_activity(const struct record_flow *r)
{
    if (r->kind == RECORD_TRAFFIC)
        return 6;
    if (r->kind == RECORD_ATTEMPT)
        return r->decision.verdict == VERDICT_ALLOW ? 1 : 5;
    switch (r->end) {
    case FLOW_END_CLOSED:
        return 2;
    case FLOW_END_RESET:
        return 3;
    case FLOW_END_FAILED:
        return 4;
    case FLOW_END_REFUSED:
        return 5;
    case FLOW_END_NONE:
        break;
    }
    return OCSF_OTHER;
}

static bool is_http(const struct record_flow *r)
{
    return r->http && r->method.len != 0 && r->kind != RECORD_TRAFFIC;
}

static const char *end_text(enum flow_end end)
{
    static const char *const texts[] = {
        [FLOW_END_NONE] = "none",     [FLOW_END_CLOSED] = "closed",   [FLOW_END_RESET] = "reset",
        [FLOW_END_FAILED] = "failed", [FLOW_END_REFUSED] = "refused",
    };
    return (size_t)end < sizeof texts / sizeof texts[0] ? texts[end] : "none";
}

/* An address takes less than as many bytes, each of them escaped. */
#define ADDRESS_BYTES ((IPADDR_TEXT_MAX + 4) / LEAF_ESCAPED_MAX)

#define X(member, max) +(max)
_Static_assert(LEAF_ESCAPED_MAX *(FLOW_ANSWERS_MAX *ADDRESS_BYTES + 2 * HOSTNAME_MAX FLOW_STRING_TABLE(X)) <=
                   LEAF_ROOM * 3 / 4,
               "the longest record of a ring has room, with a quarter for what stands around its strings");
#undef X

size_t leaf_flow_bytes(const struct record_flow *r)
{
    size_t bytes = r->answer_count * ADDRESS_BYTES;
#define X(member, max) bytes += r->member.len;
    FLOW_STRING_TABLE(X)
#undef X
    if (r->target != NULL && r->target->kind == TARGET_NAME)
        bytes += 2 * r->target->name.len; /* as destination and in the URL */
    return bytes + r->method.len;         /* as activity as well */
}

static uint8_t *put_kept(const struct leaf_writer *w, uint8_t *at, const char *text, struct span value)
{
    return value.len == 0 ? at : put_string(at, text, leaf_kept(w, value));
}

static uint8_t *put_address(uint8_t *at, const struct ipaddr *addr)
{
    if (addr->family == 4) {
        at = put_number(at, addr->bytes[0]);
        at = put_count(at, ".", addr->bytes[1]);
        at = put_count(at, ".", addr->bytes[2]);
        return put_count(at, ".", addr->bytes[3]);
    }
    char text[IPADDR_TEXT_MAX];
    size_t len = ipaddr_format(addr, text);
    memcpy(at, text, len);
    return at + len;
}

static uint8_t *put_answers(const struct leaf_writer *w, uint8_t *at, const struct record_flow *r)
{
    if (r->answer_count == 0)
        return at;
    at = put(at, ",\"answers\":[");
    for (uint8_t i = 0; i < r->answer_count && (!w->tight || i < TIGHT_ANSWERS); i++)
        at = put(put_address(put(at, i == 0 ? "\"" : ",\""), &r->answers[i]), "\"");
    return put(at, "]");
}

static inline uint8_t *put_step(uint8_t *at, const char *text, uint32_t value)
{
    return value == STEP_ABSENT ? at : put_count(at, text, value);
}

static uint8_t *put_unmapped_end(const struct leaf_writer *w, uint8_t *at, const struct record_flow *r)
{
    if (r->kind == RECORD_ATTEMPT)
        return at;
    if (r->kind == RECORD_OUTCOME)
        at = put_word(at, ",\"end\":\"", end_text(r->end));
    at = put_count(at, ",\"target_generation\":", r->target_generation);
    at = put_count(at, ",\"dials\":", r->dials);
    at = put_count(at, ",\"dns_sent\":", r->dns_sent);
    if (r->dns_joined)
        at = put(at, ",\"dns_joined\":true");
    at = put_kept(w, at, ",\"dns_result\":\"", r->dns_result);
    at = put_answers(w, at, r);
    at = put_step(at, ",\"head_ms\":", r->times.head_ms);
    at = put_step(at, ",\"wait_ms\":", r->times.durable_ms);
    at = put_step(at, ",\"resolve_ms\":", r->times.resolve_ms);
    at = put_step(at, ",\"dial_ms\":", r->times.dial_ms);
    at = put_step(at, ",\"hello_ms\":", r->times.hello_ms);
    at = put_step(at, ",\"relay_ms\":", r->times.relay_ms);
    if (r->has_hello)
        at = put(put(at, ",\"ech\":"), r->ech ? "true" : "false");
    return at;
}

static uint8_t *put_unmapped(const struct leaf_writer *w, uint8_t *at, const struct record_flow *r)
{
    at = put_word(at, ",\"stage\":\"", stage_text(r->decision.stage));
    at = put_kept(w, at, ",\"door\":\"", r->door);
    at = put_kept(w, at, ",\"listener\":\"", r->listener);
    if (r->has_peer_uid) {
        at = put_count(at, ",\"peer_uid\":", r->peer_uid);
        at = put_count(at, ",\"peer_pid\":", r->peer_pid);
    }
    at = put_kept(w, at, ",\"work\":\"", r->work);
    at = put_kept(w, at, ",\"raw_target\":\"", r->raw_target);
    if (r->raw_target_bytes != 0) {
        at = put_count(at, ",\"raw_target_bytes\":", r->raw_target_bytes);
        at = put_kept(w, at, ",\"raw_target_hash\":\"", r->raw_target_hash);
    }
    at = put_kept(w, at, ",\"q\":\"", r->query_names);
    at = put_kept(w, at, ",\"group_version\":\"", r->group_version);
    if (r->decision.observed > REASON_NONE && r->decision.observed < REASON_COUNT)
        at = put_word(at, ",\"observed\":\"", reason_row(r->decision.observed)->name);
    return put(put_unmapped_end(w, at, r), "}");
}

/* time, class, category, activity and type */
static uint8_t *put_class(const struct leaf_writer *w, uint8_t *at, const struct record_flow *r)
{
    bool http = is_http(r), known = r->decision.reason > REASON_NONE && r->decision.reason < REASON_COUNT;
    unsigned activity = http ? http_activity(r->method) : network_activity(r);
    unsigned class_uid = http ? OCSF_HTTP_ACTIVITY : OCSF_NETWORK_ACTIVITY;
    at = put_count(at, ",\"time\":", (uint64_t)w->sealed->wall_ms);
    at = put_count(at, ",\"class_uid\":", class_uid);
    at = put_count(at, ",\"category_uid\":", class_uid / 1000);
    at = put_count(at, ",\"activity_id\":", activity);
    at = put_count(at, ",\"type_uid\":", class_uid * 100 + activity);
    at = put_count(at, ",\"severity_id\":", known ? reason_row(r->decision.reason)->severity : 3);
    if (activity == OCSF_OTHER)
        at = put_kept(w, at, ",\"activity_name\":\"", http ? r->method : span_text("other"));
    return at;
}

static uint8_t *put_disposition(uint8_t *at, const struct record_flow *r)
{
    bool allowed = r->decision.verdict == VERDICT_ALLOW;
    bool failed = !allowed || r->end == FLOW_END_FAILED || r->end == FLOW_END_REFUSED;
    bool known = r->decision.reason > REASON_NONE && r->decision.reason < REASON_COUNT;
    at = put_count(at, ",\"disposition_id\":", allowed ? 1 : 2);
    at = put_count(at, ",\"status_id\":", failed ? 2 : 1);
    at = put_word(at, ",\"status_code\":\"", known ? reason_row(r->decision.reason)->name : "none");
    if (r->count == 0)
        return at;
    at = put_count(at, ",\"count\":", r->count);
    at = put_count(at, ",\"start_time\":", (uint64_t)r->count_start_ms);
    return put_count(at, ",\"end_time\":", (uint64_t)r->count_end_ms);
}

static uint8_t *put_source(const struct leaf_writer *w, uint8_t *at, const struct record_flow *r)
{
    if (r->peer.family != 0) {
        at = put_address(put(at, ",\"src_endpoint\":{\"ip\":\""), &r->peer);
        at = put_count(at, "\",\"port\":", r->peer_port);
    } else { /* an endpoint must name something */
        at = put_word(at, ",\"src_endpoint\":{\"name\":\"", r->has_peer_uid ? "unix" : "unknown");
    }
    at = put_kept(w, at, ",\"uid\":\"", r->session);
    at = put_kept(w, at, ",\"instance_uid\":\"", r->agent);
    return put(at, "}");
}

static uint8_t *put_destination(uint8_t *at, const struct record_flow *r)
{
    const struct target *target = r->target;
    const struct ipaddr *addr = r->dialled.family != 0                             ? &r->dialled
                                : target != NULL && target->kind == TARGET_ADDRESS ? &target->addr
                                                                                   : NULL;
    if (target == NULL && addr == NULL)
        return at;
    at = put(at, ",\"dst_endpoint\":{");
    if (target != NULL && target->kind == TARGET_NAME)
        at = put(put_string(at, "\"hostname\":\"", hostname_span(&target->name)), ",");
    if (addr != NULL)
        at = put(put_address(put(at, "\"ip\":\""), addr), "\",");
    if (target != NULL)
        return put(put_count(at, "\"port\":", target->port), "}");
    at[-1] = '}'; /* there is an address, with a comma behind it */
    return at;
}

static uint8_t *put_url(const struct leaf_writer *w, uint8_t *at, const struct record_flow *r)
{
    at = put(at, ",\"url\":{");
    if (r->scheme.len != 0)
        at = put(put_string(at, "\"scheme\":\"", leaf_kept(w, r->scheme)), ",");
    if (r->target != NULL) {
        char host[TARGET_TEXT_MAX];
        size_t len = target_format_host(r->target, host);
        at = put_string(at, "\"hostname\":\"", span_make(host, len));
        at = put(put_count(at, ",\"port\":", r->target->port), ",");
    }
    at = put_string(at, "\"path\":\"", leaf_kept(w, r->path.len != 0 ? r->path : span_text("/")));
    return put(at, "}");
}

static uint8_t *put_http(const struct leaf_writer *w, uint8_t *at, const struct record_flow *r)
{
    at = put_string(at, ",\"http_request\":{\"http_method\":\"", leaf_kept(w, r->method));
    if (r->target != NULL || r->path.len != 0)
        at = put_url(w, at, r);
    at = put(at, "}");
    return r->http_status == 0 ? at : put(put_count(at, ",\"http_response\":{\"code\":", r->http_status), "}");
}

static const char *tls_version_text(uint16_t version)
{
    switch (version) { /* RFC 8446 4.2.1 */
    case 0x0304:
        return "1.3";
    case 0x0303:
        return "1.2";
    case 0x0302:
        return "1.1";
    case 0x0301:
        return "1.0";
    default:
        return "unknown";
    }
}

static uint8_t *put_policy(const struct leaf_writer *w, uint8_t *at, const struct record_flow *r)
{
    struct span rule = r->rule_id.len != 0 ? r->rule_id : span_text("default");
    at = put_string(at, ",\"firewall_rule\":{\"uid\":\"", leaf_kept(w, rule));
    at = put_word(at, ",\"name\":\"", rule_kind_text(r->decision.rule.kind));
    at = put(put_kept(w, at, ",\"type\":\"", r->rule_type), "}");
    if (r->policy_id.len == 0)
        return at;
    at = put_string(at, ",\"policy\":{\"uid\":\"", r->policy_id); /* never cut: it names the policy's text */
    return put(put_count(at, ",\"version\":\"", r->decision.generation), "\"}");
}

static uint8_t *put_traffic(uint8_t *at, const struct record_flow *r)
{
    if (r->kind == RECORD_ATTEMPT)
        return at;
    at = put_count(at, ",\"traffic\":{\"bytes_out\":", r->bytes_up);
    at = put_count(at, ",\"bytes_in\":", r->bytes_down);
    return put_count(at, "},\"duration\":", r->duration_ms);
}

uint8_t *leaf_write_flow(struct leaf_writer *w, uint8_t *at)
{
    const struct record_flow *r = &w->sealed->flow;
    at = put(at, r->decision.verdict == VERDICT_ALLOW ? "\"action_id\":1," : "\"action_id\":2,");
    at = leaf_open(w, at, kind_code(r->kind), leaf_environment(w->sealed), r->flow);
    at = put_unmapped(w, at, r);
    at = put_class(w, at, r);
    at = put_disposition(at, r);
    at = put_source(w, at, r);
    at = put_destination(at, r);
    at = put(at, ",\"connection_info\":{\"direction_id\":2,\"protocol_num\":6,\"uid\":\""); /* outbound, TCP */
    at = put(leaf_flow_id(at, r->flow), "\"}");
    if (is_http(r))
        at = put_http(w, at, r);
    if (r->has_hello || r->sni.len > 0) {
        at = put_word(at, ",\"tls\":{\"version\":\"", tls_version_text(r->tls_version));
        at = put(put_kept(w, at, ",\"sni\":\"", r->sni), "}");
    }
    at = put_policy(w, at, r);
    return put_traffic(at, r);
}
