/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a policy names: opened, or taken as they were once; and the list of what was read. */
#include "loader.h"

#include <stdlib.h>

static enum err say_not_kept(struct loader *l, const char *path, const struct node *at)
{
    struct finding *f =
        diag_add(l->diag, SEVERITY_ERROR, "not_kept", at != NULL ? l->file : path, at != NULL ? at->line : 0,
                 at != NULL ? at->column : 0, "the text that '%.300s' had then was not kept", path);
    diag_fix(f, "what the policy decided then cannot be told without it");
    return ERR_INVALID;
}

static enum err take_then(const struct policy_then *then, struct file_bytes *out)
{
    *out = (struct file_bytes){.data = malloc(then->text.len + 1), .len = then->text.len};
    if (out->data == NULL)
        return ERR_NO_MEMORY;
    if (then->text.len > 0)
        memcpy(out->data, then->text.data, then->text.len);
    return ERR_NONE;
}

enum err load_file_open(struct loader *l, const char *path, size_t max_bytes, const struct node *at,
                        struct file_bytes *out)
{
    const struct file_rules rules = {.max_bytes = max_bytes, .strict = l->strict_files};
    const struct policy_sources *given = l->given;
    if (given->then == NULL)
        return file_read(path, &rules, l->diag, at != NULL ? l->file : NULL, at != NULL ? at->line : 0,
                         at != NULL ? at->column : 0, out);
    for (size_t i = 0; i < given->then_count; i++)
        if (strcmp(given->then[i].path, path) == 0)
            return take_then(&given->then[i], out);
    return say_not_kept(l, path, at);
}

struct span load_file_read(struct loader *l, const char *path, const char *kind, const struct policy_mark *mark,
                           struct span text)
{
    struct policy *p = l->policy;
    uint32_t count = p->read.count;
    /* Full at every power of two: then twice the room, the old block stays in the arena. */
    if ((count & (count - 1)) == 0) {
        struct policy_file *more = arena_array(&p->arena, count == 0 ? 1 : 2 * (size_t)count, sizeof *more);
        if (more == NULL)
            return span_make(NULL, 0); /* and nothing is loaded */
        if (count > 0)
            memcpy(more, p->read.at, count * sizeof *more);
        p->read.at = more;
    }
    struct policy_file *file = &p->read.at[p->read.count++];
    *file = (struct policy_file){.path = path, .kind = kind, .on_demand = strcmp(kind, "agent") == 0, .mark = *mark};
    digest_once(text, file->sha256);
    if (l->given->read != NULL)
        l->given->read(l->given->read_arg, file);
    return span_make(file->sha256, sizeof file->sha256);
}
