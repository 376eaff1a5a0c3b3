/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include "base/assert.h"

/* RFC 6962 2.1 */
#define LEAF_TAG 0
#define NODE_TAG 1

void tree_leaf_hash(struct digest *d, struct span entry, uint8_t out[static DIGEST_BYTES])
{
    digest_tagged(d, LEAF_TAG, entry, out);
}

void tree_node_hash(struct digest *d, const uint8_t left[static DIGEST_BYTES], const uint8_t right[static DIGEST_BYTES],
                    uint8_t out[static DIGEST_BYTES])
{
    uint8_t node[2 * DIGEST_BYTES];
    memcpy(node, left, DIGEST_BYTES);
    memcpy(node + DIGEST_BYTES, right, DIGEST_BYTES);
    digest_tagged(d, NODE_TAG, span_make(node, sizeof node), out);
}

void tree_append(struct tree *t, const uint8_t leaf[static DIGEST_BYTES], tree_emit_fn *emit, void *arg)
{
    uint8_t hash[DIGEST_BYTES];
    memcpy(hash, leaf, sizeof hash);
    unsigned height = 0;
    for (;; height++) {
        if (emit != NULL && height % TREE_TILE_BITS == 0 && height / TREE_TILE_BITS < TREE_ARRAYS)
            emit(arg, height / TREE_TILE_BITS, t->size >> height, hash);
        if ((t->size >> height & 1) == 0)
            break;
        tree_node_hash(t->digest, t->frontier[height], hash, hash);
    }
    memcpy(t->frontier[height], hash, sizeof hash);
    t->size++;
}

void tree_root(const struct tree *t, uint8_t out[static DIGEST_BYTES])
{
    if (t->size == 0) {
        digest_once(span_make(NULL, 0), out); /* RFC 6962 2.1: the hash of an empty string */
        return;
    }
    bool have = false;
    for (unsigned height = 0; height < TREE_LEVELS; height++) {
        if ((t->size >> height & 1) == 0)
            continue;
        if (have)
            tree_node_hash(t->digest, t->frontier[height], out, out);
        else
            memcpy(out, t->frontier[height], DIGEST_BYTES);
        have = true;
    }
}

/* The full subtree of 2^height leaves that begins at leaf index << height: folded from the array below it. */
static enum err subtree(const struct tree_source *s, unsigned height, uint64_t index, uint8_t *out)
{
    unsigned array = height / TREE_TILE_BITS;
    if (array >= TREE_ARRAYS)
        array = TREE_ARRAYS - 1;
    unsigned levels = height - array * TREE_TILE_BITS;
    if (levels >= TREE_TILE_BITS)
        return ERR_TOO_BIG;
    uint8_t hashes[1u << TREE_TILE_BITS][DIGEST_BYTES];
    size_t count = (size_t)1 << levels;
    enum err err = s->read(s->arg, array, index << levels, count, hashes);
    if (err != ERR_NONE)
        return err;
    for (; count > 1; count /= 2)
        for (size_t i = 0; i < count / 2; i++)
            tree_node_hash(s->digest, hashes[2 * i], hashes[2 * i + 1], hashes[i]);
    memcpy(out, hashes[0], DIGEST_BYTES);
    return ERR_NONE;
}

/* MTH(D[first:first+count]), where `first` is a multiple of the largest power of two that `count` needs, as in every
 * range that proofs ask for: full subtrees from the right, smallest first. */
static enum err range_hash(const struct tree_source *s, uint64_t first, uint64_t count, uint8_t *out)
{
    uint8_t hash[DIGEST_BYTES];
    bool have = false;
    uint64_t end = first + count;
    for (unsigned height = 0; height < TREE_LEVELS; height++) {
        if ((count >> height & 1) == 0)
            continue;
        end -= (uint64_t)1 << height;
        enum err err = subtree(s, height, end >> height, hash);
        if (err != ERR_NONE)
            return err;
        if (have)
            tree_node_hash(s->digest, hash, out, out);
        else
            memcpy(out, hash, DIGEST_BYTES);
        have = true;
    }
    return ERR_NONE;
}

