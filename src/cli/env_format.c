/* SPDX-License-Identifier: Apache-2.0 */
#include "env.h"

#include "base/assert.h"
#include "base/json.h"

/* One variable in one format. */
typedef void put_variable(struct outbuf *out, const char *name, struct span value);

static bool is_plain(struct span value)
{
    static const char others[] = "_-./:,@%+=";
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return true;
}

/* Inside single quotes a POSIX shell takes every byte as it is, but for the quote itself. */
static void put_shell(struct outbuf *out, const char *name, struct span value)
{
    outbuf_text(out, "export ");
    outbuf_text(out, name);
    outbuf_text(out, "='");
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '\'')
            outbuf_text(out, "'\\''");
        else
            outbuf_u8(out, value.data[i]);
    }
    outbuf_text(out, "'\n");
}

static void put_double_quoted(struct outbuf *out, struct span value)
{
    outbuf_char(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] != '\0' && strchr("\"\\$`", value.data[i]) != NULL)
            outbuf_char(out, '\\');
        outbuf_u8(out, value.data[i]);
    }
    outbuf_char(out, '"');
}

/* What all readers of such files agree on: plain words bare, everything else in single quotes, in which nothing is
 * expanded. Only a value with a single quote in it needs double ones. */
static void put_dotenv(struct outbuf *out, const char *name, struct span value)
{
    outbuf_text(out, name);
    outbuf_char(out, '=');
    if (is_plain(value)) {
        outbuf_span(out, value);
    } else if (span_find(value, '\'') < value.len) {
        put_double_quoted(out, value);
    } else {
        outbuf_char(out, '\'');
        outbuf_span(out, value);
        outbuf_char(out, '\'');
    }
    outbuf_char(out, '\n');
}

/* --env-file knows no quotes: the rest of the line is the value. */
static void put_docker(struct outbuf *out, const char *name, struct span value)
{
    outbuf_text(out, name);
    outbuf_char(out, '=');
    outbuf_span(out, value);
    outbuf_char(out, '\n');
}

/* A double-quoted YAML scalar takes a JSON string as it is; Kubernetes expands $(NAME) in values, and $$ is its "$". */
static void put_k8s(struct outbuf *out, const char *name, struct span value)
{
    char doubled[2 * ENV_VALUE_MAX];
    struct outbuf text = outbuf_make(doubled, sizeof doubled);
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '$')
            outbuf_char(&text, '$');
        outbuf_u8(&text, value.data[i]);
    }
    outbuf_text(out, "- name: ");
    outbuf_text(out, name);
    outbuf_text(out, "\n  value: ");
    struct json j = json_make(out);
    json_span(&j, outbuf_written(&text));
    outbuf_char(out, '\n');
}

struct format_row {
    const char *name;
    put_variable *put; /* NULL: JSON, whose commas a row alone cannot know */
};

static const struct format_row formats[] = {
    [ENV_SHELL] = {"shell",  put_shell },
      [ENV_DOTENV] = {"dotenv", put_dotenv},
      [ENV_DOCKER] = {"docker", put_docker},
    [ENV_K8S] = {"k8s",    put_k8s   },
      [ENV_JSON] = {"json",   NULL      },
};

bool env_format_parse(const char *name, enum env_format *out)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(formats[i].name, name) != 0)
            continue;
        *out = (enum env_format)i;
        return true;
    }
    return false;
}

static bool applies(const struct client_env_row *row, const struct client_env_facts *facts)
{
    return row->kind != CLIENT_ENV_CA || facts->ca.len > 0;
}

static struct span value_of(const struct client_env_row *row, const struct client_env_facts *facts,
                            char text[static ENV_VALUE_MAX])
{
    struct outbuf value = outbuf_make(text, ENV_VALUE_MAX);
    client_env_fill(&value, row->value, facts);
    ASSERT(!value.overflow);
    return outbuf_written(&value);
}

void env_print(struct outbuf *out, enum env_format format, const struct client_env_facts *facts)
{
    char text[ENV_VALUE_MAX];
    struct json j = json_make(out);
    if (format == ENV_JSON)
        json_open(&j, '{');
    for (size_t i = 0; client_env_row(i) != NULL; i++) {
        const struct client_env_row *row = client_env_row(i);
        if (!applies(row, facts))
            continue;
        struct span value = value_of(row, facts, text);
        if (format == ENV_JSON)
            json_key_span(&j, row->name, value);
        else
            formats[format].put(out, row->name, value);
    }
    if (format == ENV_JSON) {
        json_close(&j, '}');
        outbuf_char(out, '\n');
    }
}

void env_explain(struct outbuf *out, const struct client_env_facts *facts)
{
    char text[ENV_VALUE_MAX];
    for (size_t i = 0; client_env_row(i) != NULL; i++) {
        const struct client_env_row *row = client_env_row(i);
        if (!applies(row, facts))
            continue;
        put_docker(out, row->name, value_of(row, facts, text));
        outbuf_text(out, "    for ");
        outbuf_text(out, row->who);
        outbuf_text(out, ": ");
        outbuf_text(out, row->why);
        outbuf_char(out, '\n');
    }
}
