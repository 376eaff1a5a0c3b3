/* SPDX-License-Identifier: Apache-2.0 */
/* allow_package_managers: which hosts of the catalogue it opens. */
#include "loader.h"

#include "tree.h"

#include <stdlib.h>

static bool has_word(const struct node *list, struct span word)
{
    for (const struct node *item = list == NULL ? NULL : list->first; item != NULL; item = item->next)
        if (item->kind == NODE_SCALAR && span_equal(item->text, word))
            return true;
    return false;
}

/* A manager counts as declared when it names a package: exported environments list every manager, most of them
 * empty. */
static bool is_declared(const struct loader *l, const struct catalogue_group *group)
{
    if (l->packages == NULL || l->packages->kind != NODE_MAP)
        return false;
    for (const struct node *manager = l->packages->first; manager != NULL; manager = manager->next)
        for (uint32_t i = 0; i < group->managers.count; i++)
            if (manager->kind == NODE_LIST && manager->count > 0 && span_equal(manager->key, group->managers.at[i]))
                return true;
    return false;
}

static bool is_in_mode(const struct loader *l, const struct catalogue_group *group, const struct catalogue_host *host)
{
    switch (l->policy->package_mode) {
    case PACKAGES_COMPAT:
        return (host->modes & MODE_COMPAT) != 0;
    case PACKAGES_READ_ONLY:
        return (host->modes & MODE_READ_ONLY) != 0;
    case PACKAGES_DECLARED:
        return is_declared(l, group);
    }
    return false;
}

static bool is_known(const struct catalogue *catalogue, struct span name)
{
    for (uint32_t i = 0; i < catalogue->group_count; i++)
        if (span_equal(catalogue->groups[i].name, name))
            return true;
    return false;
}

static void check_groups(struct loader *l, const struct node *list)
{
    size_t room = 1;
    for (uint32_t i = 0; i < l->catalogue->group_count; i++)
        room += l->catalogue->groups[i].name.len + 1;
    char *words = arena_take(&l->trees, room);
    if (list == NULL || words == NULL)
        return;
    struct outbuf o = outbuf_make(words, room - 1);
    for (uint32_t i = 0; i < l->catalogue->group_count; i++) {
        outbuf_span(&o, l->catalogue->groups[i].name);
        outbuf_char(&o, ' ');
    }
    words[o.len > 0 ? o.len - 1 : 0] = '\0';
    for (struct node *item = list->first; item != NULL; item = item->next) {
        if (item->bad || is_known(l->catalogue, item->text))
            continue;
        struct span near = schema_nearest(item->text, words);
        struct finding *f =
            load_error(l, item, "package_group", "there is no package group '%.*s'", SPAN_ARGS(item->text));
        if (near.len > 0)
            diag_fix(f, "did you mean '%.*s'?", SPAN_ARGS(near));
        else
            diag_fix(f, "one of: %s", words);
    }
}

static bool add_name(struct loader *l, enum name_kind kind, struct span text, uint32_t value)
{
    bool wild = text.len > 2 && text.data[0] == '*';
    enum err err = names_add(&l->policy->names, kind, wild, wild ? span_from(text, 2) : text, value, 0);
    l->memory |= err != ERR_NONE;
    return err == ERR_NONE;
}

/* A word without a dot stands for that label right below the pattern's domain, and for all below it. */
static void add_except(struct loader *l, struct span word, struct span pattern, uint32_t value)
{
    if (span_find(word, '.') < word.len) {
        add_name(l, NAME_GROUP_EXCEPT, word, value);
        return;
    }
    char text[2 * HOSTNAME_MAX];
    struct outbuf o = outbuf_make(text, sizeof text);
    outbuf_text(&o, "*.");
    outbuf_span(&o, word);
    outbuf_span(&o, span_from(pattern, 1));
    add_name(l, NAME_GROUP_EXCEPT, outbuf_written(&o), value);
    add_name(l, NAME_GROUP_EXCEPT, span_from(outbuf_written(&o), 2), value);
}

/* The operator's file is named by many hosts and kept once. */
static const char *keep_file(struct loader *l, const char *file)
{
    struct policy *p = l->policy;
    if (file == NULL || p->catalogue_file != NULL)
        return file == NULL ? NULL : p->catalogue_file;
    p->catalogue_file = (const char *)arena_copy(&p->arena, span_text(file)).data;
    return p->catalogue_file;
}

