/* SPDX-License-Identifier: Apache-2.0 */
/* One reader for the catalogue that is built in and for an operator's own. A fault in the first is a bug of ours. */
#include "policy/catalogue.h"

#include "base/assert.h"
#include "base/digest.h"
#include "data.h"
#include "file.h"
#include "loader.h"
#include "schema.h"
#include "tree.h"

#include <stdlib.h>

#define GROUPS_MAX   1000
#define VERSION_MAX  64
#define VERSION_HASH 12 /* digits of it that tell two editions of one name apart */
#define BUILTIN_NAME "package-managers.yaml"
#define GROUP_PATH   "group"
#define HOST_PATH    "group.hosts[]"

struct whole {
    struct catalogue catalogue; /* what the caller gets */
    struct arena arena;         /* everything in it */
};

struct reader {
    struct arena *arena;
    struct diag *diag;
    const char *file; /* NULL: built in */
    const struct builtin_data *builtin;
    struct span version;
};

static const char *name_of(const struct reader *r)
{
    return r->file != NULL ? r->file : BUILTIN_NAME;
}

static struct finding *wrong(const struct reader *r, const struct node *at, const char *code, const char *message,
                             struct span word)
{
    return diag_add(r->diag, SEVERITY_ERROR, code, name_of(r), at->line, at->column, "'%.*s': %s", SPAN_ARGS(word),
                    message);
}

static struct span text_of(const struct node *map, const char *key)
{
    const struct node *node = node_get(map, key);
    return node == NULL ? span_make(NULL, 0) : node->text;
}

static struct word_list words_of(struct arena *arena, const struct node *map, const char *key)
{
    const struct node *list = node_get(map, key);
    if (list == NULL || list->kind != NODE_LIST)
        return (struct word_list){0};
    struct span *words = arena_array(arena, list->count, sizeof *words);
    uint32_t count = 0;
    for (const struct node *item = list->first; words != NULL && item != NULL; item = item->next)
        if (!item->bad)
            words[count++] = item->text;
    return (struct word_list){words, count};
}

static unsigned modes_of(const struct reader *r, const struct node *map, unsigned dflt)
{
    const struct node *list = node_get(map, "modes");
    unsigned modes = 0;
    if (list == NULL || list->kind != NODE_LIST)
        return dflt;
    for (const struct node *item = list->first; item != NULL; item = item->next) {
        if (span_is(item->text, "compat"))
            modes |= MODE_COMPAT;
        else if (span_is(item->text, "read_only"))
            modes |= MODE_READ_ONLY;
        else if (!item->bad)
            diag_fix(wrong(r, item, "package_mode", "no mode that a group can be part of", item->text),
                     "write compat or read_only; mode declared reads managers");
    }
    return modes;
}

/* ---- hosts ---- */

/* The entry in canonical form, or the empty span after saying what is wrong with it. */
static struct span read_name(const struct reader *r, const struct node *node, struct span *out_base)
{
    struct host_text host;
    const char *fix = NULL;
    /* What is built in was weighed one by one. */
    unsigned flags = HOST_ALLOWS | (r->file == NULL ? HOST_SHARED : 0u);
    const char *flaw = host_flaw(node->text, r->builtin, flags, &host, &fix);
    if (flaw != NULL) {
        struct finding *f = wrong(r, node, "host", flaw, node->text);
        if (fix != NULL && strstr(fix, "accept_shared_suffix") == NULL)
            diag_fix(f, "%s", fix);
        else
            diag_fix(f, "name the hosts that are meant");
        return span_make(NULL, 0);
    }
    char text[HOSTNAME_MAX + 4];
    struct outbuf o = outbuf_make(text, sizeof text);
    outbuf_text(&o, host.kind == HOST_WILD ? "*." : "");
    outbuf_span(&o, hostname_span(&host.name));
    struct span kept = arena_copy(r->arena, outbuf_written(&o));
    *out_base = host.kind == HOST_WILD ? span_from(kept, 2) : span_make(NULL, 0);
    return kept;
}

/* A label, or a name or pattern below the pattern's domain. */
static void check_except(const struct reader *r, const struct node *list, struct span base)
{
    for (const struct node *item = list == NULL ? NULL : list->first; item != NULL; item = item->next) {
        bool wild = item->text.len > 2 && item->text.data[0] == '*' && item->text.data[1] == '.';
        struct span name = wild ? span_from(item->text, 2) : item->text;
        struct hostname parsed;
        bool good = !item->bad && hostname_parse(name, &parsed) == ERR_NONE && span_equal(hostname_span(&parsed), name);
        bool label = !wild && span_find(name, '.') == name.len;
        if (item->bad || (good && base.len > 0 && (label || data_covers(base, name))))
            continue;
        struct finding *f = wrong(r, item, "except", "not a label or name that the pattern covers", item->text);
        diag_fix(f, "only a *. pattern has exceptions: a name below its domain in lower case, or one label");
    }
}