enum err tree_root_at(const struct tree_source *source, uint64_t size, uint8_t out[static DIGEST_BYTES])
{
    if (size == 0) {
        digest_once(span_make(NULL, 0), out);
        return ERR_NONE;
    }
    uint8_t root[DIGEST_BYTES];
    enum err err = range_hash(source, 0, size, root);
    if (err == ERR_NONE)
        memcpy(out, root, DIGEST_BYTES);
    return err;
}

enum err tree_resume(const struct tree_source *source, uint64_t size, struct tree *out)
{
    uint64_t end = size;
    for (unsigned height = 0; height < TREE_LEVELS; height++) {
        if ((size >> height & 1) == 0)
            continue;
        end -= (uint64_t)1 << height;
        enum err err = subtree(source, height, end >> height, out->frontier[height]);
        if (err != ERR_NONE)
            return err;
    }
    out->size = size;
    return ERR_NONE;
}

/* Largest power of two smaller than n, n > 1. */
static uint64_t split_point(uint64_t n)
{
    return (uint64_t)1 << (63 - __builtin_clzll(n - 1));
}

struct proof {
    const struct tree_source *source;
    uint8_t (*out)[DIGEST_BYTES];
    size_t count;
    enum err err;
};

static void proof_add(struct proof *p, uint64_t first, uint64_t count)
{
    if (p->err == ERR_NONE && p->count == TREE_PROOF_MAX)
        p->err = ERR_TOO_BIG;
    if (p->err == ERR_NONE)
        p->err = range_hash(p->source, first, count, p->out[p->count]);
    p->count++;
}

/* The definitions recurse from the root and append on the way back: the walk down notes the ranges, and they are
 * hashed in the opposite order. */
struct range {
    uint64_t first, count;
};

enum err tree_prove_inclusion(const struct tree_source *source, uint64_t index, uint64_t size,
                              uint8_t (*out)[DIGEST_BYTES], size_t *out_count)
{
    ASSERT(index < size);
    struct range ranges[TREE_LEVELS];
    size_t depth = 0;
    uint64_t first = 0, count = size;
    while (count > 1) {
        uint64_t k = split_point(count);
        if (index - first < k) {
            ranges[depth++] = (struct range){first + k, count - k};
            count = k;
        } else {
            ranges[depth++] = (struct range){first, k};
            first += k;
            count -= k;
        }
    }
    struct proof p = {.source = source, .out = out};
    while (depth > 0) {
        depth--;
        proof_add(&p, ranges[depth].first, ranges[depth].count);
    }
    if (p.err == ERR_NONE)
        *out_count = p.count;
    return p.err;
}

enum err tree_prove_consistency(const struct tree_source *source, uint64_t from, uint64_t to,
                                uint8_t (*out)[DIGEST_BYTES], size_t *out_count)
{
    ASSERT(from > 0 && from <= to);
    struct range ranges[TREE_LEVELS];
    size_t depth = 0;
    uint64_t first = 0, count = to, m = from;
    bool whole = true; /* the verifier knows the old root: it is left out while the old tree is the whole subtree */
    while (m != count) {
        uint64_t k = split_point(count);
        if (m <= k) {
            ranges[depth++] = (struct range){first + k, count - k};
            count = k;
        } else {
            ranges[depth++] = (struct range){first, k};
            first += k;
            m -= k;
            count -= k;
            whole = false;
        }
    }
    struct proof p = {.source = source, .out = out};
    if (!whole)
        proof_add(&p, first, count);
    while (depth > 0) {
        depth--;
        proof_add(&p, ranges[depth].first, ranges[depth].count);
    }
    if (p.err == ERR_NONE)
        *out_count = p.count;
    return p.err;
}
