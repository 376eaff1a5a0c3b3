/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include "base/digest.h"

#include <stdlib.h>

void names_init(struct names *names)
{
    *names = (struct names){0};
    random_bytes(&names->key, sizeof names->key);
}

void names_clear(struct names *names)
{
    free(names->text);
    free(names->items);
    free(names->slots);
    *names = (struct names){0};
}

/* ---- building ---- */

static enum err grow(void **block, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return ERR_NONE;
    if (need > UINT32_MAX / 2)
        return ERR_TOO_BIG;
    void *more = realloc(*block, need * size);
    if (more == NULL)
        return ERR_NO_MEMORY;
    *block = more;
    *cap = need;
    return ERR_NONE;
}

enum err names_reserve(struct names *names, size_t items, size_t bytes)
{
    if (items > UINT32_MAX / 2 || bytes > UINT32_MAX / 2)
        return ERR_TOO_BIG;
    enum err err = grow((void **)&names->text, &names->text_cap, names->text_len + bytes, 1);
    if (err == ERR_NONE)
        err = grow((void **)&names->items, &names->cap, names->count + items, sizeof *names->items);
    return err;
}

enum err names_add(struct names *names, enum name_kind kind, bool wild, struct span name, uint32_t value, uint16_t list)
{
    size_t star = wild ? 2 : 0; /* kept before a pattern's name, so that it can be shown whole */
    if (names->text_cap - names->text_len < name.len + star || names->cap == names->count) {
        enum err err = names_reserve(names, names->count / 2 + 64, names->text_len / 2 + 4096);
        if (err != ERR_NONE)
            return err;
    }
    memcpy(names->text + names->text_len, "*.", star);
    names->text_len += star;
    names->items[names->count++] = (struct name_item){
        .offset = (uint32_t)names->text_len,
        .value = value,
        .list = list,
        .len = (uint8_t)name.len,
        .kind_wild = (uint8_t)((unsigned)kind * 2 + wild),
    };
    memcpy(names->text + names->text_len, name.data, name.len);
    names->text_len += name.len;
    return ERR_NONE;
}

struct span names_text(const struct names *names, uint32_t item)
{
    return span_make(names->text + names->items[item].offset, names->items[item].len);
}

struct span names_whole(const struct names *names, uint32_t item)
{
    struct span name = names_text(names, item);
    return names_is_wild(&names->items[item]) ? span_make(name.data - 2, name.len + 2) : name;
}

enum name_kind names_kind(const struct name_item *item)
{
    return (enum name_kind)(item->kind_wild / 2);
}

bool names_is_wild(const struct name_item *item)
{
    return (item->kind_wild & 1) != 0;
}

/* ---- hashing ---- */

/* One label more, to the left of what `hash` covers. */
static uint64_t hash_label(const struct names *names, uint64_t hash, struct span label)
{
    struct hash_key key = {names->key.k0 ^ hash, names->key.k1};
    return hash_keyed(&key, label);
}

/* Start of the label that ends before `end`. */
static size_t label_start(struct span name, size_t end)
{
    while (end > 0 && name.data[end - 1] != '.')
        end--;
    return end;
}

static uint64_t hash_name(const struct names *names, struct span name)
{
    uint64_t hash = 0;
    for (size_t end = name.len;;) {
        size_t start = label_start(name, end);
        hash = hash_label(names, hash, span_make(name.data + start, end - start));
        if (start == 0)
            return hash;
        end = start - 1;
    }
}

/* Patterns and exact names are different keys. */
static uint64_t hash_for(uint64_t hash, bool wild)
{
    return wild ? hash ^ 0x9e3779b97f4a7c15u : hash;
}

/* ---- the table ---- */

static uint32_t make_slot(const struct names *names, uint64_t hash, size_t item)
{
    return (uint32_t)(hash >> 32) << names->index_bits | (uint32_t)(item + 1);
}

static bool slot_may_be(const struct names *names, uint32_t slot, uint64_t hash)
{
    return slot >> names->index_bits == ((uint32_t)(hash >> 32) << names->index_bits) >> names->index_bits;
}

static uint32_t slot_item(const struct names *names, uint32_t slot)
{
    return (slot & ((1u << names->index_bits) - 1)) - 1;
}

static bool item_is(const struct names *names, const struct name_item *item, struct span name, bool wild)
{
    return item->len == name.len && names_is_wild(item) == wild &&
           (name.len == 0 || memcmp(names->text + item->offset, name.data, name.len) == 0);
}

