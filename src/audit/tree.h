/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: the Merkle tree of RFC 6962 section 2.1 (and RFC 9162): leaf = SHA-256(0x00 || entry), node =
 * SHA-256(0x01 || left || right). A tree in the making is its frontier: the roots of its full subtrees. What is
 * needed of older nodes comes from a `tree_source`, the hash arrays of a directory or of a test.
 */
#ifndef AUDIT_TREE_H
#define AUDIT_TREE_H

#include "audit/signer.h"

#define TREE_LEVELS    64
#define TREE_TILE_BITS 8
#define TREE_ARRAYS    4 /* heights 0, 8, 16, 24: enough for 2^32 leaves */
#define TREE_PROOF_MAX 128

struct tree {
    struct digest *digest; /* borrowed */
    uint64_t size;
    uint8_t frontier[TREE_LEVELS][DIGEST_BYTES]; /* at height h if bit h of size is set */
};

/* Told of each hash that belongs in a hash array: height 0, 8, 16 or 24 as array 0 to 3. */
typedef void tree_emit_fn(void *arg, unsigned array, uint64_t index, const uint8_t hash[static DIGEST_BYTES]);

void tree_leaf_hash(struct digest *d, struct span entry, uint8_t out[static DIGEST_BYTES]);
void tree_node_hash(struct digest *d, const uint8_t left[static DIGEST_BYTES], const uint8_t right[static DIGEST_BYTES],
                    uint8_t out[static DIGEST_BYTES]);

void tree_append(struct tree *t, const uint8_t leaf[static DIGEST_BYTES], tree_emit_fn *emit, void *arg);
void tree_root(const struct tree *t, uint8_t out[static DIGEST_BYTES]);

/* Gives `count` (at most 256) consecutive hashes of an array. ERR_CORRUPT or ERR_IO when it has them not. */
struct tree_source {
    enum err (*read)(void *arg, unsigned array, uint64_t first, size_t count, uint8_t (*out)[DIGEST_BYTES]);
    void *arg;
    struct digest *digest;
};

/* Root of the first `size` leaves, and the frontier of a tree of that size. */
MUST_CHECK enum err tree_root_at(const struct tree_source *source, uint64_t size, uint8_t out[static DIGEST_BYTES]);
MUST_CHECK enum err tree_resume(const struct tree_source *source, uint64_t size, struct tree *out);

/* Proofs of RFC 6962 2.1.1 and 2.1.2; at most TREE_PROOF_MAX hashes. index < size; 0 < from <= to. */
MUST_CHECK enum err tree_prove_inclusion(const struct tree_source *source, uint64_t index, uint64_t size,
                                         uint8_t (*out)[DIGEST_BYTES], size_t *out_count);
MUST_CHECK enum err tree_prove_consistency(const struct tree_source *source, uint64_t from, uint64_t to,
                                           uint8_t (*out)[DIGEST_BYTES], size_t *out_count);

/* RFC 9162 2.1.3.2 and 2.1.4.2. `proof` is `count` hashes in a row. Any input; false is "not proven". */
bool tree_check_inclusion(struct digest *d, const uint8_t leaf[static DIGEST_BYTES], uint64_t index,
                          const struct tree_head *head, const uint8_t *proof, size_t count);
bool tree_check_consistency(struct digest *d, const struct tree_head *from, const struct tree_head *to,
                            const uint8_t *proof, size_t count);

#endif
