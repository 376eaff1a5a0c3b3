/* SPDX-License-Identifier: Apache-2.0 */
/* From two texts to a policy: reads, checks, compiles, asks its own tests. */
#include "loader.h"

#include "tree.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_BYTES 128

/* ---- sources ---- */

/* Kind, length and bytes of each source: no two sets of sources give the same stream. */
void load_source(struct loader *l, const char *kind, struct span bytes)
{
    uint8_t length[8];
    struct outbuf o = outbuf_make(length, sizeof length);
    outbuf_be64(&o, bytes.len);
    digest_add(l->sources, span_make(kind, strlen(kind) + 1));
    digest_add(l->sources, outbuf_written(&o));
    digest_add(l->sources, bytes);
}

bool load_bool(const struct node *map, const char *key, bool dflt)
{
    const struct node *node = node_get(map, key);
    return node == NULL ? dflt : span_is(node->text, "true");
}

/* ---- the frame of the file ---- */

static void load_env_name(struct loader *l)
{
    struct node *node = node_get(l->root, "name");
    if (node == NULL) {
        struct finding *f =
            diag_add(l->diag, SEVERITY_ERROR, "missing_key", l->env_file, 0, 0, "the environment has no name");
        diag_fix(f, "add at the top: name: my-environment");
        return;
    }
    if (node->text.len == 0 || node->text.len > NAME_MAX_BYTES || span_is(node->text, "-") ||
        span_find(node->text, '\n') < node->text.len) {
        struct finding *f = load_error(l, node, "name", "a name has 1 to 128 bytes on one line and is not '-'");
        diag_fix(f, "write for instance: name: invoice-env");
        return;
    }
    l->policy->name = arena_copy(&l->policy->arena, node->text);
}

/* The vendor reads a missing block as `unrestricted`. Here a policy that says nothing must not open everything. */
static void say_no_type(struct loader *l, const struct node *at)
{
    struct finding *f = diag_add(l->diag, SEVERITY_ERROR, "networking_type", l->env_file, at == NULL ? 0 : at->line,
                                 at == NULL ? 0 : at->column, "the environment does not say config.networking.type");
    diag_fix(f, "under config write 'networking: {type: limited}' to allow only what is listed, or 'networking: "
                "{type: unrestricted}' to allow what is not denied");
}

static bool was_said(const struct loader *l, const char *key)
{
    const struct node *config = node_get(l->root, "config");
    for (const struct node *n = config == NULL ? NULL : config->first; n != NULL; n = n->next)
        if (span_is(n->key, key))
            return true;
    return false;
}

static void load_type(struct loader *l)
{
    const struct node *type = node_get(l->networking, "type");
    const struct node *config_type = node_get(node_get(l->root, "config"), "type");
    l->policy->self_hosted = config_type != NULL && span_is(config_type->text, "self_hosted");
    l->policy->limited = true; /* so that the rest can be checked whatever stands here */
    if (type != NULL) {
        l->policy->limited = !span_is(type->text, "unrestricted");
        l->policy->type_place = load_place(l, type);
        return;
    }
    bool bad_type = false;
    for (const struct node *n = l->networking == NULL ? NULL : l->networking->first; n != NULL; n = n->next)
        bad_type |= span_is(n->key, "type");
    if (!bad_type && (l->networking != NULL || !was_said(l, "networking")))
        say_no_type(l, l->networking);
}

static void load_toggle(struct loader *l, const char *key, bool *out, struct place *out_place)
{
    const struct node *node = node_get(l->networking, key);
    *out = node != NULL && span_is(node->text, "true");
    if (node != NULL)
        *out_place = load_place(l, node);
}

static void refuse_in_unrestricted(struct loader *l)
{
    static const char *const keys[] = {"allowed_hosts", "allow_mcp_servers", "allow_package_managers"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct node *node = node_get(l->networking, keys[i]);
        if (node == NULL)
            continue;
        struct finding *f =
            load_error(l, node, "unrestricted", "%s has no meaning in an unrestricted environment", keys[i]);
        diag_fix(f, "remove it, or set config.networking.type: limited");
    }
}

static bool has_packages(const struct loader *l)
{
    if (l->packages == NULL || l->packages->kind != NODE_MAP)
        return false;
    for (const struct node *manager = l->packages->first; manager != NULL; manager = manager->next)
        if (manager->kind == NODE_LIST && manager->count > 0)
            return true;
    return false;
}

