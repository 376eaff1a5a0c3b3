/* SPDX-License-Identifier: Apache-2.0 */
#include "leaf.h"
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

static void write_address(struct leaf_writer *w, const char *key, const struct ipaddr *addr)
{
    char text[IPADDR_TEXT_MAX];
    size_t len = ipaddr_format(addr, text);
    if (key == NULL)
        json_span(&w->json, span_make(text, len));
    else
        json_key_span(&w->json, key, span_make(text, len));
}

static void write_step(struct leaf_writer *w, const char *key, uint32_t value)
{
    if (value != STEP_ABSENT)
        json_key_u64(&w->json, key, value);
}

static void write_answers(struct leaf_writer *w, const struct record_flow *r)
{
    if (r->answer_count == 0)
        return;
    json_key(&w->json, "answers");
    json_open(&w->json, '[');
    for (uint8_t i = 0; i < r->answer_count && (!w->tight || i < TIGHT_ANSWERS); i++)
        write_address(w, NULL, &r->answers[i]);
    json_close(&w->json, ']');
}

static void write_unmapped_end(struct leaf_writer *w, const struct record_flow *r)
{
    struct json *j = &w->json;
    if (r->kind == RECORD_ATTEMPT)
        return;
    if (r->kind == RECORD_OUTCOME)
        json_key_text(j, "end", end_text(r->end));
    json_key_u64(j, "target_generation", r->target_generation);
    json_key_u64(j, "dials", r->dials);
    json_key_u64(j, "dns_sent", r->dns_sent);
    leaf_string(w, "dns_result", r->dns_result);
    write_answers(w, r);
    write_step(w, "head_ms", r->times.head_ms);
    write_step(w, "wait_ms", r->times.durable_ms);
    write_step(w, "resolve_ms", r->times.resolve_ms);
    write_step(w, "dial_ms", r->times.dial_ms);
    write_step(w, "hello_ms", r->times.hello_ms);
    write_step(w, "relay_ms", r->times.relay_ms);
    if (r->has_hello)
        json_key_bool(j, "ech", r->ech);
}

static void write_unmapped(struct leaf_writer *w, const struct record_flow *r)
{
    struct json *j = &w->json;
    leaf_unmapped_open(w);
    json_key_text(j, "stage", stage_text(r->decision.stage));
    leaf_string(w, "door", r->door);
    leaf_string(w, "listener", r->listener);
    if (r->has_peer_uid) {
        json_key_u64(j, "peer_uid", r->peer_uid);
        json_key_u64(j, "peer_pid", r->peer_pid);
    }
    leaf_string(w, "work", r->work);
    leaf_string(w, "raw_target", r->raw_target);
    if (r->raw_target_bytes != 0) {
        json_key_u64(j, "raw_target_bytes", r->raw_target_bytes);
        leaf_string(w, "raw_target_hash", r->raw_target_hash);
    }
    leaf_string(w, "q", r->query_names);
    leaf_string(w, "group_version", r->group_version);
    if (r->decision.observed > REASON_NONE && r->decision.observed < REASON_COUNT)
        json_key_text(j, "observed", reason_row(r->decision.observed)->name);
    write_unmapped_end(w, r);
    json_close(j, '}');
}

static void write_disposition(struct leaf_writer *w, const struct record_flow *r)
{
    struct json *j = &w->json;
    bool allowed = r->decision.verdict == VERDICT_ALLOW;
    bool failed = !allowed || r->end == FLOW_END_FAILED || r->end == FLOW_END_REFUSED;
    bool known = r->decision.reason > REASON_NONE && r->decision.reason < REASON_COUNT;
    json_key_u64(j, "disposition_id", allowed ? 1 : 2);
    json_key_u64(j, "status_id", failed ? 2 : 1);
    json_key_text(j, "status_code", known ? reason_row(r->decision.reason)->name : "none");
    if (r->count != 0) {
        json_key_u64(j, "count", r->count);
        json_key_i64(j, "start_time", r->count_start_ms);
        json_key_i64(j, "end_time", r->count_end_ms);
    }
}

static void write_source(struct leaf_writer *w, const struct record_flow *r)
{
    struct json *j = &w->json;
    json_key(j, "src_endpoint");
    json_open(j, '{');
    if (r->peer.family != 0) {
        write_address(w, "ip", &r->peer);
        json_key_u64(j, "port", r->peer_port);
    } else {
        json_key_text(j, "name", r->has_peer_uid ? "unix" : "unknown"); /* an endpoint must name something */
    }
    leaf_string(w, "uid", r->session);
    leaf_string(w, "instance_uid", r->agent);
    json_close(j, '}');
}