static struct catalogue_host read_host(const struct reader *r, struct node *item, const struct catalogue_group *group)
{
    struct catalogue_host out = {.modes = group->modes, .source = group->source, .line = item->line};
    struct span base = {0};
    if (item->kind == NODE_SCALAR) {
        out.host = read_name(r, item, &base);
        return out;
    }
    schema_check_catalogue(item, HOST_PATH, name_of(r), r->diag);
    const struct node *host = node_get(item, "host"), *except = node_get(item, "except");
    if (host == NULL || host->kind != NODE_SCALAR)
        return out;
    out.host = read_name(r, host, &base);
    out.modes = modes_of(r, item, group->modes);
    if (node_get(item, "source") != NULL)
        out.source = text_of(item, "source");
    if (except != NULL && except->kind == NODE_LIST && out.host.len > 0)
        check_except(r, except, base);
    out.except = words_of(r->arena, item, "except");
    return out;
}

/* ---- groups ---- */

static bool is_word(struct span text)
{
    bool good = text.len > 0 && text.len <= 40;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_');
    }
    return good;
}

static void read_hosts(const struct reader *r, const struct node *list, struct catalogue_group *out)
{
    if (list->kind != NODE_LIST || list->count == 0) {
        diag_fix(diag_add(r->diag, SEVERITY_ERROR, "wrong_type", name_of(r), list->line, list->column,
                          "hosts is not a list with at least one host"),
                 "write [one, two], or one '- item' a line");
        return;
    }
    struct catalogue_host *hosts = arena_array(r->arena, list->count, sizeof *hosts);
    for (struct node *item = list->first; hosts != NULL && item != NULL; item = item->next)
        hosts[out->host_count++] = read_host(r, item, out);
    out->hosts = hosts;
}

static void read_group(const struct reader *r, struct node *map, struct catalogue_group *out)
{
    schema_check_catalogue(map, GROUP_PATH, name_of(r), r->diag);
    if (!is_word(map->key)) {
        struct finding *f = diag_add(r->diag, SEVERITY_ERROR, "group_name", name_of(r), map->key_line, map->key_column,
                                     "'%.*s' is no name of a group", SPAN_ARGS(map->key));
        diag_fix(f, "write at most 40 lower-case letters, digits, '-' and '_'");
    }
    if (map->kind != NODE_MAP)
        return;
    *out = (struct catalogue_group){
        .name = map->key,
        .ecosystem = text_of(map, "ecosystem"),
        .source = text_of(map, "source"),
        .date = text_of(map, "date"),
        .why = text_of(map, "why"),
        .version = r->version,
        .file = r->file,
        .line = map->key_line,
        .tier = span_is(text_of(map, "tier"), "1") ? 1 : 2,
        .modes = modes_of(r, map, 0),
        .managers = words_of(r->arena, map, "managers"),
    };
    const struct node *hosts = node_get(map, "hosts");
    if (hosts != NULL)
        read_hosts(r, hosts, out);
}

static void read_groups(const struct reader *r, const struct node *root, struct catalogue *out)
{
    const struct node *map = node_get(root, "groups");
    if (map == NULL)
        return;
    if (map->kind != NODE_MAP || map->count > GROUPS_MAX) {
        diag_fix(diag_add(r->diag, SEVERITY_ERROR, "wrong_type", name_of(r), map->line, map->column,
                          "groups is not a map of at most %d groups", GROUPS_MAX),
                 "write one 'name: {tier: 1, why: …, hosts: […]}' a group");
        return;
    }
    struct catalogue_group *groups = arena_array(r->arena, map->count, sizeof *groups);
    for (struct node *item = map->first; groups != NULL && item != NULL; item = item->next)
        read_group(r, item, &groups[out->group_count++]);
    out->groups = groups;
}

/* ---- versions ---- */

static void hash_hex(struct span text, char out[static POLICY_ID_TEXT + 1])
{
    uint8_t digest[DIGEST_BYTES];
    struct outbuf o = outbuf_make(out, POLICY_ID_TEXT);
    digest_once(text, digest);
    outbuf_hex(&o, span_make(digest, sizeof digest));
    out[POLICY_ID_TEXT] = '\0';
}

/* An operator's file may change without a new version: its hash tells. */
static void read_version(struct reader *r, const struct node *root, const char *hash, struct catalogue *out)
{
    const struct node *node = node_get(root, "version");
    if (node == NULL)
        return;
    bool good = node->text.len > 0 && node->text.len <= VERSION_MAX;
    for (size_t i = 0; i < node->text.len; i++)
        good = good && node->text.data[i] > 0x20 && node->text.data[i] < 0x7f;
    if (!good) {
        diag_fix(wrong(r, node, "version", "no version", node->text),
                 "write at most 64 printable ASCII characters without spaces");
        return;
    }
    char text[VERSION_MAX + VERSION_HASH + 2];
    struct outbuf o = outbuf_make(text, sizeof text);
    outbuf_span(&o, node->text);
    if (r->file != NULL) {
        outbuf_char(&o, '+');
        outbuf_span(&o, span_make(hash, VERSION_HASH));
    }
    out->version = r->version = arena_copy(r->arena, outbuf_written(&o));
}

