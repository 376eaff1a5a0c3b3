/* SPDX-License-Identifier: Apache-2.0 */
#include "schema.h"

#include "base/outbuf.h"
#include "base/text.h"
#include "policy/limits.h"

#include <stdio.h>

#define PATH_MAX_BYTES 96

/* A kind of file: its rows, and the key under which the rows of the limits stand. */
struct kind {
    const struct key_row *(*rows)(size_t *out_count);
    const char *limits; /* empty: there are none */
    const char *what;
};

static const struct kind environment_kind = {keys_rows, "egress.limits", "an environment file"};
static const struct kind config_kind = {config_keys_rows, "limits", "a gateway's configuration"};
static const struct kind catalogue_kind = {catalogue_keys_rows, "", "a catalogue"};

struct checker {
    const struct kind *kind;
    const char *file;
    struct diag *diag;
};

/* ---- did you mean ---- */

/* The last part of a row's path if the row is a direct child of `path`, else the empty span. */
static struct span child_name(const char *row_path, const char *path)
{
    size_t len = strlen(path);
    if (strncmp(row_path, path, len) != 0)
        return span_make(NULL, 0);
    const char *rest = row_path + len;
    if (len > 0) {
        if (*rest != '.')
            return span_make(NULL, 0);
        rest++;
    }
    return strpbrk(rest, ".[") == NULL ? span_text(rest) : span_make(NULL, 0);
}

static bool is_limits(const struct checker *c, const char *path)
{
    return c->kind->limits[0] != '\0' && strcmp(path, c->kind->limits) == 0;
}

static struct span nearest_key(const struct checker *c, struct span word, const char *path)
{
    struct span best = {0};
    size_t best_distance = SCHEMA_WORD_MAX, count;
    const struct key_row *rows = c->kind->rows(&count);
    for (size_t i = 0; i < count; i++) {
        struct span name = child_name(rows[i].path, path);
        if (name.len > 0)
            schema_nearer(word, name, &best, &best_distance);
    }
    const struct limit_row *limits = limits_rows(&count);
    for (size_t i = 0; i < count && is_limits(c, path); i++)
        schema_nearer(word, span_text(limits[i].key), &best, &best_distance);
    return best;
}

/* A key that exists elsewhere: the commonest mistake after a wrong letter is a wrong level. */
static const char *elsewhere(const struct checker *c, struct span word)
{
    size_t count;
    const struct key_row *rows = c->kind->rows(&count);
    for (size_t i = 0; i < count; i++) {
        const char *dot = strrchr(rows[i].path, '.');
        if (dot != NULL && span_is(word, dot + 1) && strchr(rows[i].path, '[') == NULL)
            return rows[i].path;
    }
    return NULL;
}

/* Nothing is near: the keys that there are. */
static void list_keys(const struct checker *c, struct finding *f, const char *path)
{
    char words[448];
    struct outbuf o = outbuf_make(words, sizeof words);
    size_t count;
    const struct key_row *rows = c->kind->rows(&count);
    for (size_t i = 0; i < count; i++) {
        struct span name = child_name(rows[i].path, path);
        if (name.len == 0 || name.len + 2 > sizeof words - o.len)
            continue;
        outbuf_text(&o, o.len > 0 ? ", " : "");
        outbuf_span(&o, name);
    }
    if (o.len > 0)
        diag_fix(f, "remove it; the keys here are: %.*s", (int)o.len, words);
    else
        diag_fix(f, "remove it; the manual lists the limits");
}

static void advise(const struct checker *c, struct finding *f, struct span key, const char *path)
{
    struct span near = nearest_key(c, key, path);
    const char *other = elsewhere(c, key);
    if (near.len > 0)
        diag_fix(f, "did you mean '%.*s'?", (int)near.len, (const char *)near.data);
    else if (is_limits(c, path) && span_is(key, "drain"))
        diag_fix(f, "drain belongs to the process: set it in its configuration");
    else if (other != NULL)
        diag_fix(f, "this key belongs to %.*s", (int)(strrchr(other, '.') - other), other);
    else if (f != NULL && f->severity == SEVERITY_ERROR)
        list_keys(c, f, path);
}

/* ---- one value ---- */

static void wrong(const struct checker *c, struct node *node, const char *path, const char *wanted, const char *fix)
{
    node->bad = true;
    static const char *const kinds[] = {"a single value", "a list", "a map"};
    struct finding *f;
    if (node_is_null(node))
        f = diag_add(c->diag, SEVERITY_ERROR, "null", c->file, node->line, node->column,
                     "%s is empty (null), wanted: %s", path, wanted);
    else if (node->kind == NODE_SCALAR)
        f = diag_add(c->diag, SEVERITY_ERROR, "wrong_type", c->file, node->line, node->column, "%s: '%.*s' is not: %s",
                     path, (int)node->text.len, (const char *)node->text.data, wanted);
    else
        f = diag_add(c->diag, SEVERITY_ERROR, "wrong_type", c->file, node->line, node->column, "%s is %s, wanted: %s",
                     path, kinds[node->kind], wanted);
    diag_fix(f, "%s", node_is_null(node) ? "give it a value, or remove the key to get its default" : fix);
}

