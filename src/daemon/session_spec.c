/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "base/assert.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- values ---- */

/* Letters, digits, '-', '_' and '.', not first. It becomes the name of a directory. */
bool session_is_id(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= SESSION_ID_MAX && text[0] != '.' &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == len;
}

static bool copy(char *out, size_t cap, const char *value)
{
    size_t len = strlen(value);
    if (len >= cap)
        return false;
    memcpy(out, value, len + 1);
    return true;
}

static bool read_bool(const char *value, bool *out)
{
    *out = strcmp(value, "true") == 0;
    return *out || strcmp(value, "false") == 0;
}

static bool read_label(struct session_spec *spec, const char *value)
{
    size_t used = strlen(spec->labels);
    const char *equals = strchr(value, '=');
    if (equals == NULL || equals == value || strchr(value, ' ') != NULL)
        return false;
    int n = snprintf(spec->labels + used, sizeof spec->labels - used, "%s%s", used > 0 ? " " : "", value);
    return n > 0 && (size_t)n < sizeof spec->labels - used;
}

/* "key=value"; "none" takes the session's own away again. */
static bool read_limit(struct session_spec *spec, const char *text, char *why, size_t why_cap)
{
    size_t key_len = strcspn(text, "=");
    const struct limit_row *row = limit_row_find(span_make(text, key_len));
    uint64_t value = 0;
    if (row == NULL || text[key_len] != '=') {
        snprintf(why, why_cap, "limit: '%.80s' is not key=value with a key of egress.limits", text);
        return false;
    }
    if (row->scope != LIMIT_SCOPE_SESSION) {
        snprintf(why, why_cap, "limit: %s counts a whole environment together, a session has none of its own",
                 row->key);
        return false;
    }
    const char *said = text + key_len + 1;
    if (strcmp(said, "none") != 0 && limit_read(row, span_text(said), &value) != ERR_NONE) {
        char least[32], most[32];
        struct outbuf a = outbuf_make(least, sizeof least), b = outbuf_make(most, sizeof most);
        limit_write(row, row->min, &a);
        limit_write(row, row->max, &b);
        snprintf(why, why_cap, "limit: %s=%.80s is not a value from %.*s to %.*s, or none", row->key, said, (int)a.len,
                 least, (int)b.len, most);
        return false;
    }
    limit_set(&spec->limits, row, value);
    return true;
}

void session_limits_text(const struct limits *limits, char text[static SESSION_LIMITS_TEXT])
{
    struct outbuf out = outbuf_make(text, SESSION_LIMITS_TEXT - 1);
    size_t count;
    const struct limit_row *rows = limits_rows(&count);
    for (size_t i = 0; i < count; i++) {
        uint64_t value = limit_get(limits, &rows[i]);
        if (value == 0)
            continue;
        outbuf_text(&out, out.len > 0 ? " " : "");
        outbuf_text(&out, rows[i].key);
        outbuf_char(&out, '=');
        limit_write(&rows[i], value, &out);
    }
    text[out.len] = '\0';
}

bool session_limits_fit(const struct limits *own, const struct limits *environment, char *why, size_t why_cap)
{
    size_t count;
    const struct limit_row *rows = limits_rows(&count);
    for (size_t i = 0; i < count; i++) {
        uint64_t value = limit_get(own, &rows[i]), most = limit_get(environment, &rows[i]);
        if (most == 0 || value <= most)
            continue;
        char wanted[32], has[32];
        struct outbuf a = outbuf_make(wanted, sizeof wanted), b = outbuf_make(has, sizeof has);
        limit_write(&rows[i], value, &a);
        limit_write(&rows[i], most, &b);
        snprintf(why, why_cap, "limit: %s=%.*s is more than the environment's %.*s: a session may only narrow",
                 rows[i].key, (int)a.len, wanted, (int)b.len, has);
        return false;
    }
    return true;
}

