/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash: a keyed hash for tables whose keys an attacker may choose (SipHash-1-3, Aumasson and Bernstein 2012). The key
 * is drawn at start and never leaves the process, so nobody can aim at one bucket.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/span.h"

struct hash_key {
    uint64_t k0, k1;
};

/* All 64 bits are usable: `% buckets` and masks alike. Pure; any thread. */
uint64_t hash_keyed(const struct hash_key *key, struct span bytes);

#endif
