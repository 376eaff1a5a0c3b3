/* SPDX-License-Identifier: Apache-2.0 */
/* The leaf of a question to a name server: OCSF's DNS Activity. They are few, and so written within bounds. */
#include "leaf.h"
#include "leaf_text.h"

#include "base/json.h"
#include "wire/dnsmsg.h"

#include <netinet/in.h>

#define OCSF_DNS_ACTIVITY 4003u
#define OCSF_QUERY        1u
#define OCSF_OTHER        99u
#define TIGHT_ANSWERS     4
#define RCODE_NONE        0xffu
#define SEVERITY_NONE     1u

/* RFC 6895, as far as four bits reach and OCSF names them. */
static const char *rcode_text(uint8_t rcode)
{
    static const char *const texts[] = {"NoError",  "FormError", "ServError", "NXDomain", "NotImp",  "Refused",
                                        "YXDomain", "YXRRSet",   "NXRRSet",   "NotAuth",  "NotZone", "DSOTYPENI"};
    return rcode < sizeof texts / sizeof texts[0] ? texts[rcode] : NULL;
}

static const char *type_text(const struct record_flow *r)
{
    return r->lookup.type == DNS_TYPE_AAAA ? "AAAA" : "A";
}

static void write_kept(const struct leaf_writer *w, struct json *j, const char *key, struct span value)
{
    if (value.len != 0)
        json_key_span(j, key, leaf_kept(w, value));
}

static struct span address_text(const struct ipaddr *addr, char text[static IPADDR_TEXT_MAX])
{
    return span_make(text, ipaddr_format(addr, text));
}

static void write_class(const struct leaf_writer *w, struct json *j)
{
    json_key_i64(j, "time", w->sealed->wall_ms);
    json_key_u64(j, "class_uid", OCSF_DNS_ACTIVITY);
    json_key_u64(j, "category_uid", OCSF_DNS_ACTIVITY / 1000);
    json_key_u64(j, "activity_id", OCSF_QUERY);
    json_key_u64(j, "type_uid", OCSF_DNS_ACTIVITY * 100 + OCSF_QUERY);
    json_key_u64(j, "severity_id", SEVERITY_NONE);
}

static void write_rcode(struct json *j, uint8_t rcode)
{
    const char *text = rcode_text(rcode);
    char digits[8];
    struct outbuf o = outbuf_make(digits, sizeof digits);
    if (rcode == RCODE_NONE)
        return;
    json_key_u64(j, "rcode_id", text != NULL ? rcode : OCSF_OTHER);
    outbuf_u64(&o, rcode);
    json_key_span(j, "rcode", text != NULL ? span_text(text) : outbuf_written(&o));
}

static void write_answers(const struct leaf_writer *w, struct json *j, const struct record_flow *r)
{
    char text[IPADDR_TEXT_MAX];
    if (r->answer_count == 0)
        return;
    json_key(j, "answers");
    json_open(j, '[');
    for (uint8_t i = 0; i < r->answer_count && (!w->tight || i < TIGHT_ANSWERS); i++) {
        json_open(j, '{');
        json_key_text(j, "class", "IN");
        json_key_text(j, "type", type_text(r));
        json_key_span(j, "rdata", address_text(&r->answers[i], text));
        json_key_u64(j, "ttl", r->lookup.ttl_s);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void write_endpoints(const struct leaf_writer *w, struct json *j, const struct record_flow *r)
{
    char text[IPADDR_TEXT_MAX];
    json_key(j, "src_endpoint");
    json_open(j, '{');
    if (r->peer.family != 0) {
        json_key_span(j, "ip", address_text(&r->peer, text));
        json_key_u64(j, "port", r->peer_port);
    } else {
        json_key_text(j, "name", r->has_peer_uid ? "unix" : "unknown");
    }
    write_kept(w, j, "uid", r->session);
    write_kept(w, j, "instance_uid", r->agent);
    json_close(j, '}');
    if (r->dialled.family == 0)
        return;
    json_key(j, "dst_endpoint");
    json_open(j, '{');
    json_key_span(j, "ip", address_text(&r->dialled, text));
    json_key_u64(j, "port", r->lookup.server_port);
    json_close(j, '}');
}

static void write_connection(struct json *j, const struct record_flow *r)
{
    uint8_t id[2 * FLOW_ID_BYTES];
    leaf_flow_id(id, r->flow);
    json_key(j, "connection_info");
    json_open(j, '{');
    json_key_u64(j, "direction_id", 2); /* outbound */
    json_key_u64(j, "protocol_num", r->lookup.tcp ? IPPROTO_TCP : IPPROTO_UDP);
    json_key_span(j, "uid", span_make(id, sizeof id));
    json_close(j, '}');
}

static void write_query(struct json *j, const struct record_flow *r)
{
    json_key(j, "query");
    json_open(j, '{');
    json_key_span(j, "hostname", hostname_span(&r->target->name));
    json_key_text(j, "class", "IN");
    json_key_text(j, "type", type_text(r));
    json_close(j, '}');
}

static void write_unmapped(const struct leaf_writer *w, struct json *j, const struct record_flow *r)
{
    json_key_text(j, "stage", stage_text(r->decision.stage));
    if (r->has_peer_uid) {
        json_key_u64(j, "peer_uid", r->peer_uid);
        json_key_u64(j, "peer_pid", r->peer_pid);
    }
    write_kept(w, j, "work", r->work);
    json_key_u64(j, "dns_sent", r->dns_sent);
    write_kept(w, j, "dns_result", r->dns_result);
    json_close(j, '}');
}

uint8_t *leaf_write_lookup(struct leaf_writer *w, uint8_t *at)
{
    const struct record_flow *r = &w->sealed->flow;
    uint8_t *begun = put(at, "\"action_id\":1,"); /* it left */
    begun = leaf_open(w, begun, "lookup", leaf_environment(w->sealed), r->flow);
    size_t len = (size_t)(begun - at);
    struct outbuf o = outbuf_make(begun, len < RECORD_LEAF_MAX ? RECORD_LEAF_MAX - len : 0);
    struct json j = json_make(&o);
    j.need_comma = true;
    write_unmapped(w, &j, r);
    write_class(w, &j);
    json_key_u64(&j, "disposition_id", 1);
    json_key_u64(&j, "status_id", r->end == FLOW_END_FAILED ? 2 : 1);
    json_key_text(&j, "status_code", reason_row(r->decision.reason)->name);
    write_endpoints(w, &j, r);
    write_connection(&j, r);
    write_query(&j, r);
    write_rcode(&j, r->lookup.rcode);
    write_answers(w, &j, r);
    json_key_i64(&j, "query_time", w->sealed->wall_ms - (int64_t)r->duration_ms);
    json_key_u64(&j, "duration", r->duration_ms);
    return o.overflow ? NULL : begun + o.len;
}