static void check_string(const struct checker *c, struct node *node, const char *path)
{
    if (node->kind != NODE_SCALAR || node_is_null(node))
        wrong(c, node, path, "a string", "write one string");
    else if (node->plain && node_is_implicit(node->text))
        wrong(c, node, path, "a string (YAML reads it as a number, date, boolean or null)",
              "put it in quotes if it is really meant as text");
}

static void check_bool(const struct checker *c, struct node *node, const char *path)
{
    if (node->kind != NODE_SCALAR || !node->plain || (!span_is(node->text, "true") && !span_is(node->text, "false")))
        wrong(c, node, path, "true or false", "write true or false, in lower case and without quotes");
}

static void check_choice(const struct checker *c, struct node *node, const struct key_row *row)
{
    char wanted[128], fix[160];
    snprintf(wanted, sizeof wanted, "one of: %s", row->values);
    snprintf(fix, sizeof fix, "write one of: %s", row->values);
    if (node->kind != NODE_SCALAR || node_is_null(node)) {
        wrong(c, node, row->path, wanted, fix);
        return;
    }
    for (struct span rest = span_text(row->values); rest.len > 0;) {
        size_t end = span_find(rest, ' ');
        if (span_equal(node->text, span_first(rest, end)))
            return;
        rest = span_from(rest, end + 1);
    }
    struct span near = schema_nearest(node->text, row->values);
    if (near.len > 0)
        snprintf(fix, sizeof fix, "did you mean '%.*s'?", (int)near.len, (const char *)near.data);
    wrong(c, node, row->path, wanted, fix);
}

static void check_port(const struct checker *c, struct node *node, const char *path)
{
    uint64_t port = 0;
    if (node->kind != NODE_SCALAR || !node->plain || text_u64(node->text, 65535, &port) != ERR_NONE || port == 0)
        wrong(c, node, path, "a port from 1 to 65535", "write a plain decimal number without quotes or leading zeros");
}

static void check_list(const struct checker *c, struct node *node, const char *path,
                       void (*check)(const struct checker *, struct node *, const char *))
{
    if (node->kind != NODE_LIST) {
        wrong(c, node, path, "a list", "write [one, two], or one '- item' a line");
        return;
    }
    for (struct node *item = node->first; item != NULL; item = item->next)
        check(c, item, path);
}

/* ---- limits, whose rows stand in a table of their own ---- */

static void check_limit(const struct checker *c, struct node *node, const struct limit_row *row)
{
    char path[PATH_MAX_BYTES];
    snprintf(path, sizeof path, "%s.%s", c->kind->limits, row->key);
    uint64_t value = 0;
    enum err err = ERR_INVALID;
    if (node->kind == NODE_SCALAR && (node->plain || row->unit != LIMIT_UNIT_COUNT))
        err = limit_read(row, node->text, &value);
    static const char *const wanted[] = {"a duration with its unit", "a size with its unit", "a plain number",
                                         "a percentage"};
    static const char *const fixes[] = {"write for instance 10s, 5m or 1h", "write for instance 64KiB, 16MiB or 2GiB",
                                        "write a decimal number without unit, quotes or sign",
                                        "write for instance 25%"};
    if (err == ERR_INVALID) {
        wrong(c, node, path, wanted[row->unit], fixes[row->unit]);
    } else if (err != ERR_NONE) {
        node->bad = true;
        struct finding *f =
            diag_add(c->diag, SEVERITY_ERROR, "out_of_range", c->file, node->line, node->column,
                     "%s: %.*s is out of range", path, (int)node->text.len, (const char *)node->text.data);
        static const char *const units[] = {" milliseconds", " bytes", "", " percent"};
        diag_fix(f, "from %llu to %llu%s", (unsigned long long)row->min, (unsigned long long)row->max,
                 units[row->unit]);
    }
}

static bool check_as_limit(const struct checker *c, struct node *node, const char *path)
{
    size_t count;
    const struct limit_row *rows = limits_rows(&count);
    for (size_t i = 0; i < count && is_limits(c, path); i++) {
        if (span_is(node->key, rows[i].key)) {
            check_limit(c, node, &rows[i]);
            return true;
        }
    }
    return false;
}

/* ---- maps; the table is at most four levels deep, and so is this recursion ---- */

static void check_map(const struct checker *c, struct node *map, const char *path, bool open);

