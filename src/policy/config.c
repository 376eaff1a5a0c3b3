/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/config.h"

#include "base/text.h"
#include "config_parts.h"
#include "data.h"
#include "file.h"
#include "loader.h"
#include "tree.h"
#include "wire/redact.h"

#include <limits.h>
#include <stdlib.h>

#define DRAIN_MS    300000
#define MEMORY_MIN  (UINT64_C(1) << 20)
#define WORKERS_MAX 256

static void load_dns(struct config_reader *r, const struct node *root)
{
    const struct node *list = node_get(root, "dns");
    if (list == NULL)
        return;
    if (list->count > CONFIG_DNS_MAX) {
        config_error(r, list, "too_many", "remove some", "there are more than %d name servers", CONFIG_DNS_MAX);
        return;
    }
    struct config_server *all = arena_array(&r->memory->arena, list->count, sizeof *all);
    size_t count = 0;
    for (const struct node *item = list->first; all != NULL && item != NULL; item = item->next) {
        if (item->bad)
            continue;
        if (ipaddr_parse_socket(item->text, 1, &all[count].addr, &all[count].port) == ERR_NONE)
            count++;
        else
            config_error(r, item, "dns", "write for instance 127.0.0.53:53 or \"[::1]:53\"",
                         "'%.*s' is no address and port", SPAN_ARGS(item->text));
    }
    r->memory->config.dns = all;
    r->memory->config.dns_count = count;
}

static void load_numbers(struct config_reader *r, const struct node *root)
{
    struct config *config = &r->memory->config;
    const struct node *workers = node_get(root, "workers"), *drain = node_get(root, "drain");
    uint64_t value = 0;
    if (workers != NULL && (workers->kind != NODE_SCALAR || !workers->plain ||
                            text_u64(workers->text, WORKERS_MAX, &value) != ERR_NONE || value == 0))
        config_error(r, workers, "out_of_range", "write a number, or remove the key to have one a core",
                     "workers is a number from 1 to %d", WORKERS_MAX);
    config->workers = (unsigned)value;
    config->drain_ms = DRAIN_MS;
    if (drain != NULL && (drain->kind != NODE_SCALAR || text_duration_ms(drain->text, &config->drain_ms) != ERR_NONE))
        config_error(r, drain, "wrong_type", "write for instance 30s, 5m or 1h", "drain is a duration with its unit");
}

/* A duration or a size; what is none is a finding, and `out` keeps its value. */
static void load_measure(const struct config_reader *r, const struct node *map, const char *key,
                         enum err (*parse)(struct span text, uint64_t *out), uint64_t *out)
{
    const struct node *node = node_get(map, key);
    bool size = parse == text_size_bytes;
    if (node != NULL && (node->kind != NODE_SCALAR || parse(node->text, out) != ERR_NONE))
        config_error(r, node, "wrong_type",
                     size ? "write for instance 512KiB or 64MiB" : "write for instance 30s or 5m",
                     "%s is a %s with its unit", key, size ? "size" : "duration");
}

static void load_memory(const struct config_reader *r, const struct node *root)
{
    const struct node *node = node_get(root, "memory");
    uint64_t *memory = &r->memory->config.memory_max;
    size_t errors = r->diag->errors;
    load_measure(r, root, "memory", text_size_bytes, memory);
    if (node != NULL && r->diag->errors == errors && *memory < MEMORY_MIN)
        config_error(r, node, "out_of_range", "write for instance 256MiB, or remove the key",
                     "memory is a size of 1MiB or more");
}

static void load_witness(struct config_reader *r, const struct node *audit)
{
    const struct node *map = node_get(audit, "witness"), *require = node_get(map, "require");
    struct config_audit *out = &r->memory->config.audit;
    out->witness_file = config_path(r, map, "file");
    out->publish = require != NULL && require->kind == NODE_SCALAR && span_is(require->text, "publish");
    if (out->publish && node_get(map, "file") == NULL)
        config_error(r, require, "witness", "write 'file: FILE' beside it, as 'audit cosign' reads it",
                     "heads would wait for witnesses, and nobody says who they are");
}

