/* SPDX-License-Identifier: Apache-2.0 */
/* What stands above environments: denied hosts, limits, the ceiling. */
#include "config_parts.h"

#include "data.h"
#include "loader.h"

static void load_denied(struct config_reader *r, const struct node *root, struct policy_above *above)
{
    const struct node *list = node_get(root, "denied_hosts");
    if (list == NULL)
        return;
    struct policy_denied *all = arena_array(&r->memory->arena, list->count, sizeof *all);
    size_t count = 0;
    for (const struct node *item = list->first; all != NULL && item != NULL; item = item->next) {
        struct host_text host;
        const char *fix = NULL;
        if (item->bad)
            continue;
        const char *flaw = host_flaw(item->text, r->builtin, 0, &host, &fix);
        if (flaw != NULL)
            config_error(r, item, "host", fix != NULL ? fix : "write a host name or a *. pattern", "'%.*s': %s",
                         SPAN_ARGS(item->text), flaw);
        else
            all[count++] = (struct policy_denied){.text = arena_copy(&r->memory->arena, item->text),
                                                  .file = r->file,
                                                  .line = item->line,
                                                  .column = item->column};
    }
    above->denied = all;
    above->denied_count = count;
}

static void load_limits(const struct node *root, struct limits *out)
{
    size_t count;
    const struct limit_row *rows = limits_rows(&count);
    const struct node *map = node_get(root, "limits");
    for (size_t i = 0; i < count; i++) {
        const struct node *node = node_get(map, rows[i].key);
        if (node == NULL)
            continue;
        limit_set(out, &rows[i], load_limit(node, &rows[i]));
    }
}

/* ---- the ceiling ---- */

#define CEILING_HEAD "name: ceiling\nconfig:\n networking:\n"

/* The block as the environment file that it stands for; its lines are those of the configuration. */
static const struct policy_text *ceiling_text(struct config_reader *r, const struct node *block)
{
    const struct policy_text *part = config_part(r, block, "networking");
    struct arena *arena = &r->memory->arena;
    size_t head = sizeof CEILING_HEAD - 1;
    struct policy_text *whole = arena_take(arena, sizeof *whole);
    char *text = part != NULL ? arena_take(arena, head + part->text.len + 8) : NULL;
    if (whole == NULL || text == NULL)
        return NULL;
    memcpy(text, CEILING_HEAD, head);
    memset(text + head, ' ', 4); /* so that it lies deeper than its key, wherever it begins */
    size_t indent = part->text.len > 0 && part->text.data[0] == ' ' ? 0 : 4;
    memcpy(text + head + indent, part->text.data, part->text.len);
    *whole = (struct policy_text){
        .name = part->name,
        .text = span_make(text, head + indent + part->text.len),
        .first_line = part->first_line - 3, /* of the three lines above */
    };
    return whole;
}

static uint64_t limits_named(const struct node *block)
{
    size_t count;
    uint64_t bits = 0;
    const struct limit_row *rows = limits_rows(&count);
    const struct node *map = node_get(node_get(block, "egress"), "limits");
    for (size_t i = 0; i < count; i++)
        bits |= (uint64_t)(node_get(map, rows[i].key) != NULL) << i;
    return bits;
}

static void load_ceiling_block(struct config_reader *r, const struct node *block)
{
    struct config *config = &r->memory->config;
    if (block == NULL)
        return;
    const char *fix = "write for instance: ceiling: {networking: {type: limited, allowed_hosts: [\"*.example.com\"]}}";
    for (const struct node *n = block->first; block->kind == NODE_MAP && n != NULL; n = n->next)
        if (!span_is(n->key, "networking") && !span_is(n->key, "egress"))
            config_error(r, n, "unknown_key", "networking and egress are what a ceiling has",
                         "ceiling has no key '%.*s'", SPAN_ARGS(n->key));
    if (node_get(block, "networking") == NULL) {
        config_error(r, block, "missing_key", fix, "the ceiling has no networking block");
        return;
    }
    struct policy_sources sources = {.strict_files = config->strict_files,
                                     .catalogue_path = config->catalogue_path,
                                     .then = r->then,
                                     .then_count = r->then_count};
    sources.text = ceiling_text(r, block);
    sources.egress_text = config_part(r, block, "egress");
    if (sources.text == NULL)
        return;
    enum err err = policy_load(&sources, r->diag, &config->above.ceiling);
    if (err == ERR_NO_MEMORY)
        r->memory->arena.failed = true;
    config->above.ceiling_limits = limits_named(block);
}

void config_above(struct config_reader *r, const struct node *root)
{
    struct config *config = &r->memory->config;
    limits_default(&config->limits);
    load_limits(root, &config->limits);
    config->above.limits = &config->limits;
    load_denied(r, root, &config->above);
    load_ceiling_block(r, node_get(root, "ceiling"));
}
