/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

static bool same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, DIGEST_BYTES) == 0;
}

bool tree_check_inclusion(struct digest *d, const uint8_t leaf[static DIGEST_BYTES], uint64_t index,
                          const struct tree_head *head, const uint8_t *proof, size_t count)
{
    if (index >= head->size)
        return false;
    uint64_t fn = index, sn = head->size - 1;
    uint8_t hash[DIGEST_BYTES];
    memcpy(hash, leaf, sizeof hash);
    for (size_t i = 0; i < count; i++) {
        if (sn == 0)
            return false;
        if ((fn & 1) == 1 || fn == sn) {
            tree_node_hash(d, proof + i * DIGEST_BYTES, hash, hash);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            tree_node_hash(d, hash, proof + i * DIGEST_BYTES, hash);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && same(hash, head->root);
}

/* RFC 9162 2.1.4.2, steps 3 to 6, for 0 < from < to and a proof that begins with the first hash. */
static bool walk_consistency(struct digest *d, const struct tree_head *from, const struct tree_head *to,
                             const uint8_t *first, const uint8_t *rest, size_t count)
{
    uint64_t fn = from->size - 1, sn = to->size - 1;
    while ((fn & 1) == 1) {
        fn >>= 1;
        sn >>= 1;
    }
    uint8_t fr[DIGEST_BYTES], sr[DIGEST_BYTES];
    memcpy(fr, first, sizeof fr);
    memcpy(sr, first, sizeof sr);
    for (size_t i = 0; i < count; i++) {
        if (sn == 0)
            return false;
        if ((fn & 1) == 1 || fn == sn) {
            tree_node_hash(d, rest + i * DIGEST_BYTES, fr, fr);
            tree_node_hash(d, rest + i * DIGEST_BYTES, sr, sr);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            tree_node_hash(d, sr, rest + i * DIGEST_BYTES, sr);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && same(fr, from->root) && same(sr, to->root);
}

bool tree_check_consistency(struct digest *d, const struct tree_head *from, const struct tree_head *to,
                            const uint8_t *proof, size_t count)
{
    if (from->size > to->size)
        return false;
    if (from->size == to->size)
        return count == 0 && same(from->root, to->root);
    if (from->size == 0)
        return count == 0; /* every tree extends the empty one */
    if ((from->size & (from->size - 1)) == 0)
        return walk_consistency(d, from, to, from->root, proof, count); /* a power of two: its root begins the path */
    if (count == 0)
        return false;
    return walk_consistency(d, from, to, proof, proof + DIGEST_BYTES, count - 1);
}
