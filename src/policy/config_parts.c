/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners and environments. */
#include "config_parts.h"

#include "data.h"
#include "loader.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

void config_error(const struct config_reader *r, const struct node *node, const char *code, const char *fix,
                  const char *message, ...)
{
    char text[480];
    va_list args;
    va_start(args, message);
    vsnprintf(text, sizeof text, message, args);
    va_end(args);
    diag_fix(diag_add(r->diag, SEVERITY_ERROR, code, r->file, node->line, node->column, "%s", text), "%s", fix);
}

/* ---- words ---- */

static bool has_nul(struct span text)
{
    return text.len > 0 && memchr(text.data, 0, text.len) != NULL;
}

static const char *keep(struct config_reader *r, struct span text)
{
    return (const char *)arena_copy(&r->memory->arena, text).data;
}

const char *config_string(struct config_reader *r, const struct node *map, const char *key)
{
    const struct node *node = node_get(map, key);
    if (node == NULL)
        return NULL;
    if (node->text.len == 0 || has_nul(node->text)) {
        config_error(r, node, "empty", "give it a value, or remove the key", "%s is empty", key);
        return NULL;
    }
    return keep(r, node->text);
}

static const char *beside(struct config_reader *r, const struct node *node, struct span path)
{
    char text[PATH_MAX];
    if (file_beside(r->file, path, text, sizeof text) == ERR_NONE)
        return keep(r, span_text(text));
    config_error(r, node, "path", "write a path, absolute or relative to this file", "the path is empty or too long");
    return NULL;
}

const char *config_path(struct config_reader *r, const struct node *map, const char *key)
{
    const struct node *node = node_get(map, key);
    return node == NULL ? NULL : beside(r, node, node->text);
}

/* ---- listeners ---- */

static bool is_unix(struct span text)
{
    return text.len > 5 && memcmp(text.data, "unix:", 5) == 0;
}

static void load_listen(struct config_reader *r, const struct node *map, struct config_listener *out)
{
    const struct node *node = node_get(map, "listen");
    if (node == NULL)
        return;
    out->is_unix = is_unix(node->text);
    if (out->is_unix)
        out->path = beside(r, node, span_from(node->text, 5));
    else if (ipaddr_parse_socket(node->text, 0, &out->addr, &out->port) != ERR_NONE)
        config_error(r, node, "listen",
                     "write for instance 127.0.0.1:3128, \"[::1]:3128\" or unix:/run/env-a/proxy.sock",
                     "'%.*s' is no place to listen on", SPAN_ARGS(node->text));
}

/* Others would reach a policy that was not meant for them through a socket that everybody may use. */
static unsigned load_mode(struct config_reader *r, const struct node *map)
{
    const struct node *node = node_get(map, "mode");
    unsigned mode = 0;
    if (node == NULL)
        return 0660;
    bool good = node->text.len >= 3 && node->text.len <= 4;
    for (size_t i = 0; i < node->text.len && good; i++) {
        good = node->text.data[i] >= '0' && node->text.data[i] <= '7';
        mode = mode * 8 + (unsigned)(node->text.data[i] - '0');
    }
    if (!good || mode > 0777 || (mode & 0600) != 0600 || (mode & 0111) != 0) {
        config_error(r, node, "mode", "write for instance \"0660\"", "'%.*s' is no mode of a socket",
                     SPAN_ARGS(node->text));
        return 0600;
    }
    return mode;
}

static void check_unix_keys(const struct config_reader *r, const struct node *map, const struct config_listener *out)
{
    static const char *const keys[] = {"mode", "owner", "group"};
    for (size_t i = 0; i < 3; i++) {
        const struct node *node = node_get(map, keys[i]);
        if (node != NULL && !out->is_unix)
            config_error(r, node, "listener", "remove it", "%s belongs to a Unix socket", keys[i]);
    }
}

static void load_listener(struct config_reader *r, const struct node *map, struct config_listener *out)
{
    const struct node *by = node_get(map, "by"), *environment = node_get(map, "environment");
    *out = (struct config_listener){
        .mode = load_mode(r, map),
        .owner = config_string(r, map, "owner"),
        .group = config_string(r, map, "group"),
        .by_source = by != NULL,
        .environment = config_string(r, map, "environment"),
        .line = map->line,
        .column = map->column,
    };
    load_listen(r, map, out);
    check_unix_keys(r, map, out);
    if (by != NULL && environment != NULL)
        config_error(r, by, "listener", "keep one of the two: sources are looked at in either case",
                     "the listener has an environment and 'by: source'");
    if (by != NULL && out->is_unix)
        config_error(r, by, "listener", "write 'environment: NAME'", "clients of a Unix socket have no source address");
}

static void check_twice(const struct config_reader *r, const struct node *list, const struct config_listener *all)
{
    size_t i = 0;
    for (const struct node *item = list->first; item != NULL; item = item->next, i++) {
        for (size_t j = 0; j < i; j++) {
            const struct config_listener *a = &all[i], *b = &all[j];
            bool same = a->is_unix != b->is_unix ? false
                        : a->is_unix             ? a->path != NULL && b->path != NULL && strcmp(a->path, b->path) == 0
                                     : a->port != 0 && a->port == b->port && ipaddr_equal(&a->addr, &b->addr);
            if (same)
                config_error(r, item, "duplicate", "remove one of the two",
                             "this place is listened on twice, first in line %u", b->line);
        }
    }
}