static void load_networking(struct loader *l)
{
    struct policy *p = l->policy;
    l->file = l->env_file;
    load_env_name(l);
    load_type(l);
    load_toggle(l, "allow_mcp_servers", &p->opens_mcp, &p->mcp_place);
    load_toggle(l, "allow_package_managers", &p->opens_packages, &p->packages_place);
    if (!p->limited) {
        refuse_in_unrestricted(l);
        p->opens_mcp = p->opens_packages = false;
    } else if (has_packages(l) && !p->opens_packages) {
        struct finding *f =
            load_error(l, l->packages, "packages", "packages are to be installed, but allow_package_managers is false");
        diag_fix(f, "under config.networking add allow_package_managers: true, or remove the packages");
    }
}

/* ---- names that are denied out of the box ---- */

static void load_builtin_names(struct loader *l)
{
    struct policy *p = l->policy;
    p->builtin_version = arena_copy(&p->arena, l->builtin->version);
    if (p->limited)
        return; /* there nothing is allowed that nobody listed */
    load_source(l, "builtin", data_builtin_text());
    const struct word_list *names = &l->builtin->denied_names;
    p->builtin_names.at = arena_array(&p->arena, names->count, sizeof *p->builtin_names.at);
    for (uint32_t i = 0; p->builtin_names.at != NULL && i < names->count; i++) {
        bool wild = names->at[i].len > 2 && names->at[i].data[0] == '*';
        enum err err = names_add(&p->names, NAME_BUILTIN, wild, wild ? span_from(names->at[i], 2) : names->at[i], i, 0);
        l->memory |= err != ERR_NONE;
        p->builtin_names.at[p->builtin_names.count++] = arena_copy(&p->arena, names->at[i]);
    }
}

/* ---- the whole ---- */

static void read_environment(struct loader *l)
{
    struct node *root = NULL;
    if (yaml_read(&l->trees, l->env_file, l->policy->texts[0], l->env_line, l->diag, &root) == ERR_NO_MEMORY)
        l->memory = true;
    if (root == NULL)
        return;
    schema_check(root, "", l->env_file, l->diag);
    if (root->kind != NODE_MAP)
        return;
    l->root = root;
    const struct node *config = node_get(root, "config");
    l->networking = node_get(config, "networking");
    l->packages = node_get(config, "packages");
    l->egress = node_get(root, "egress");
}

/* A file of its own holds the block's keys, or one key `egress` with the block. */
static void read_egress(struct loader *l)
{
    struct node *root = NULL;
    if (l->policy->texts[1].data == NULL)
        return;
    if (yaml_read(&l->trees, l->egress_file, l->policy->texts[1], l->egress_line, l->diag, &root) == ERR_NO_MEMORY)
        l->memory = true;
    if (root == NULL)
        return;
    if (root->kind == NODE_MAP && root->count == 1 && span_is(root->first->key, "egress"))
        root = root->first;
    schema_check(root, "egress", l->egress_file, l->diag);
    if (l->egress != NULL) {
        struct finding *f = diag_add(l->diag, SEVERITY_ERROR, "two_blocks", l->env_file, l->egress->key_line,
                                     l->egress->key_column, "the egress block stands here and in %s", l->egress_file);
        diag_fix(f, "keep one of the two");
    }
    l->egress = root;
}

static void compile(struct loader *l)
{
    load_networking(l);
    l->file = l->egress_file;
    load_rules(l);
    load_rest(l);
    load_hosts(l);
    l->file = l->egress_file;
    load_mcp(l);
    load_packages(l);
    load_lists(l);
    load_patterns(l);
    load_builtin_names(l);
    load_index(l);
}

static void finish_id(struct loader *l)
{
    uint8_t digest[DIGEST_BYTES];
    digest_end(l->sources, digest);
    struct outbuf o = outbuf_make(l->policy->id, POLICY_ID_TEXT);
    outbuf_hex(&o, span_make(digest, sizeof digest));
}

/* What stands above counts as a source only where it says something: without it the id is that of the files alone. */
static void load_above(struct loader *l)
{
    const struct policy_above *above = l->above;
    struct limits usual;
    limits_default(&usual);
    if (above == NULL)
        return;
    if (above->limits != NULL && memcmp(above->limits, &usual, sizeof usual) != 0)
        load_source(l, "limits above", span_make(above->limits, sizeof *above->limits));
    for (size_t i = 0; i < above->denied_count; i++)
        load_source(l, "denied above", above->denied[i].text);
}

