/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session of one agent. Its definition is read once, when it is named; what it declared stays the session's, also
 * across a restart, until the definition is named again: a file that changes by itself opens nothing.
 */
#include "session.h"

#include "policy/agent.h"

#include <stdio.h>
#include <stdlib.h>

/* Whoever sits in a session must not write what that session may reach. */
static bool lies_in_a_session(const struct daemon *daemon, const char *path)
{
    char *whole = realpath(path, NULL), *dir = realpath(daemon->sessions->dir, NULL);
    size_t len = dir != NULL ? strlen(dir) : 0;
    bool yes = whole != NULL && len > 0 && strncmp(whole, dir, len) == 0 && whole[len] == '/';
    free(whole);
    free(dir);
    return yes;
}

bool sessions_are_apart(const struct daemon *daemon, const struct policy *policy, struct diag *diag)
{
    size_t count;
    const struct policy_file *files = policy_files(policy, &count);
    for (size_t i = 0; i < count; i++) {
        if (!files[i].on_demand || !lies_in_a_session(daemon, files[i].path))
            continue;
        struct finding *f = diag_add(diag, SEVERITY_ERROR, "agent", files[i].path, 0, 0,
                                     "the definition lies below the directory of sessions, where a sandbox may reach");
        diag_fix(f, "keep definitions of agents where nothing is mounted into a sandbox");
        return false;
    }
    return true;
}

static bool write_endpoints(const struct agent *agent, char out[static SESSION_MCP])
{
    struct outbuf o = outbuf_make(out, SESSION_MCP - 1);
    size_t count;
    const struct target *all = agent_endpoints(agent, &count);
    for (size_t i = 0; i < count; i++) {
        char text[TARGET_TEXT_MAX];
        outbuf_text(&o, i > 0 ? "," : "");
        outbuf_bytes(&o, text, target_format(&all[i], text));
    }
    out[o.len] = '\0';
    return !o.overflow;
}

/* The texts are kept beside the log before the record names them. */
static void keep_texts(struct daemon *daemon, const struct agent *agent, char out_hex[static 65])
{
    char hex[65];
    size_t count;
    const struct agent_file *files = agent_files(agent, &count);
    for (size_t i = 0; i < count; i++)
        if (audit_log_blob(daemon->log, files[i].text, hex) == ERR_NONE && i == 0)
            memcpy(out_hex, hex, sizeof hex);
}

static void say_first(const struct diag *diag, const char *path, char *why, size_t why_cap)
{
    for (size_t i = 0; i < diag->count; i++) {
        const struct finding *f = &diag->items[i];
        if (f->severity != SEVERITY_ERROR)
            continue;
        snprintf(why, why_cap, "agent: %.200s:%u:%u: %.240s", f->file, f->line, f->column, f->message);
        return;
    }
    snprintf(why, why_cap, "agent: %.200s cannot be read", path);
}

bool session_agent_read(struct daemon *daemon, struct session_spec *spec, char *why, size_t why_cap)
{
    struct agent *agent = NULL;
    struct diag diag;
    if (!spec->agent_said)
        return true;
    spec->agent_said = false;
    if (spec->agent_file[0] != '/') {
        snprintf(why, why_cap, "agent: the path of the definition must be absolute");
        return false;
    }
    if (lies_in_a_session(daemon, spec->agent_file)) {
        snprintf(why, why_cap, "agent: the definition lies below the directory of sessions, where a sandbox may reach");
        return false;
    }
    diag_init(&diag);
    bool strict = daemon->options->strict_files || daemon->config_now->strict_files;
    enum err err =
        agent_load(spec->agent_file, strict, book_find(daemon->book, span_text(spec->environment)), &diag, &agent);
    bool good = err == ERR_NONE && write_endpoints(agent, spec->mcp_endpoints);
    if (err != ERR_NONE)
        say_first(&diag, spec->agent_file, why, why_cap);
    else if (!good)
        snprintf(why, why_cap, "agent: the endpoints of the agent and its roster are more than a session can hold");
    if (good) {
        struct span name = agent_name(agent);
        char text[SESSION_ID_MAX + 1] = "";
        if (name.len <= SESSION_ID_MAX && name.len > 0)
            memcpy(text, name.data, name.len);
        if (spec->agent[0] == '\0' && session_is_id(text))
            memcpy(spec->agent, text, sizeof text);
        keep_texts(daemon, agent, spec->agent_sha256);
    }
    diag_clear(&diag);
    agent_free(agent);
    return good;
}