static void check_maps(const struct checker *c, struct node *list, const char *path)
{
    char inner[PATH_MAX_BYTES];
    snprintf(inner, sizeof inner, "%s[]", path);
    if (list->kind != NODE_LIST) {
        wrong(c, list, path, "a list of maps", "begin each entry with '- '");
        return;
    }
    for (struct node *item = list->first; item != NULL; item = item->next)
        check_map(c, item, inner, false);
}

static void check_value(const struct checker *c, struct node *node, const struct key_row *row)
{
    switch (row->type) {
    case KEY_MAP:
    case KEY_OPEN:
        check_map(c, node, row->path, row->type == KEY_OPEN);
        return;
    case KEY_MAPS:
        check_maps(c, node, row->path);
        return;
    case KEY_BOOL:
        check_bool(c, node, row->path);
        return;
    case KEY_CHOICE:
        check_choice(c, node, row);
        return;
    case KEY_PORTS:
        check_list(c, node, row->path, check_port);
        return;
    case KEY_STRINGS:
    case KEY_HOSTS:
    case KEY_NAMES:
    case KEY_PATTERNS:
    case KEY_PATHS:
    case KEY_METHODS:
    case KEY_PREFIXES:
        check_list(c, node, row->path, check_string);
        return;
    case KEY_STRING:
    case KEY_PREFIX:
        check_string(c, node, row->path);
        return;
    case KEY_DATE: /* a plain date is what people write: its form is checked where it is used */
        if (node->kind != NODE_SCALAR || node_is_null(node))
            wrong(c, node, row->path, "a date", "write YYYY-MM-DD");
        return;
    case KEY_DURATION:
    case KEY_SIZE:
    case KEY_COUNT:
    case KEY_FREE:
        return;
    }
}

static const struct key_row *row_of(const struct checker *c, struct span key, const char *path)
{
    size_t count;
    const struct key_row *rows = c->kind->rows(&count);
    for (size_t i = 0; i < count; i++)
        if (key.len > 0 && span_equal(child_name(rows[i].path, path), key))
            return &rows[i];
    return NULL;
}

static void unknown_key(const struct checker *c, struct node *node, const char *path, bool open)
{
    node->bad = true;
    const char *block = path[0] == '\0' ? c->kind->what : path;
    struct finding *f =
        open ? diag_add(c->diag, SEVERITY_LINT, "not_enforced", c->file, node->key_line, node->key_column,
                        "the key '%.*s' in %s is not enforced here", (int)node->key.len, (const char *)node->key.data,
                        block)
             : diag_add(c->diag, SEVERITY_ERROR, "unknown_key", c->file, node->key_line, node->key_column,
                        "%s has no key '%.*s'", block, (int)node->key.len, (const char *)node->key.data);
    advise(c, f, node->key, path);
}

static void require_keys(const struct checker *c, const struct node *map, const char *path)
{
    size_t count;
    const struct key_row *rows = c->kind->rows(&count);
    for (size_t i = 0; i < count; i++) {
        struct span name = child_name(rows[i].path, path);
        if (name.len == 0 || rows[i].dflt[0] != '\0' || rows[i].scope == SCOPE_VENDOR)
            continue;
        bool there = false;
        for (const struct node *child = map->first; child != NULL; child = child->next)
            there |= span_equal(child->key, name);
        if (there)
            continue;
        struct finding *f = diag_add(c->diag, SEVERITY_ERROR, "missing_key", c->file, map->line, map->column,
                                     "the entry has no '%.*s'", (int)name.len, (const char *)name.data);
        diag_fix(f, "add %.*s: %s", (int)name.len, (const char *)name.data, rows[i].sentence);
    }
}

static void check_map(const struct checker *c, struct node *map, const char *path, bool open)
{
    if (map->kind != NODE_MAP) {
        wrong(c, map, path[0] == '\0' ? "the file" : path, "a map", "write 'key: value', one a line");
        return;
    }
    for (struct node *child = map->first; child != NULL; child = child->next) {
        const struct key_row *row = row_of(c, child->key, path);
        if (row != NULL)
            check_value(c, child, row);
        else if (!check_as_limit(c, child, path))
            unknown_key(c, child, path, open);
    }
    require_keys(c, map, path);
}

void schema_check(struct node *map, const char *path, const char *file, struct diag *diag)
{
    struct checker c = {.kind = &environment_kind, .file = file, .diag = diag};
    check_map(&c, map, path, path[0] == '\0');
}

void schema_check_config(struct node *map, const char *file, struct diag *diag)
{
    struct checker c = {.kind = &config_kind, .file = file, .diag = diag};
    check_map(&c, map, "", false);
}

void schema_check_catalogue(struct node *map, const char *path, const char *file, struct diag *diag)
{
    struct checker c = {.kind = &catalogue_kind, .file = file, .diag = diag};
    check_map(&c, map, path, false);
}
