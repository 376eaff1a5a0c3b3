/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include <stdlib.h>

static bool files_grow(struct files *files)
{
    size_t cap = files->cap == 0 ? 16 : 2 * files->cap;
    struct policy_file *more = realloc(files->items, cap * sizeof *more);
    if (more == NULL)
        return false;
    files->items = more;
    files->cap = cap;
    return true;
}

bool files_add(struct files *files, const char *path, bool on_demand, const struct policy_mark *mark)
{
    if (files->count == files->cap && !files_grow(files))
        return false;
    char *copy = strdup(path);
    if (copy == NULL)
        return false;
    files->items[files->count++] =
        (struct policy_file){.path = copy, .kind = "", .on_demand = on_demand, .mark = *mark};
    return true;
}

bool files_add_policy(struct files *files, const struct policy *policy)
{
    size_t count;
    const struct policy_file *read = policy_files(policy, &count);
    for (size_t i = 0; i < count; i++)
        if (!files_add(files, read[i].path, read[i].on_demand, &read[i].mark))
            return false;
    return true;
}

void files_clear(struct files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free((void *)(uintptr_t)files->items[i].path);
    free(files->items);
    *files = (struct files){0};
}

const struct policy_file *files_changed(const struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        struct policy_mark now;
        if (policy_mark_of(files->items[i].path, &now) != ERR_NONE)
            now = (struct policy_mark){0};
        if (!policy_mark_equal(&now, &files->items[i].mark))
            return &files->items[i];
    }
    return NULL;
}
