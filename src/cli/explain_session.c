/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_session.h"

#include "policy_log.h"
#include "record_json.h"

#include "audit/reader.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY(to, from) snprintf((to), sizeof(to), "%.*s", (int)sizeof(to) - 1, (from))

/* ---- from the log ---- */

/* Lines "key=value", as the program keeps a session. */
static void read_line(struct session_then *s, const char *key, const char *value)
{
    bool yes = strcmp(value, "true") == 0;
    if (strcmp(key, "allow_hosts") == 0) {
        s->only_hosts = true;
        s->cut |= strlen(value) >= sizeof s->hosts;
        COPY(s->hosts, value);
    } else if (strcmp(key, "agent_file") == 0) {
        s->only_mcp = true;
        COPY(s->agent_file, value);
    } else if (strcmp(key, "mcp_endpoints") == 0) {
        s->cut |= strlen(value) >= sizeof s->mcp;
        COPY(s->mcp, value);
    } else if (strcmp(key, "no_package_managers") == 0 || strcmp(key, "run_phase") == 0) {
        s->no_packages |= yes;
    } else if (strcmp(key, "no_mcp_servers") == 0) {
        s->no_mcp = yes;
    } else if (strcmp(key, "deny_all") == 0) {
        s->deny_all = yes;
    }
}

static void read_whole(const char *dir, const char *blob, struct session_then *s)
{
    char *text = NULL;
    size_t len = 0;
    s->cut = policy_log_text(dir, blob, &text, &len) != ERR_NONE;
    for (char *line = text; line != NULL && *line != '\0';) {
        char *end = strchr(line, '\n'), *equals = strchr(line, '=');
        if (end == NULL || equals == NULL || equals > end)
            break;
        *end = *equals = '\0';
        read_line(s, line, equals + 1);
        line = end + 1;
    }
    free(text);
}

static void read_session(const char *dir, json_t *record, struct session_then *s)
{
    static const char *const keys[] = {"allow_hosts",         "agent_file",     "mcp_endpoints",
                                       "no_package_managers", "no_mcp_servers", "deny_all"};
    json_t *unmapped = json_object_get(record, "unmapped");
    const char *blob = record_text(unmapped, "session_blob");
    bool truncated = json_is_true(json_object_get(json_object_get(record, "metadata"), "is_truncated"));
    struct session_then fresh = {.environment_denied = s->environment_denied, .all_denied = s->all_denied};
    COPY(fresh.id, s->id);
    COPY(fresh.environment, s->environment);
    *s = fresh;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (json_object_get(unmapped, keys[i]) != NULL)
            read_line(s, keys[i], record_text(unmapped, keys[i]));
    s->only_hosts |= strcmp(record_text(unmapped, "only_hosts"), "true") == 0;
    if (blob[0] != '\0')
        read_whole(dir, blob, s);
    else
        s->cut |= truncated;
}

static void read_denied(json_t *record, bool deny, struct session_then *s)
{
    const char *subject = record_text(json_object_get(record, "entity"), "uid");
    if (strcmp(subject, "*") == 0) {
        s->all_denied = deny;
        s->environment_denied &= deny;
    } else if (strcmp(subject, s->environment) == 0) {
        s->environment_denied = deny;
    }
}

/* One entry that came before the request; gives whether it was about its session. */
static bool read_entry(const char *dir, struct span leaf, struct session_then *s)
{
    bool session = memmem(leaf.data, leaf.len, "\"session_", 9) != NULL;
    if (!session && memmem(leaf.data, leaf.len, "\"environment_", 13) == NULL)
        return false;
    json_t *record = json_loadb((const char *)leaf.data, leaf.len, 0, NULL);
    const char *event = record_text(json_object_get(record, "metadata"), "event_code");
    bool opened = strcmp(event, "session_opened") == 0 || strcmp(event, "session_changed") == 0;
    bool ours = opened && s->id[0] != '\0' && strcmp(record_text(json_object_get(record, "entity"), "uid"), s->id) == 0;
    if (ours)
        read_session(dir, record, s);
    else if (strcmp(event, "environment_denied") == 0 || strcmp(event, "environment_lifted") == 0)
        read_denied(record, strcmp(event, "environment_denied") == 0, s);
    json_decref(record);
    return ours;
}

enum err session_then_find(const char *dir, const struct logged *logged, struct session_then *out)
{
    struct audit_reader *reader = NULL;
    struct span leaf;
    uint64_t index = 0;
    bool found = false;
    *out = (struct session_then){0};
    COPY(out->id, logged->session);
    COPY(out->environment, logged->environment);
    enum err err = audit_reader_open(dir, 0, &reader);
    while (err == ERR_NONE && (err = audit_reader_next(reader, &index, &leaf)) == ERR_NONE && index < logged->index)
        found |= read_entry(dir, leaf, out);
    audit_reader_close(reader);
    if (err != ERR_NONE && err != ERR_AGAIN)
        return err;
    return found || out->id[0] == '\0' ? ERR_NONE : ERR_NOT_FOUND;
}