static void load_audit(struct config_reader *r, const struct node *root)
{
    const struct node *map = node_get(root, "audit");
    struct config_audit *audit = &r->memory->config.audit;
    *audit = (struct config_audit){.unsigned_ms = CONFIG_AUDIT_UNSIGNED_MS,
                                   .traffic_ms = CONFIG_AUDIT_TRAFFIC_MS,
                                   .traffic_bytes = CONFIG_AUDIT_TRAFFIC_BYTES};
    load_measure(r, map, "unsigned_limit", text_duration_ms, &audit->unsigned_ms);
    load_measure(r, map, "traffic_interval", text_duration_ms, &audit->traffic_ms);
    load_measure(r, map, "traffic_bytes", text_size_bytes, &audit->traffic_bytes);
    load_measure(r, map, "ship_max_lag", text_duration_ms, &audit->ship_max_lag_ms);
    load_witness(r, map);
}

static void load_redact(struct config_reader *r, const struct node *audit)
{
    const struct node *list = node_get(audit, "redact");
    if (list == NULL)
        return;
    if (list->count > REDACT_WORDS_MAX) {
        config_error(r, list, "too_many", "remove some", "there are more than %d words", REDACT_WORDS_MAX);
        return;
    }
    struct span *all = arena_array(&r->memory->arena, list->count, sizeof *all);
    size_t count = 0;
    for (const struct node *item = list->first; all != NULL && item != NULL; item = item->next) {
        if (item->bad)
            continue;
        if (redact_word_valid(item->text))
            all[count++] = arena_copy(&r->memory->arena, item->text);
        else
            config_error(r, item, "redact", "write for instance acme_live_ or invite/",
                         "'%.*s' is no word of 3 to 64 letters, digits and . _ ~ + -", SPAN_ARGS(item->text));
    }
    r->memory->config.redact = all;
    r->memory->config.redact_count = count;
}

static void load_places(struct config_reader *r, const struct node *root)
{
    struct config *config = &r->memory->config;
    const struct node *audit = node_get(root, "audit"), *admin = node_get(root, "admin");
    config->audit_dir = config_path(r, audit, "dir");
    config->signer_dir = config_path(r, audit, "signer_dir");
    config->privacy_dir = config_path(r, audit, "privacy_dir");
    load_redact(r, audit);
    config->audit_origin = config_string(r, audit, "origin");
    config->user = config_string(r, root, "user");
    config->catalogue_path = config_path(r, root, "catalogue");
    const char *text = config_string(r, root, "admin");
    if (text == NULL)
        return;
    char path[PATH_MAX];
    if (strncmp(text, "unix:", 5) != 0 || file_beside(r->file, span_text(text + 5), path, sizeof path) != ERR_NONE) {
        config_error(r, admin, "admin", "write for instance unix:/run/sallyport/admin.sock",
                     "the admin socket is a Unix socket");
        return;
    }
    config->admin_path = (const char *)arena_copy(&r->memory->arena, span_text(path)).data;
}

static void load_all(struct config_reader *r, const struct node *root, bool strict)
{
    r->memory->config.strict_files = strict || load_bool(root, "strict_files", false);
    load_places(r, root);
    load_audit(r, root);
    load_numbers(r, root);
    load_memory(r, root);
    load_dns(r, root);
    config_above(r, root);
    config_listeners(r, root);
    config_environments(r, root);
}

static enum err read_tree(struct config_reader *r, struct arena *trees, bool strict)
{
    struct node *root = NULL;
    struct config *config = &r->memory->config;
    enum err err = yaml_read(trees, r->file, config->text, 1, r->diag, &root);
    if (root == NULL)
        return err;
    schema_check_config(root, r->file, r->diag);
    r->builtin = data_builtin(trees);
    if (r->builtin == NULL)
        return ERR_NO_MEMORY;
    if (root->kind == NODE_MAP)
        load_all(r, root, strict);
    return r->memory->arena.failed || trees->failed ? ERR_NO_MEMORY : ERR_NONE;
}