static void add_host(struct loader *l, const struct catalogue_group *group, uint32_t index)
{
    struct policy *p = l->policy;
    const struct catalogue_host *host = &group->hosts[index];
    uint32_t value = p->group_hosts.count++;
    p->group_hosts.at[value] = (struct group_host){
        .group = arena_copy(&p->arena, group->name),
        .text = arena_copy(&p->arena, host->host),
        .why = arena_copy(&p->arena, group->why),
        .version = arena_copy(&p->arena, group->version),
        .file = keep_file(l, group->file),
        .line = host->line,
        .index = index,
        .tier = group->tier,
    };
    add_name(l, NAME_GROUP, host->host, value);
    for (uint32_t i = 0; i < host->except.count; i++)
        add_except(l, host->except.at[i], host->host, value);
}

static size_t host_count(const struct catalogue *catalogue)
{
    size_t count = 0;
    for (uint32_t i = 0; i < catalogue->group_count; i++)
        count += catalogue->groups[i].host_count;
    return count;
}

static void open_groups(struct loader *l, const struct node *only)
{
    struct policy *p = l->policy;
    p->group_hosts.at = arena_array(&p->arena, host_count(l->catalogue), sizeof *p->group_hosts.at);
    if (p->group_hosts.at == NULL)
        return;
    for (uint32_t i = 0; i < l->catalogue->group_count; i++) {
        const struct catalogue_group *group = &l->catalogue->groups[i];
        if (only != NULL && !has_word(only, group->name))
            continue;
        uint32_t before = p->group_hosts.count;
        for (uint32_t h = 0; h < group->host_count; h++)
            if (is_in_mode(l, group, &group->hosts[h]))
                add_host(l, group, h);
        if (only != NULL && p->group_hosts.count == before) {
            static const char *const modes[] = {"compat", "read_only", "declared"};
            struct finding *f = load_lint(l, only, "package_group", "the mode %s has no group '%.*s': it stays closed",
                                          modes[p->package_mode], SPAN_ARGS(group->name));
            diag_fix(f, "tier %u: %.*s", group->tier, SPAN_ARGS(group->why));
        }
    }
}

/* An operator's file is read for every policy, so that a broken one is found before it is needed. */
static bool read_catalogue(struct loader *l)
{
    struct file_bytes bytes = {0};
    const char *path = l->catalogue_path;
    if (path != NULL && load_file_open(l, path, YAML_BYTES_MAX, NULL, &bytes) != ERR_NONE)
        return false;
    struct span text = span_make(bytes.data, bytes.len), hash = {0};
    if (path != NULL && keep_file(l, path) != NULL)
        hash = load_file_read(l, l->policy->catalogue_file, "catalogue", &bytes.mark, text);
    enum err err = catalogue_text(path, text, l->diag, &l->catalogue);
    if (err == ERR_NO_MEMORY)
        l->memory = true;
    if (err == ERR_NONE && path != NULL && l->policy->opens_packages)
        load_source(l, "catalogue file", hash);
    free(bytes.data);
    return err == ERR_NONE;
}

void load_packages(struct loader *l)
{
    struct policy *p = l->policy;
    const struct node *map = node_get(l->egress, "package_managers");
    const struct node *mode = node_get(map, "mode"), *groups = node_get(map, "groups");
    if (mode != NULL && span_is(mode->text, "read_only"))
        p->package_mode = PACKAGES_READ_ONLY;
    else if (mode != NULL && span_is(mode->text, "declared"))
        p->package_mode = PACKAGES_DECLARED;
    if (map != NULL)
        p->package_mode_place = load_place(l, map);
    if (groups == NULL && !p->opens_packages && l->catalogue_path == NULL)
        return; /* most policies never look into the catalogue */
    if (!read_catalogue(l))
        return;
    check_groups(l, groups);
    p->catalogue_version = arena_copy(&p->arena, l->catalogue->version);
    if (!p->opens_packages)
        return;
    if (l->catalogue_path == NULL || l->catalogue->extends)
        load_source(l, "catalogue", data_catalogue_text());
    open_groups(l, groups);
}