/* ---- as a question ---- */

static size_t cut_words(const char *text, struct span *out, size_t cap)
{
    size_t count = 0;
    while (*text != '\0' && count < cap) {
        size_t len = strcspn(text, ",");
        out[count++] = span_make(text, len);
        text += len + (text[len] == ',');
    }
    return count;
}

enum err session_then_narrowing(const struct session_then *s, struct narrowing **out)
{
    struct span words[NARROWING_HOSTS_MAX], hosts[NARROWING_HOSTS_MAX];
    struct target mcp[NARROWING_MCP_MAX];
    struct narrowing_spec spec = {
        .only_hosts = s->only_hosts,
        .hosts = hosts,
        .no_package_managers = s->no_packages,
        .no_mcp_servers = s->no_mcp,
        .only_mcp = s->only_mcp,
        .mcp = mcp,
        .deny_all = s->deny_all || s->environment_denied || s->all_denied,
    };
    *out = NULL;
    if (s->cut)
        return ERR_CORRUPT;
    size_t count = cut_words(s->mcp, words, NARROWING_MCP_MAX);
    for (; spec.mcp_count < count; spec.mcp_count++) {
        bool has_port = false;
        if (target_parse_host(words[spec.mcp_count], 0, &mcp[spec.mcp_count], &has_port) != ERR_NONE || !has_port)
            return ERR_CORRUPT;
    }
    spec.host_count = cut_words(s->hosts, hosts, NARROWING_HOSTS_MAX);
    if (!s->only_hosts && !s->no_packages && !s->no_mcp && !s->only_mcp && !spec.deny_all)
        return ERR_NONE;
    return narrowing_new(&spec, NULL, out) == ERR_NONE ? ERR_NONE : ERR_CORRUPT;
}

/* ---- words ---- */

void session_then_describe(const struct session_then *s, struct outbuf *out)
{
    const struct {
        bool holds;
        const char *words, *value;
    } rows[] = {
        {s->all_denied,             "deny-all of every environment", ""           },
        {s->environment_denied,     "deny-all of the environment",   ""           },
        {s->deny_all,               "deny-all of the session",       ""           },
        {s->only_hosts,             "only these hosts: ",            s->hosts     },
        {s->no_packages,            "no package managers",           ""           },
        {s->no_mcp,                 "no MCP servers",                ""           },
        {s->only_mcp && !s->no_mcp, "only the MCP servers of ",      s->agent_file},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!rows[i].holds)
            continue;
        outbuf_text(out, out->len > 0 ? "; " : "");
        outbuf_text(out, rows[i].words);
        outbuf_text(out, rows[i].value);
    }
}

static void line(struct outbuf *out, const char *before, const char *value, const char *after)
{
    outbuf_text(out, before);
    outbuf_text(out, value);
    outbuf_text(out, after);
    outbuf_char(out, '\n');
}

static bool opens(const struct session_then *s, const struct policy *policy, const struct question *question)
{
    struct narrowing *narrowing = NULL;
    struct question asked = *question;
    struct decision decision;
    if (session_then_narrowing(s, &narrowing) != ERR_NONE)
        return false;
    asked.narrowing = narrowing;
    policy_ask_target(policy, &asked, &decision);
    narrowing_unref(narrowing);
    return decision.verdict == VERDICT_ALLOW;
}

/* Each act is tried alone, on top of those that are needed before it. */
void session_then_opening(const struct session_then *then, const struct policy *policy, const struct question *question,
                          struct outbuf *out)
{
    struct session_then s = *then;
    char host[TARGET_TEXT_MAX];
    target_format_host(question->target, host);
    if (s.all_denied)
        line(out, "sallyport session lift", "", "   # everything was denied");
    if (s.environment_denied)
        line(out, "sallyport session lift --environment '", s.environment,
             "'   # the environment was denied as a whole");
    if (s.deny_all)
        line(out, "sallyport session lift --session ", s.id, "   # the session was denied everything");
    s.all_denied = s.environment_denied = s.deny_all = false;
    if (opens(&s, policy, question))
        return;
    if (s.only_hosts) {
        outbuf_text(out, "sallyport session set --session ");
        outbuf_text(out, s.id);
        outbuf_text(out, " --allow-hosts '");
        outbuf_text(out, s.hosts);
        outbuf_text(out, s.hosts[0] != '\0' ? "," : "");
        line(out, host, "'", "   # on the ports that the environment opens for it");
        s.only_hosts = false;
    }
    if (opens(&s, policy, question))
        return;
    if (s.no_packages)
        line(out, "# package groups are closed in this session for good: a new session, or a line of the policy for ",
             host, "");
    if (s.no_mcp)
        line(out, "# MCP servers are closed in this session for good: a new session, or a line of the policy for ",
             host, "");
    else if (s.only_mcp)
        line(out, "# declare the endpoint in ", s.agent_file, ", and name the definition again: session set --agent");
}
