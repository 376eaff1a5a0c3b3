/* SPDX-License-Identifier: Apache-2.0 */
/* What the audit log says of a session when it is opened, changed and closed. */
#include "session.h"

#define RECORDED_HOSTS 600 /* bytes of the list in a record */
#define RECORDED_WHOLE 200 /* bytes of a list that a record surely has whole */

static void add_text(struct record_event *event, const char *key, const char *text)
{
    if (text[0] != '\0' && event->fact_count < EVENT_FACTS_MAX)
        event->facts[event->fact_count++] = (struct event_fact){.key = key, .text = span_text(text)};
}

static void add_yes(struct record_event *event, const char *key, bool yes)
{
    add_text(event, key, yes ? "true" : "");
}

/* Lists that a record would cut are kept beside the log, so that what the session left can be told later. */
static void add_whole(const struct session *session, struct record_event *event, char hex[static 65])
{
    const struct session_spec *spec = &session->spec;
    char text[SESSION_BODY_MAX];
    struct outbuf out = outbuf_make(text, sizeof text);
    if (strlen(spec->hosts) <= RECORDED_WHOLE && strlen(spec->mcp_endpoints) <= RECORDED_WHOLE)
        return;
    session_spec_write(spec, &out);
    if (audit_log_blob(session->daemon->log, outbuf_written(&out), hex) == ERR_NONE)
        add_text(event, "session_blob", hex);
}

void session_record(const struct session *session, enum event_kind kind, const char *who, const char *what)
{
    const struct session_spec *spec = &session->spec;
    struct record_event event = {
        .event = kind,
        .environment = span_text(spec->environment),
        .subject = span_text(spec->session),
        .message = span_text(what),
    };
    add_text(&event, "who", who);
    add_text(&event, "work", spec->work);
    add_text(&event, "agent", spec->agent);
    add_text(&event, "labels", spec->labels);
    add_yes(&event, "only_hosts", spec->has_hosts);
    if (spec->hosts[0] != '\0')
        event.facts[event.fact_count++] =
            (struct event_fact){.key = "allow_hosts", .text = span_first(span_text(spec->hosts), RECORDED_HOSTS)};
    add_yes(&event, "no_package_managers", spec->no_package_managers || spec->run_phase);
    add_yes(&event, "no_mcp_servers", spec->no_mcp_servers);
    add_text(&event, "agent_file", spec->agent_file);
    add_text(&event, "agent_sha256", spec->agent_sha256);
    if (spec->agent_file[0] != '\0')
        event.facts[event.fact_count++] = (struct event_fact){
            .key = "mcp_endpoints", .text = span_first(span_text(spec->mcp_endpoints), RECORDED_HOSTS)};
    add_yes(&event, "deny_all", spec->deny_all);
    char hex[65] = "";
    if (kind != EVENT_SESSION_CLOSED)
        add_whole(session, &event, hex);
    char limits[SESSION_LIMITS_TEXT];
    session_limits_text(&spec->limits, limits);
    add_text(&event, "limits", limits);
    if (spec->ends_s != 0)
        event.facts[event.fact_count++] =
            (struct event_fact){.key = "ends_s", .is_number = true, .number = spec->ends_s};
    records_add(session->daemon, &event);
}