static bool read_own(struct session_spec *spec, const char *key, const char *value)
{
    if (strcmp(key, "run_phase") == 0)
        return read_bool(value, &spec->run_phase);
    if (strcmp(key, "deny_all") == 0)
        return read_bool(value, &spec->deny_all);
    if (strcmp(key, "mcp_endpoints") == 0)
        return copy(spec->mcp_endpoints, sizeof spec->mcp_endpoints, value);
    if (strcmp(key, "agent_sha256") == 0)
        return copy(spec->agent_sha256, sizeof spec->agent_sha256, value);
    if (strcmp(key, "opened_index") == 0)
        return text_u64(span_text(value), INT64_MAX, &spec->opened_index) == ERR_NONE;
    if (strcmp(key, "opened_s") == 0)
        return text_u64(span_text(value), UINT32_MAX, &spec->opened_s) == ERR_NONE;
    if (strcmp(key, "used_up") == 0)
        return text_u64(span_text(value), INT64_MAX, &spec->used_up) == ERR_NONE;
    if (strcmp(key, "used_down") == 0)
        return text_u64(span_text(value), INT64_MAX, &spec->used_down) == ERR_NONE;
    if (strcmp(key, "quarantined_s") == 0)
        return text_u64(span_text(value), UINT64_MAX / 1000, &spec->quarantined_s) == ERR_NONE;
    if (strcmp(key, "ends_s") == 0)
        return text_u64(span_text(value), UINT64_MAX / 1000, &spec->ends_s) == ERR_NONE;
    return false;
}

static bool read_id(char *out, const char *value)
{
    return session_is_id(value) && copy(out, SESSION_ID_MAX + 1, value);
}

static bool read_value(struct session_spec *spec, const char *key, const char *value)
{
    if (strcmp(key, "session") == 0)
        return read_id(spec->session, value);
    if (strcmp(key, "work") == 0)
        return read_id(spec->work, value);
    if (strcmp(key, "agent") == 0)
        return read_id(spec->agent, value);
    if (strcmp(key, "group") == 0)
        return read_id(spec->group, value);
    if (strcmp(key, "environment") == 0)
        return value[0] != '\0' && copy(spec->environment, sizeof spec->environment, value);
    if (strcmp(key, "label") == 0)
        return read_label(spec, value);
    if (strcmp(key, "allow_hosts") == 0) {
        spec->has_hosts = true;
        return copy(spec->hosts, sizeof spec->hosts, value);
    }
    if (strcmp(key, "agent_file") == 0) {
        spec->agent_said = true;
        return value[0] != '\0' && copy(spec->agent_file, sizeof spec->agent_file, value);
    }
    if (strcmp(key, "no_package_managers") == 0)
        return read_bool(value, &spec->no_package_managers);
    if (strcmp(key, "no_mcp_servers") == 0)
        return read_bool(value, &spec->no_mcp_servers);
    if (strcmp(key, "now") == 0)
        return read_bool(value, &spec->now);
    if (strcmp(key, "ttl") == 0)
        return text_duration_ms(span_text(value), &spec->ttl_ms) == ERR_NONE;
    return false;
}

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            return false;
    return true;
}

bool session_spec_read(struct session_spec *spec, char *text, bool from_file, char *why, size_t why_cap)
{
    while (*text != '\0') {
        char *end = strchr(text, '\n');
        char *equals = strchr(text, '=');
        if (end == NULL || equals == NULL || equals > end) {
            snprintf(why, why_cap, "a line is key=value and ends with a newline");
            return false;
        }
        *end = *equals = '\0';
        if (strcmp(text, "limit") == 0 && is_printable(equals + 1)) {
            if (!read_limit(spec, equals + 1, why, why_cap))
                return false;
            text = end + 1;
            continue;
        }
        if (!is_printable(text) || !is_printable(equals + 1) ||
            !(read_value(spec, text, equals + 1) || (from_file && read_own(spec, text, equals + 1)))) {
            snprintf(why, why_cap, "%.40s: there is no such key, or its value is wrong",
                     is_printable(text) ? text : "a line");
            return false;
        }
        text = end + 1;
    }
    if (from_file)
        spec->agent_said = false; /* what was read of it then stands in the file too */
    return true;
}

/* ---- its file ---- */

static void line(struct outbuf *out, const char *key, const char *value)
{
    outbuf_text(out, key);
    outbuf_char(out, '=');
    outbuf_text(out, value);
    outbuf_char(out, '\n');
}

static void line_if(struct outbuf *out, const char *key, const char *value)
{
    ASSERT(value != NULL);
    if (value[0] != '\0')
        line(out, key, value);
}

/* Words with spaces between them, one line each. */
static void lines_of(const char *key, const char *words, struct outbuf *out)
{
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        outbuf_text(out, key);
        outbuf_char(out, '=');
        outbuf_bytes(out, words, len);
        outbuf_char(out, '\n');
        words += len + (words[len] == ' ');
    }
}