static enum err build(struct loader *l)
{
    size_t errors = l->diag->errors;
    load_source(l, "environment", l->policy->texts[0]);
    if (l->policy->texts[1].data != NULL)
        load_source(l, "egress", l->policy->texts[1]);
    load_above(l);
    read_environment(l);
    if (l->root == NULL)
        return l->memory ? ERR_NO_MEMORY : ERR_INVALID;
    read_egress(l);
    for (size_t i = 0; i < l->given->change_count; i++)
        load_change(l, &l->given->changes[i]);
    compile(l);
    finish_id(l);
    /* Tests and lints would speak about a policy that nobody wrote. */
    if (!l->given->unasked && l->diag->errors == errors && !l->memory && !l->policy->arena.failed && !l->trees.failed) {
        load_ceiling(l);
        load_tests(l);
        load_lints(l);
    }
    if (l->memory || l->policy->arena.failed || l->trees.failed)
        return ERR_NO_MEMORY;
    return l->diag->errors == errors ? ERR_NONE : ERR_INVALID;
}

static const char *keep_name(struct policy *p, const char *name)
{
    return (const char *)arena_copy(&p->arena, span_text(name)).data;
}

/* One text of a policy, from a file or from a part of another. */
struct source_text {
    const char *name; /* NULL: there is none */
    struct span text;
    uint32_t first_line;
    bool is_file;
    struct policy_mark mark;
};

static const char *take_text(struct loader *l, size_t index, const struct source_text *source, uint32_t *out_line)
{
    struct policy *p = l->policy;
    p->texts[index] = arena_copy(&p->arena, source->text);
    p->files[index] = keep_name(p, source->name);
    *out_line = source->first_line;
    if (source->is_file)
        load_file_read(l, p->files[index], index == 0 ? "environment" : "egress", &source->mark, source->text);
    return p->files[index];
}

static bool prepare(struct loader *l, const struct source_text texts[static 2])
{
    l->env_file = l->egress_file = take_text(l, 0, &texts[0], &l->env_line);
    if (texts[1].name != NULL)
        l->egress_file = take_text(l, 1, &texts[1], &l->egress_line);
    l->builtin = data_builtin(&l->trees);
    return l->builtin != NULL && !l->policy->arena.failed && digest_new(&l->sources) == ERR_NONE;
}

static enum err load(const struct source_text texts[static 2], const struct policy_sources *sources, struct diag *diag,
                     struct policy **out)
{
    struct policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL)
        return ERR_NO_MEMORY;
    atomic_init(&policy->references, 1);
    names_init(&policy->names);
    struct loader l = {.policy = policy,
                       .given = sources,
                       .diag = diag,
                       .strict_files = sources->strict_files,
                       .above = sources->above,
                       .catalogue_path = sources->catalogue_path};
    enum err err = ERR_NO_MEMORY;
    if (prepare(&l, texts)) {
        digest_begin(l.sources);
        err = build(&l);
    }
    digest_free(l.sources);
    catalogue_free(l.catalogue);
    arena_clear(&l.trees);
    if (err != ERR_NONE) {
        policy_unref(policy);
        return err;
    }
    *out = policy;
    return ERR_NONE;
}

enum err policy_load_text(const char *name, struct span text, struct span egress, struct diag *diag,
                          struct policy **out)
{
    char egress_name[512];
    snprintf(egress_name, sizeof egress_name, "%s (egress)", name);
    const struct source_text texts[2] = {
        {.name = name,                                .text = text,   .first_line = 1},
        {.name = egress.len > 0 ? egress_name : NULL, .text = egress, .first_line = 1},
    };
    return load(texts, &(struct policy_sources){0}, diag, out);
}

static enum err read_source(const char *path, const struct policy_text *part, bool strict, struct diag *diag,
                            struct file_bytes *bytes, struct source_text *out)
{
    const struct file_rules rules = {.max_bytes = YAML_BYTES_MAX, .strict = strict};
    if (part != NULL) {
        *out = (struct source_text){.name = part->name, .text = part->text, .first_line = part->first_line};
        return ERR_NONE;
    }
    if (path == NULL)
        return ERR_NONE;
    enum err err = file_read(path, &rules, diag, NULL, 0, 0, bytes);
    if (err == ERR_NONE)
        *out = (struct source_text){.name = path,
                                    .text = span_make(bytes->data, bytes->len),
                                    .first_line = 1,
                                    .is_file = true,
                                    .mark = bytes->mark};
    return err;
}

enum err policy_load(const struct policy_sources *sources, struct diag *diag, struct policy **out)
{
    struct file_bytes bytes[2] = {{0}, {0}};
    struct source_text texts[2] = {{0}, {0}};
    bool strict = sources->strict_files;
    enum err err = read_source(sources->path, sources->text, strict, diag, &bytes[0], &texts[0]);
    enum err second = read_source(sources->egress_path, sources->egress_text, strict, diag, &bytes[1], &texts[1]);
    if (err == ERR_NONE)
        err = second;
    if (err == ERR_NONE)
        err = load(texts, sources, diag, out);
    free(bytes[0].data);
    free(bytes[1].data);
    return err;
}
