/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "base/text.h"

#include <stdio.h>

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

/* ---- fields ---- */

enum field_kind { FIELD_ID, FIELD_NAME, FIELD_TEXT, FIELD_BOOL, FIELD_NUMBER };
enum field_said { SAID_BY_ALL, SAID_BY_FILE }; /* who may say it: nobody but its file */
enum field_kept { KEPT_NEVER, KEPT_ALWAYS, KEPT_IF_FILLED, KEPT_WITH_HOSTS, KEPT_WITH_AGENT };

struct field {
    const char *key;
    enum field_kind kind;
    size_t at, size; /* in struct session_spec */
    enum field_said said;
    enum field_kept kept;
    uint64_t max; /* of a number */
};

#define AT(member)  offsetof(struct session_spec, member), sizeof((struct session_spec *)NULL)->member
#define SECONDS_MAX (UINT64_MAX / 1000)

/* In the order of its file. Labels, limits and the time to live are no fields: their lines may repeat, or say it
 * otherwise than the file does. */
static const struct field fields[] = {
    {"session",             FIELD_ID,     AT(session),             SAID_BY_ALL,  KEPT_ALWAYS,     0          },
    {"environment",         FIELD_NAME,   AT(environment),         SAID_BY_ALL,  KEPT_ALWAYS,     0          },
    {"work",                FIELD_ID,     AT(work),                SAID_BY_ALL,  KEPT_IF_FILLED,  0          },
    {"agent",               FIELD_ID,     AT(agent),               SAID_BY_ALL,  KEPT_IF_FILLED,  0          },
    {"group",               FIELD_ID,     AT(group),               SAID_BY_ALL,  KEPT_IF_FILLED,  0          },
    {"allow_hosts",         FIELD_TEXT,   AT(hosts),               SAID_BY_ALL,  KEPT_WITH_HOSTS, 0          },
    {"agent_file",          FIELD_NAME,   AT(agent_file),          SAID_BY_ALL,  KEPT_WITH_AGENT, 0          },
    {"agent_sha256",        FIELD_TEXT,   AT(agent_sha256),        SAID_BY_FILE, KEPT_WITH_AGENT, 0          },
    {"mcp_endpoints",       FIELD_TEXT,   AT(mcp_endpoints),       SAID_BY_FILE, KEPT_WITH_AGENT, 0          },
    {"no_package_managers", FIELD_BOOL,   AT(no_package_managers), SAID_BY_ALL,  KEPT_ALWAYS,     0          },
    {"no_mcp_servers",      FIELD_BOOL,   AT(no_mcp_servers),      SAID_BY_ALL,  KEPT_ALWAYS,     0          },
    {"run_phase",           FIELD_BOOL,   AT(run_phase),           SAID_BY_FILE, KEPT_ALWAYS,     0          },
    {"deny_all",            FIELD_BOOL,   AT(deny_all),            SAID_BY_FILE, KEPT_ALWAYS,     0          },
    {"now",                 FIELD_BOOL,   AT(now),                 SAID_BY_ALL,  KEPT_NEVER,      0          },
    {"opened_index",        FIELD_NUMBER, AT(opened_index),        SAID_BY_FILE, KEPT_ALWAYS,     INT64_MAX  },
    {"opened_s",            FIELD_NUMBER, AT(opened_s),            SAID_BY_FILE, KEPT_ALWAYS,     UINT32_MAX },
    {"ends_s",              FIELD_NUMBER, AT(ends_s),              SAID_BY_FILE, KEPT_ALWAYS,     SECONDS_MAX},
    {"used_up",             FIELD_NUMBER, AT(used_up),             SAID_BY_FILE, KEPT_ALWAYS,     INT64_MAX  },
    {"used_down",           FIELD_NUMBER, AT(used_down),           SAID_BY_FILE, KEPT_ALWAYS,     INT64_MAX  },
    {"quarantined_s",       FIELD_NUMBER, AT(quarantined_s),       SAID_BY_FILE, KEPT_ALWAYS,     SECONDS_MAX},
};
#define FIELDS (sizeof fields / sizeof fields[0])

static const struct field *field_of(const char *key)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (strcmp(fields[i].key, key) == 0)
            return &fields[i];
    return NULL;
}

/* ---- reading ---- */

static bool read_field(struct session_spec *spec, const struct field *field, const char *value)
{
    void *at = (char *)spec + field->at;
    switch (field->kind) {
    case FIELD_ID:
        return session_is_id(value) && copy(at, field->size, value);
    case FIELD_NAME:
        return value[0] != '\0' && copy(at, field->size, value);
    case FIELD_TEXT:
        return copy(at, field->size, value);
    case FIELD_BOOL:
        return read_bool(value, at);
    case FIELD_NUMBER:
        return text_u64(span_text(value), field->max, at) == ERR_NONE;
    }
    return false;
}

static bool read_value(struct session_spec *spec, const char *key, const char *value, bool from_file)
{
    const struct field *field = field_of(key);
    if (field == NULL && strcmp(key, "label") == 0)
        return read_label(spec, value);
    if (field == NULL && strcmp(key, "ttl") == 0)
        return text_duration_ms(span_text(value), &spec->ttl_ms) == ERR_NONE;
    if (field == NULL || (field->said == SAID_BY_FILE && !from_file))
        return false;
    spec->has_hosts = spec->has_hosts || field->kept == KEPT_WITH_HOSTS;
    spec->agent_said = spec->agent_said || field->at == offsetof(struct session_spec, agent_file);
    return read_field(spec, field, value);
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
        if (!is_printable(text) || !is_printable(equals + 1) || !read_value(spec, text, equals + 1, from_file)) {
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

static bool is_kept(const struct session_spec *spec, const struct field *field)
{
    switch (field->kept) {
    case KEPT_NEVER:
        return false;
    case KEPT_ALWAYS:
        return true;
    case KEPT_IF_FILLED:
        return *((const char *)spec + field->at) != '\0';
    case KEPT_WITH_HOSTS:
        return spec->has_hosts;
    case KEPT_WITH_AGENT:
        return spec->agent_file[0] != '\0';
    }
    return false;
}

static void write_field(const struct session_spec *spec, const struct field *field, struct outbuf *out)
{
    const void *at = (const char *)spec + field->at;
    outbuf_text(out, field->key);
    outbuf_char(out, '=');
    if (field->kind == FIELD_BOOL)
        outbuf_text(out, *(const bool *)at ? "true" : "false");
    else if (field->kind == FIELD_NUMBER)
        outbuf_u64(out, *(const uint64_t *)at);
    else
        outbuf_text(out, at);
    outbuf_char(out, '\n');
}

void session_spec_write(const struct session_spec *spec, struct outbuf *out)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (is_kept(spec, &fields[i]))
            write_field(spec, &fields[i], out);
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
