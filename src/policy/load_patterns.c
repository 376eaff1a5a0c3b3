/* SPDX-License-Identifier: Apache-2.0 */
/* egress.host_patterns. */
#include "loader.h"

#define PATTERNS_MAX 256

static void refuse_pattern(struct loader *l, struct node *item, size_t offset, const char *why)
{
    struct finding *f =
        load_error(l, item, "pattern", "the regular expression is not usable, at its byte %zu: %s", offset, why);
    diag_fix(f, "write an expression over the whole name in single quotes, for instance 'api-[0-9]+\\.example\\.com'");
}

static uint32_t load_list(struct loader *l, struct node *list, struct placed_pattern **out)
{
    if (list == NULL)
        return 0;
    if (list->count > PATTERNS_MAX) {
        load_error(l, list, "too_many", "there are more than %d patterns", PATTERNS_MAX);
        return 0;
    }
    struct placed_pattern *patterns = arena_array(&l->policy->arena, list->count, sizeof *patterns);
    uint32_t count = 0;
    for (struct node *item = list->first; patterns != NULL && item != NULL; item = item->next) {
        char why[200];
        size_t offset = 0;
        if (item->bad)
            continue;
        enum err err = pattern_compile(item->text, &patterns[count].pattern, why, sizeof why, &offset);
        if (err == ERR_NONE)
            patterns[count++].place = load_place(l, item);
        else if (err == ERR_NO_MEMORY)
            l->memory = true;
        else
            refuse_pattern(l, item, offset, why);
    }
    *out = patterns;
    return count;
}

void load_patterns(struct loader *l)
{
    struct policy *p = l->policy;
    const struct node *map = node_get(l->egress, "host_patterns");
    struct node *allow = node_get(map, "allow");
    if (allow != NULL && !p->limited) {
        struct finding *f =
            load_error(l, allow, "unrestricted", "host_patterns.allow has no meaning in an unrestricted environment");
        diag_fix(f, "remove it, or set config.networking.type: limited");
        allow = NULL;
    }
    p->allow_patterns.count = load_list(l, allow, &p->allow_patterns.at);
    p->deny_patterns.count = load_list(l, node_get(map, "deny"), &p->deny_patterns.at);
}
