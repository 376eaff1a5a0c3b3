/* SPDX-License-Identifier: Apache-2.0 */
/* What was gathered becomes what is searched: the literals sorted, the names hashed; what stands twice is said. */
#include "loader.h"

#include <stdlib.h>

void load_literal(struct loader *l, const struct ipaddr *addr, enum name_kind kind, uint32_t value)
{
    struct policy *p = l->policy;
    uint32_t count = p->literals.count;
    /* Full at every power of two: then twice the room, the old block stays in the arena. */
    if ((count & (count - 1)) == 0) {
        struct literal *more = arena_array(&p->arena, count == 0 ? 1 : 2 * (size_t)count, sizeof *more);
        if (more == NULL)
            return;
        if (count > 0)
            memcpy(more, p->literals.at, count * sizeof *more);
        p->literals.at = more;
    }
    p->literals.at[p->literals.count++] = (struct literal){.addr = *addr, .kind = kind, .value = value};
}

static int by_address(const void *left, const void *right)
{
    const struct literal *a = left, *b = right;
    if (a->addr.family != b->addr.family)
        return a->addr.family < b->addr.family ? -1 : 1;
    int order = memcmp(a->addr.bytes, b->addr.bytes, sizeof a->addr.bytes);
    if (order != 0)
        return order;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

static void say_twice(struct loader *l, enum name_kind kind, uint32_t value)
{
    const struct policy *p = l->policy;
    if (kind == NAME_ENTRY) {
        const struct place *place = &p->entries.at[value].place;
        struct finding *f = error_at(l, place, "duplicate", "'%.*s' has two entries", SPAN_ARGS(place->text));
        diag_fix(f, "put the keys of both into one entry");
    } else if (kind == NAME_ALLOWED || (kind == NAME_DENIED && value < p->denied_own)) {
        const struct place *place = kind == NAME_ALLOWED ? &p->allowed.at[value] : &p->denied.at[value];
        lint_at(l, place, "duplicate", "'%.*s' stands in the list twice", SPAN_ARGS(place->text));
    }
}

static void index_literals(struct loader *l)
{
    struct policy *p = l->policy;
    uint32_t kept = 0;
    if (p->literals.count > 1)
        qsort(p->literals.at, p->literals.count, sizeof *p->literals.at, by_address);
    for (uint32_t i = 0; i < p->literals.count; i++) {
        const struct literal *last = kept > 0 ? &p->literals.at[kept - 1] : NULL;
        const struct literal *next = &p->literals.at[i];
        if (last != NULL && last->kind == next->kind && ipaddr_equal(&last->addr, &next->addr))
            say_twice(l, next->kind, next->value);
        else
            p->literals.at[kept++] = *next;
    }
    p->literals.count = kept;
}

/* Names of list files may repeat without a word: such lists are merged by machines. */
static void find_doubles(struct loader *l)
{
    const struct names *names = &l->policy->names;
    for (uint32_t i = 0; names->doubles > 0 && i < names->count; i++) {
        const struct name_item *item = &names->items[i];
        enum name_kind kind = names_kind(item);
        if (kind != NAME_ENTRY && kind != NAME_ALLOWED && kind != NAME_DENIED)
            continue;
        if (names_lookup(names, kind, names_is_wild(item), names_text(names, i)) != i + 1)
            say_twice(l, kind, item->value);
    }
}

void load_index(struct loader *l)
{
    index_literals(l);
    l->memory |= names_seal(&l->policy->names) != ERR_NONE;
    if (!l->memory)
        find_doubles(l);
}
