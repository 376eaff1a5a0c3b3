/* SPDX-License-Identifier: Apache-2.0 */
/* schema: JSON Schema of the files that people write, made from the tables that the loader itself reads by. */
#include "cli/verbs.h"
#include "options.h"

#include "schema_rules.h"

#include "policy/keys.h"
#include "policy/limits.h"

#include <argp.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kind {
    const char *name, *title;
    const struct key_row *(*rows)(size_t *out_count);
    const char *limits; /* the key under which the rows of the limits stand */
    void (*add_rules)(json_t *schema);
};

static const struct kind kinds[] = {
    {"environment", "Sallyport environment file",           keys_rows,        "egress.limits", schema_rules_environment},
    {"config",      "configuration of a Sallyport gateway", config_keys_rows, "limits",        schema_rules_config     },
};

static const char doc[] = "Prints the JSON Schema (2020-12) of a file: of an environment file, or of a gateway's "
                          "configuration. Editors that know yaml-language-server complete and check with it; what a "
                          "schema cannot say (public suffixes, host bits, duplicate hosts) is said by check."
                          "\vExample:\n"
                          "  sallyport schema environment > environment.schema.json\n"
                          "  # yaml-language-server: $schema=environment.schema.json\n\n"
                          "Exit status: 0 done, 64 wrong usage.";

static json_t *must(json_t *value)
{
    if (value == NULL)
        abort(); /* no memory: nothing of this program goes on without it */
    return value;
}

static void put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, must(value)) != 0)
        abort();
}

/* ---- single values ---- */

static json_t *words(const char *text)
{
    json_t *list = must(json_array());
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        json_array_append_new(list, must(json_stringn(text, len)));
        text += len + (text[len] == ' ');
    }
    return list;
}

static json_t *text_of(const char *pattern)
{
    json_t *schema = must(json_pack("{s:s}", "type", "string"));
    if (pattern != NULL)
        put(schema, "pattern", json_string(pattern));
    return schema;
}

static json_t *list_of(json_t *items)
{
    return must(json_pack("{s:s, s:o}", "type", "array", "items", items));
}

static json_t *whole_number(uint64_t least, uint64_t most)
{
    return must(
        json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)least, "maximum", (json_int_t)most));
}

static json_t *reason_names(void)
{
    json_t *list = must(json_array());
#define X(id, code, name, ...) json_array_append_new(list, must(json_string(name)));
#include "wire/reason_tbl.h"
#undef X
    return list;
}

static json_t *string_schema(const struct key_row *row)
{
    if (strcmp(row->path, "egress.tests[].reason") == 0)
        return must(json_pack("{s:o}", "enum", reason_names()));
    return text_of(schema_pattern_of(row));
}

static json_t *limit_schema(const struct limit_row *row)
{
    static const char *const patterns[] = {SCHEMA_DURATION, SCHEMA_SIZE, NULL, SCHEMA_PERCENT};
    const char *pattern = patterns[row->unit];
    json_t *schema = pattern != NULL ? text_of(pattern) : whole_number(row->min, row->max);
    put(schema, "description", json_string(row->sentence));
    return schema;
}

/* ---- maps; the table is at most four levels deep, and so is this recursion ---- */

static json_t *map_schema(const struct kind *kind, const char *path, bool open);

static json_t *maps_schema(const struct kind *kind, const char *path)
{
    char inner[96];
    snprintf(inner, sizeof inner, "%s[]", path);
    return list_of(map_schema(kind, inner, false));
}

static json_t *list_schema(const struct key_row *row)
{
    if (row->type == KEY_PORTS)
        return list_of(whole_number(1, 65535));
    if (row->type == KEY_METHODS)
        return list_of(must(json_pack("{s:o}", "enum", words(SCHEMA_METHODS))));
    return list_of(text_of(schema_pattern_of(row)));
}

