/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include "base/assert.h"
#include "tree.h"

extern const uint8_t policy_builtin_begin[], policy_builtin_end[];
extern const uint8_t policy_catalogue_begin[], policy_catalogue_end[];

struct span data_builtin_text(void)
{
    return span_make(policy_builtin_begin, (size_t)(policy_builtin_end - policy_builtin_begin));
}

struct span data_catalogue_text(void)
{
    return span_make(policy_catalogue_begin, (size_t)(policy_catalogue_end - policy_catalogue_begin));
}

bool data_covers(struct span suffix, struct span name)
{
    if (name.len == suffix.len)
        return span_equal(name, suffix);
    return name.len > suffix.len && name.data[name.len - suffix.len - 1] == '.' &&
           span_equal(span_from(name, name.len - suffix.len), suffix);
}

static struct node *read_data(struct arena *arena, const char *name, struct span text)
{
    struct diag diag;
    struct node *root = NULL;
    diag_init(&diag);
    enum err err = yaml_read(arena, name, text, 1, &diag, &root);
    diag_clear(&diag);
    if (err == ERR_NO_MEMORY)
        return NULL;
    ASSERT(err == ERR_NONE && root->kind == NODE_MAP);
    return root;
}

static struct span text_of(const struct node *map, const char *key)
{
    const struct node *node = node_get(map, key);
    return node == NULL ? span_make(NULL, 0) : node->text;
}

static struct word_list words_of(struct arena *arena, const struct node *map, const char *key)
{
    const struct node *list = node_get(map, key);
    if (list == NULL)
        return (struct word_list){0};
    struct span *words = arena_array(arena, list->count, sizeof *words);
    uint32_t count = 0;
    for (const struct node *item = list->first; words != NULL && item != NULL; item = item->next)
        words[count++] = item->text;
    return (struct word_list){words, count};
}

const struct builtin_data *data_builtin(struct arena *arena)
{
    struct node *root = read_data(arena, "builtin.yaml", data_builtin_text());
    struct builtin_data *data = arena_take(arena, sizeof *data);
    if (root == NULL || data == NULL)
        return NULL;
    data->version = text_of(root, "version");
    data->denied_names = words_of(arena, root, "denied_names");
    data->shared_suffixes = words_of(arena, root, "shared_suffixes");
    data->shared_trees = words_of(arena, root, "shared_trees");
    data->receivers_except = words_of(arena, root, "receivers_except");
    data->control_plane = words_of(arena, root, "control_plane");
    const struct node *list = node_get(root, "receivers");
    ASSERT(list != NULL);
    struct receiver *receivers = arena_array(arena, list->count, sizeof *receivers);
    for (const struct node *item = list->first; receivers != NULL && item != NULL; item = item->next)
        receivers[data->receiver_count++] = (struct receiver){text_of(item, "suffix"), text_of(item, "why")};
    data->receivers = receivers;
    return arena->failed ? NULL : data;
}