void session_spec_write(const struct session_spec *spec, struct outbuf *out)
{
    line(out, "session", spec->session);
    line(out, "environment", spec->environment);
    line_if(out, "work", spec->work);
    line_if(out, "agent", spec->agent);
    line_if(out, "group", spec->group);
    if (spec->has_hosts)
        line(out, "allow_hosts", spec->hosts);
    if (spec->agent_file[0] != '\0') {
        line(out, "agent_file", spec->agent_file);
        line(out, "agent_sha256", spec->agent_sha256);
        line(out, "mcp_endpoints", spec->mcp_endpoints);
    }
    line(out, "no_package_managers", spec->no_package_managers ? "true" : "false");
    line(out, "no_mcp_servers", spec->no_mcp_servers ? "true" : "false");
    line(out, "run_phase", spec->run_phase ? "true" : "false");
    line(out, "deny_all", spec->deny_all ? "true" : "false");
    outbuf_text(out, "opened_index=");
    outbuf_u64(out, spec->opened_index);
    outbuf_text(out, "\nopened_s=");
    outbuf_u64(out, spec->opened_s);
    outbuf_text(out, "\nends_s=");
    outbuf_u64(out, spec->ends_s);
    outbuf_text(out, "\nused_up=");
    outbuf_u64(out, spec->used_up);
    outbuf_text(out, "\nused_down=");
    outbuf_u64(out, spec->used_down);
    outbuf_text(out, "\nquarantined_s=");
    outbuf_u64(out, spec->quarantined_s);
    outbuf_char(out, '\n');
    lines_of("label", spec->labels, out);
    char limits[SESSION_LIMITS_TEXT];
    session_limits_text(&spec->limits, limits);
    lines_of("limit", limits, out);
}

/* ---- what it means ---- */

/* What session_agent.c wrote, read again. */
static bool read_endpoints(const char *text, struct target *out, size_t *out_count)
{
    for (*out_count = 0; *text != '\0'; ++*out_count) {
        size_t len = strcspn(text, ",");
        bool has_port = false;
        if (*out_count == NARROWING_MCP_MAX ||
            target_parse_host(span_make(text, len), 0, &out[*out_count], &has_port) != ERR_NONE || !has_port)
            return false;
        text += len + (text[len] == ',');
    }
    return true;
}

enum err session_narrowing(const struct session_spec *spec, struct narrowing **out, char *why, size_t why_cap)
{
    struct target mcp[NARROWING_MCP_MAX];
    struct span hosts[NARROWING_HOSTS_MAX];
    struct narrowing_spec narrow = {
        .only_hosts = spec->has_hosts,
        .hosts = hosts,
        .no_package_managers = spec->no_package_managers || spec->run_phase,
        .no_mcp_servers = spec->no_mcp_servers,
        .deny_all = spec->deny_all,
        .limits = spec->limits,
        .only_mcp = spec->agent_file[0] != '\0',
        .mcp = mcp,
    };
    if (!read_endpoints(spec->mcp_endpoints, mcp, &narrow.mcp_count)) {
        snprintf(why, why_cap, "mcp_endpoints: not what this program writes");
        return ERR_INVALID;
    }
    for (const char *at = spec->hosts; *at != '\0';) {
        size_t len = strcspn(at, ",");
        if (narrow.host_count == NARROWING_HOSTS_MAX) {
            snprintf(why, why_cap, "a session names at most %d hosts", NARROWING_HOSTS_MAX);
            return ERR_TOO_BIG;
        }
        hosts[narrow.host_count++] = span_make(at, len);
        at += len;
        if (*at == ',' && *++at == '\0') {
            snprintf(why, why_cap, "allow_hosts: a comma at the end");
            return ERR_INVALID;
        }
    }
    size_t bad = 0;
    enum err err = narrowing_new(&narrow, &bad, out);
    if (err == ERR_INVALID)
        snprintf(why, why_cap, "allow_hosts: '%.*s' is neither a name, a pattern '*.name' nor an address",
                 (int)(hosts[bad].len < 100 ? hosts[bad].len : 100), (const char *)hosts[bad].data);
    else if (err != ERR_NONE)
        snprintf(why, why_cap, "%s", err_text(err));
    return err;
}