static void write_destination(struct leaf_writer *w, const struct record_flow *r)
{
    struct json *j = &w->json;
    if (r->target == NULL && r->dialled.family == 0)
        return;
    json_key(j, "dst_endpoint");
    json_open(j, '{');
    if (r->target != NULL && r->target->kind == TARGET_NAME)
        json_key_span(j, "hostname", hostname_span(&r->target->name));
    if (r->dialled.family != 0)
        write_address(w, "ip", &r->dialled);
    else if (r->target != NULL && r->target->kind == TARGET_ADDRESS)
        write_address(w, "ip", &r->target->addr);
    if (r->target != NULL)
        json_key_u64(j, "port", r->target->port);
    json_close(j, '}');
}

static void write_http(struct leaf_writer *w, const struct record_flow *r)
{
    struct json *j = &w->json;
    json_key(j, "http_request");
    json_open(j, '{');
    leaf_string(w, "http_method", r->method);
    if (r->target != NULL || r->path.len != 0) {
        json_key(j, "url");
        json_open(j, '{');
        leaf_string(w, "scheme", r->scheme);
        if (r->target != NULL) {
            char host[TARGET_TEXT_MAX];
            size_t len = target_format_host(r->target, host);
            json_key_span(j, "hostname", span_make(host, len));
            json_key_u64(j, "port", r->target->port);
        }
        leaf_string(w, "path", r->path.len != 0 ? r->path : span_text("/"));
        json_close(j, '}');
    }
    json_close(j, '}');
    if (r->http_status != 0) {
        json_key(j, "http_response");
        json_open(j, '{');
        json_key_u64(j, "code", r->http_status);
        json_close(j, '}');
    }
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

static void write_policy(struct leaf_writer *w, const struct record_flow *r)
{
    struct json *j = &w->json;
    json_key(j, "firewall_rule");
    json_open(j, '{');
    leaf_string(w, "uid", r->rule_id.len != 0 ? r->rule_id : span_text("default"));
    json_key_text(j, "name", rule_kind_text(r->decision.rule.kind));
    leaf_string(w, "type", r->rule_type);
    json_close(j, '}');
    if (r->policy_id.len == 0)
        return;
    char text[24];
    struct outbuf o = outbuf_make(text, sizeof text);
    outbuf_u64(&o, r->decision.generation);
    json_key(j, "policy");
    json_open(j, '{');
    json_key_span(j, "uid", r->policy_id); /* never cut: it names the policy's text */
    json_key_span(j, "version", outbuf_written(&o));
    json_close(j, '}');
}

static void write_traffic(struct leaf_writer *w, const struct record_flow *r)
{
    struct json *j = &w->json;
    if (r->kind == RECORD_ATTEMPT)
        return;
    json_key(j, "traffic");
    json_open(j, '{');
    json_key_u64(j, "bytes_out", r->bytes_up);
    json_key_u64(j, "bytes_in", r->bytes_down);
    json_close(j, '}');
    json_key_u64(j, "duration", r->duration_ms);
}

static void write_connection(struct leaf_writer *w, const struct record_flow *r)
{
    struct json *j = &w->json;
    json_key(j, "connection_info");
    json_open(j, '{');
    json_key_u64(j, "direction_id", 2); /* outbound */
    json_key_u64(j, "protocol_num", 6); /* TCP */
    json_key(j, "uid");
    outbuf_char(j->out, '"');
    outbuf_hex(j->out, span_make(r->flow, FLOW_ID_BYTES));
    outbuf_char(j->out, '"');
    j->need_comma = true;
    json_close(j, '}');
}

void leaf_write_flow(struct leaf_writer *w)
{
    const struct record_flow *r = &w->sealed->flow;
    struct json *j = &w->json;
    bool http = is_http(r);
    unsigned activity = http ? http_activity(r->method) : network_activity(r);
    bool known = r->decision.reason > REASON_NONE && r->decision.reason < REASON_COUNT;
    json_key_u64(j, "action_id", r->decision.verdict == VERDICT_ALLOW ? 1 : 2);
    leaf_metadata(w, kind_code(r->kind), leaf_environment(w->sealed), r->flow);
    write_unmapped(w, r);
    leaf_class(w, http ? OCSF_HTTP_ACTIVITY : OCSF_NETWORK_ACTIVITY, activity,
               known ? reason_row(r->decision.reason)->severity : 3);
    if (activity == OCSF_OTHER)
        leaf_string(w, "activity_name", http ? r->method : span_text("other"));
    write_disposition(w, r);
    write_source(w, r);
    write_destination(w, r);
    write_connection(w, r);
    if (http)
        write_http(w, r);
    if (r->has_hello || r->sni.len > 0) {
        json_key(j, "tls");
        json_open(j, '{');
        json_key_text(j, "version", tls_version_text(r->tls_version));
        leaf_string(w, "sni", r->sni);
        json_close(j, '}');
    }
    write_policy(w, r);
    write_traffic(w, r);
}