static json_t *value_schema(const struct kind *kind, const struct key_row *row)
{
    switch (row->type) {
    case KEY_MAP:
    case KEY_OPEN:
        return map_schema(kind, row->path, row->type == KEY_OPEN);
    case KEY_MAPS:
        return maps_schema(kind, row->path);
    case KEY_BOOL:
        return must(json_pack("{s:s}", "type", "boolean"));
    case KEY_CHOICE:
        return must(json_pack("{s:o}", "enum", words(row->values)));
    case KEY_STRINGS:
    case KEY_HOSTS:
    case KEY_NAMES:
    case KEY_PATTERNS:
    case KEY_PATHS:
    case KEY_PORTS:
    case KEY_METHODS:
    case KEY_PREFIXES:
        return list_schema(row);
    case KEY_STRING:
    case KEY_PREFIX:
    case KEY_DATE:
    case KEY_DURATION:
    case KEY_SIZE:
        return string_schema(row);
    case KEY_COUNT:
        return whole_number(1, 256);
    case KEY_FREE:
        break;
    }
    return must(json_object());
}

/* The name of a row that stands right below `path`, else NULL. */
static const char *child_of(const char *row_path, const char *path)
{
    size_t len = strlen(path);
    if (strncmp(row_path, path, len) != 0)
        return NULL;
    const char *rest = row_path + len;
    if (len > 0 && *rest++ != '.')
        return NULL;
    return strpbrk(rest, ".[") == NULL ? rest : NULL;
}

static void add_description(json_t *schema, const struct key_row *row)
{
    char text[512];
    bool has_default = row->dflt[0] != '\0';
    snprintf(text, sizeof text, "%s%s%s", row->sentence, has_default ? "; default: " : "", row->dflt);
    put(schema, "description", json_string(text));
}

static void add_limits(const struct kind *kind, const char *path, json_t *properties)
{
    size_t count;
    const struct limit_row *limits = limits_rows(&count);
    for (size_t i = 0; i < count && strcmp(path, kind->limits) == 0; i++)
        put(properties, limits[i].key, limit_schema(&limits[i]));
}

static json_t *map_schema(const struct kind *kind, const char *path, bool open)
{
    json_t *properties = must(json_object()), *required = must(json_array());
    size_t count;
    const struct key_row *rows = kind->rows(&count);
    for (size_t i = 0; i < count; i++) {
        const char *name = child_of(rows[i].path, path);
        if (name == NULL)
            continue;
        json_t *schema = value_schema(kind, &rows[i]);
        add_description(schema, &rows[i]);
        put(properties, name, schema);
        if (rows[i].dflt[0] == '\0')
            json_array_append_new(required, must(json_string(name)));
    }
    add_limits(kind, path, properties);
    json_t *schema = must(json_pack("{s:s, s:o}", "type", "object", "properties", properties));
    if (json_array_size(required) > 0)
        put(schema, "required", required);
    else
        json_decref(required);
    if (!open)
        put(schema, "additionalProperties", json_false());
    return schema;
}

/* ---- the verb ---- */

static int print_schema(const struct kind *kind)
{
    json_t *schema =
        must(json_pack("{s:s, s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title", kind->title));
    json_t *body = map_schema(kind, "", kind->rows == keys_rows);
    if (json_object_update(schema, body) != 0)
        abort();
    json_decref(body);
    kind->add_rules(schema);
    int bad = json_dumpf(schema, stdout, JSON_INDENT(2));
    json_decref(schema);
    return bad != 0 || putchar('\n') == EOF ? 1 : 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    const struct kind **kind = state->input;
    if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "name the file: environment or config");
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && *kind == NULL; i++)
        if (strcmp(arg, kinds[i].name) == 0) {
            *kind = &kinds[i];
            return 0;
        }
    argp_error(state, "one of environment, config");
    return 0;
}

int verb_schema(int argc, char **argv)
{
    static const struct argp argp = {NULL, parse, "environment|config", doc, NULL, NULL, NULL};
    const struct kind *kind = NULL;
    argp_err_exit_status = EXIT_USAGE;
    options_read(&argp, argc, argv, 0, &kind);
    return print_schema(kind);
}