void config_listeners(struct config_reader *r, const struct node *root)
{
    struct node *list = node_get(root, "listeners");
    if (list == NULL || list->kind != NODE_LIST)
        return;
    if (list->count == 0 || list->count > CONFIG_LISTENERS_MAX) {
        config_error(r, list, "listeners", "add for instance: - {listen: 127.0.0.1:3128}",
                     "there are %u listeners; from 1 to %d are possible", list->count, CONFIG_LISTENERS_MAX);
        return;
    }
    struct config_listener *all = arena_array(&r->memory->arena, list->count, sizeof *all);
    if (all == NULL)
        return;
    size_t count = 0;
    for (const struct node *item = list->first; item != NULL; item = item->next)
        load_listener(r, item, &all[count++]);
    check_twice(r, list, all);
    r->memory->config.listeners = all;
    r->memory->config.listener_count = count;
}

/* ---- environments ---- */

/* Where a line and column of the file stand in its bytes; columns count characters (RFC 3629). */
static size_t offset_of(struct config_reader *r, uint32_t line, uint32_t column)
{
    struct span text = r->memory->config.text;
    bool onward = r->seen_line > 0 && line >= r->seen_line;
    size_t at = onward ? r->seen_offset : 0;
    for (uint32_t i = onward ? r->seen_line : 1; i < line && at < text.len; i++) {
        const uint8_t *end = memchr(text.data + at, '\n', text.len - at);
        at = end == NULL ? text.len : (size_t)(end - text.data) + 1;
    }
    r->seen_line = line;
    r->seen_offset = at;
    for (uint32_t i = 1; i < column && at < text.len; i++) {
        at++;
        while (at < text.len && (text.data[at] & 0xc0) == 0x80)
            at++;
    }
    return at;
}

/* The text of a value, moved to its column by spaces, reads as a file of its own: every finding and every rule of it
 * has the line and column that it has here. */
const struct policy_text *config_part(struct config_reader *r, const struct node *map, const char *key)
{
    const struct node *node = node_get(map, key);
    struct arena *arena = &r->memory->arena;
    if (node == NULL)
        return NULL;
    if (node->kind != NODE_MAP) {
        config_error(r, node, "wrong_type", "write 'key: value', one a line", "%s is not a map", key);
        return NULL;
    }
    struct span file = r->memory->config.text;
    size_t from = offset_of(r, node->line, node->column);
    size_t to = offset_of(r, node->end_line, node->end_column);
    size_t indent = node->column - 1;
    struct policy_text *part = arena_take(arena, sizeof *part);
    char *text = from <= to ? arena_take(arena, indent + (to - from) + 1) : NULL;
    if (part == NULL || text == NULL)
        return NULL;
    memset(text, ' ', indent);
    memcpy(text + indent, file.data + from, to - from);
    *part =
        (struct policy_text){.name = r->file, .text = span_make(text, indent + (to - from)), .first_line = node->line};
    return part;
}

static void load_sources(struct config_reader *r, const struct node *map, struct config_environment *out)
{
    const struct node *list = node_get(map, "sources");
    if (list == NULL)
        return;
    struct prefix *all = arena_array(&r->memory->arena, list->count, sizeof *all);
    size_t count = 0;
    for (const struct node *item = list->first; all != NULL && item != NULL; item = item->next) {
        if (item->bad)
            continue;
        if (prefix_parse(item->text, &all[count]) == ERR_NONE)
            count++;
        else
            config_error(r, item, "prefix", "write for instance 10.20.0.0/16 or 10.20.3.4, without host bits",
                         "'%.*s' is no prefix of addresses", SPAN_ARGS(item->text));
    }
    out->prefixes = all;
    out->prefix_count = count;
}

static void check_choice(const struct config_reader *r, const struct node *map, const char *one, const char *other)
{
    const struct node *node = node_get(map, one);
    if (node != NULL && node_get(map, other) != NULL)
        config_error(r, node, "two_blocks", "keep one of the two", "%s and %s stand in one entry", one, other);
}

static void load_environment(struct config_reader *r, const struct node *map, struct config_environment *out)
{
    struct config *config = &r->memory->config;
    *out = (struct config_environment){
        .sources = {.path = config_path(r, map, "file"),
                    .text = config_part(r, map, "environment"),
                    .egress_path = config_path(r, map, "egress_file"),
                    .egress_text = config_part(r, map, "egress"),
                    .strict_files = config->strict_files,
                    .above = &config->above,
                    .catalogue_path = config->catalogue_path},
        .line = map->line,
        .column = map->column,
    };
    check_choice(r, map, "file", "environment");
    check_choice(r, map, "egress_file", "egress");
    if (node_get(map, "file") == NULL && node_get(map, "environment") == NULL)
        config_error(r, map, "missing_key", "add file: PATH, or environment: with the block itself",
                     "the entry has neither file nor environment");
    load_sources(r, map, out);
}

void config_environments(struct config_reader *r, const struct node *root)
{
    struct node *list = node_get(root, "environments");
    if (list == NULL || list->kind != NODE_LIST)
        return;
    if (list->count == 0 || list->count > CONFIG_ENVIRONMENTS_MAX) {
        config_error(r, list, "environments", "add for instance: - {file: invoice-env.yaml}",
                     "there are %u environments; from 1 to %d are possible", list->count, CONFIG_ENVIRONMENTS_MAX);
        return;
    }
    struct config_environment *all = arena_array(&r->memory->arena, list->count, sizeof *all);
    if (all == NULL)
        return;
    size_t count = 0;
    for (const struct node *item = list->first; item != NULL; item = item->next)
        load_environment(r, item, &all[count++]);
    r->memory->config.environments = all;
    r->memory->config.environment_count = count;
}