/* The slot that holds this very key, or the free one where it would go. */
static uint32_t slot_for(const struct names *names, uint64_t hash, enum name_kind kind, bool wild, struct span name)
{
    uint32_t at = (uint32_t)hash & names->mask;
    for (; names->slots[at] != 0; at = (at + 1) & names->mask) {
        if (!slot_may_be(names, names->slots[at], hash))
            continue;
        const struct name_item *other = &names->items[slot_item(names, names->slots[at])];
        if (names_kind(other) == kind && item_is(names, other, name, wild))
            return at;
    }
    return at;
}

/* The slots of a large table are cold: those of a batch are called for together, before the first is looked at. */
#define BATCH 16

static void insert_batch(struct names *names, size_t first, size_t count)
{
    uint64_t hashes[BATCH];
    for (size_t i = 0; i < count; i++) {
        const struct name_item *item = &names->items[first + i];
        hashes[i] = hash_for(hash_name(names, names_text(names, (uint32_t)(first + i))), names_is_wild(item));
        __builtin_prefetch(&names->slots[(uint32_t)hashes[i] & names->mask], 1);
    }
    for (size_t i = 0; i < count; i++) {
        const struct name_item *item = &names->items[first + i];
        uint32_t at =
            slot_for(names, hashes[i], names_kind(item), names_is_wild(item), names_text(names, (uint32_t)(first + i)));
        if (names->slots[at] == 0)
            names->slots[at] = make_slot(names, hashes[i], first + i);
        else
            names->doubles++;
    }
}

uint32_t names_lookup(const struct names *names, enum name_kind kind, bool wild, struct span name)
{
    if (names->count == 0)
        return 0;
    uint64_t hash = hash_for(hash_name(names, name), wild);
    uint32_t slot = names->slots[slot_for(names, hash, kind, wild, name)];
    return slot == 0 ? 0 : slot_item(names, slot) + 1;
}

enum err names_seal(struct names *names)
{
    if (names->count == 0)
        return ERR_NONE;
    uint32_t slots = 16;
    while (slots / 2 < names->count + names->count / 4)
        slots *= 2;
    names->index_bits = 1;
    while ((size_t)1 << names->index_bits < names->count + 2)
        names->index_bits++;
    names->mask = slots - 1;
    names->doubles = 0;
    free(names->slots);
    names->slots = calloc(slots, sizeof *names->slots);
    if (names->slots == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < names->count; i += BATCH)
        insert_batch(names, i, names->count - i < BATCH ? names->count - i : BATCH);
    return ERR_NONE;
}

/* ---- asking ---- */

static void record(const struct names *names, uint32_t index, bool exact, struct name_hit out[static NAME_KINDS])
{
    const struct name_item *item = &names->items[index];
    enum name_kind kind = names_kind(item);
    /* What a group's wildcard leaves out takes the wildcard away again, and nothing else: it is longer than the
     * wildcard, so it comes later in the walk. */
    if (kind == NAME_GROUP_EXCEPT) {
        struct name_hit *group = &out[NAME_GROUP];
        if (group->item != 0 && !group->exact && names->items[group->item - 1].value == item->value)
            *group = (struct name_hit){0};
        return;
    }
    out[kind] = (struct name_hit){.item = index + 1, .len = item->len, .exact = exact};
}

static void probe(const struct names *names, uint64_t hash, struct span name, bool wild,
                  struct name_hit out[static NAME_KINDS])
{
    hash = hash_for(hash, wild);
    for (uint32_t at = (uint32_t)hash & names->mask; names->slots[at] != 0; at = (at + 1) & names->mask) {
        if (!slot_may_be(names, names->slots[at], hash))
            continue;
        uint32_t index = slot_item(names, names->slots[at]);
        if (item_is(names, &names->items[index], name, wild))
            record(names, index, !wild, out);
    }
}

void names_find(const struct names *names, const struct hostname *host, bool patterns_only,
                struct name_hit out[static NAME_KINDS])
{
    memset(out, 0, NAME_KINDS * sizeof *out);
    if (names->count == 0)
        return;
    struct span name = hostname_span(host);
    uint64_t hash = 0;
    for (size_t end = name.len;;) {
        size_t start = label_start(name, end);
        hash = hash_label(names, hash, span_make(name.data + start, end - start));
        if (start == 0)
            break;
        probe(names, hash, span_from(name, start), true, out);
        end = start - 1;
    }
    if (!patterns_only)
        probe(names, hash, name, false, out);
}