/* Where a text comes from, and what counts with it. */
struct config_origin {
    struct policy_mark mark;
    bool strict;
    const struct policy_then *then;
    size_t then_count;
};

static enum err load(const char *name, struct span text, const struct config_origin *origin, struct diag *diag,
                     struct config **out)
{
    size_t errors = diag->errors;
    struct config_memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return ERR_NO_MEMORY;
    memory->config.memory = memory;
    memory->config.mark = origin->mark;
    memory->config.text = arena_copy(&memory->arena, text);
    memory->config.file = (const char *)arena_copy(&memory->arena, span_text(name)).data;
    struct config_reader r = {.memory = memory,
                              .file = memory->config.file,
                              .diag = diag,
                              .then = origin->then,
                              .then_count = origin->then_count};
    struct arena trees = {0};
    enum err err = memory->arena.failed ? ERR_NO_MEMORY : read_tree(&r, &trees, origin->strict);
    arena_clear(&trees);
    if (err == ERR_NONE && diag->errors != errors)
        err = ERR_INVALID;
    if (err != ERR_NONE) {
        config_free(&memory->config);
        return err;
    }
    *out = &memory->config;
    return ERR_NONE;
}

enum err config_load_text(const char *name, struct span text, bool strict, struct diag *diag, struct config **out)
{
    return load(name, text, &(struct config_origin){.strict = strict}, diag, out);
}

enum err config_load_then(const char *name, struct span text, const struct policy_then *then, size_t then_count,
                          struct diag *diag, struct config **out)
{
    return load(name, text, &(struct config_origin){.then = then, .then_count = then_count}, diag, out);
}

enum err config_load(const char *path, bool strict, struct diag *diag, struct config **out)
{
    const struct file_rules rules = {.max_bytes = YAML_BYTES_MAX, .strict = strict};
    struct file_bytes bytes;
    enum err err = file_read(path, &rules, diag, NULL, 0, 0, &bytes);
    if (err != ERR_NONE)
        return err;
    err = load(path, span_make(bytes.data, bytes.len), &(struct config_origin){.mark = bytes.mark, .strict = strict},
               diag, out);
    free(bytes.data);
    return err;
}

/* Its keys stand in the text as they are, unless quotes hide them behind an escape: a long environment is not read
 * twice to see that it is one. */
static bool may_be_one(struct span text)
{
    static const char *const words[] = {"listeners", "environments", "\\"};
    for (size_t i = 0; text.len > 0 && i < sizeof words / sizeof words[0]; i++)
        if (memmem(text.data, text.len, words[i], strlen(words[i])) != NULL)
            return true;
    return false;
}

bool config_looks_like_one(const char *path)
{
    const struct file_rules rules = {.max_bytes = YAML_BYTES_MAX};
    struct file_bytes bytes = {0};
    struct arena trees = {0};
    struct node *root = NULL;
    struct diag diag;
    diag_init(&diag);
    enum err err = file_read(path, &rules, &diag, NULL, 0, 0, &bytes);
    if (err == ERR_NONE && may_be_one(span_make(bytes.data, bytes.len)))
        err = yaml_read(&trees, path, span_make(bytes.data, bytes.len), 1, &diag, &root);
    bool is = err == ERR_NONE && root != NULL &&
              (node_get(root, "listeners") != NULL || node_get(root, "environments") != NULL);
    arena_clear(&trees);
    free(bytes.data);
    diag_clear(&diag);
    return is;
}

void config_free(struct config *config)
{
    if (config == NULL || config->memory == NULL)
        return;
    struct config_memory *memory = config->memory;
    policy_unref(config->above.ceiling);
    arena_clear(&memory->arena);
    free(memory);
}