static void read_all(struct reader *r, struct span text, struct catalogue *out)
{
    struct node *root = NULL;
    enum err err = yaml_read(r->arena, name_of(r), text, 1, r->diag, &root);
    if (err == ERR_NO_MEMORY)
        r->arena->failed = true;
    if (root == NULL)
        return;
    schema_check_catalogue(root, "", name_of(r), r->diag);
    if (root->kind != NODE_MAP)
        return;
    hash_hex(text, out->id);
    read_version(r, root, out->id, out);
    out->extends = node_get(root, "extends") != NULL;
    read_groups(r, root, out);
}

/* ---- the built-in one below the operator's ---- */

static bool has_group(const struct catalogue *catalogue, struct span name)
{
    for (uint32_t i = 0; i < catalogue->group_count; i++)
        if (span_equal(catalogue->groups[i].name, name))
            return true;
    return false;
}

static void read_builtin(struct arena *arena, const struct builtin_data *builtin, struct catalogue *out)
{
    struct diag diag;
    diag_init(&diag);
    struct reader r = {.arena = arena, .diag = &diag, .builtin = builtin};
    read_all(&r, data_catalogue_text(), out);
    ASSERT(diag.errors == 0 || arena->failed);
    diag_clear(&diag);
}

static void extend(struct arena *arena, const struct builtin_data *builtin, struct catalogue *own)
{
    struct catalogue below = {0};
    read_builtin(arena, builtin, &below);
    struct catalogue_group *all = arena_array(arena, (size_t)own->group_count + below.group_count, sizeof *all);
    uint32_t count = own->group_count;
    if (all == NULL)
        return;
    if (count > 0)
        memcpy(all, own->groups, count * sizeof *all);
    for (uint32_t i = 0; i < below.group_count; i++)
        if (!has_group(own, below.groups[i].name))
            all[count++] = below.groups[i];
    own->groups = all;
    own->group_count = count;
    char both[2 * POLICY_ID_TEXT];
    memcpy(both, own->id, POLICY_ID_TEXT);
    memcpy(both + POLICY_ID_TEXT, below.id, POLICY_ID_TEXT);
    hash_hex(span_make(both, sizeof both), own->id);
}

enum err catalogue_text(const char *file, struct span text, struct diag *diag, struct catalogue **out)
{
    struct whole *whole = calloc(1, sizeof *whole);
    if (whole == NULL)
        return ERR_NO_MEMORY;
    size_t errors = diag->errors;
    const struct builtin_data *builtin = data_builtin(&whole->arena);
    struct reader r = {.arena = &whole->arena, .diag = diag, .builtin = builtin};
    if (file != NULL)
        r.file = (const char *)arena_copy(&whole->arena, span_text(file)).data;
    if (builtin != NULL && file == NULL)
        read_builtin(&whole->arena, builtin, &whole->catalogue);
    else if (builtin != NULL && r.file != NULL)
        read_all(&r, text, &whole->catalogue);
    if (builtin != NULL && whole->catalogue.extends)
        extend(&whole->arena, builtin, &whole->catalogue);
    enum err err = whole->arena.failed ? ERR_NO_MEMORY : diag->errors != errors ? ERR_INVALID : ERR_NONE;
    if (err != ERR_NONE)
        catalogue_free(&whole->catalogue);
    else
        *out = &whole->catalogue;
    return err;
}

enum err catalogue_load(const char *path, bool strict_files, struct diag *diag, struct catalogue **out)
{
    const struct file_rules rules = {.max_bytes = YAML_BYTES_MAX, .strict = strict_files};
    struct file_bytes bytes;
    if (path == NULL)
        return catalogue_text(NULL, span_make(NULL, 0), diag, out);
    enum err err = file_read(path, &rules, diag, NULL, 0, 0, &bytes);
    if (err != ERR_NONE)
        return err;
    err = catalogue_text(path, span_make(bytes.data, bytes.len), diag, out);
    free(bytes.data);
    return err;
}

enum err catalogue_load_text(const char *path, struct span text, struct diag *diag, struct catalogue **out)
{
    return catalogue_text(path, text, diag, out);
}

void catalogue_free(struct catalogue *catalogue)
{
    if (catalogue == NULL)
        return;
    struct whole *whole = (struct whole *)catalogue; /* its first member */
    arena_clear(&whole->arena);
    free(whole);
}
