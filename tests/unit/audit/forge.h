/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log directory written entry by entry and signed with a key of the test, so that it can say what the program's own
 * writer never would. A script is words with a space between:
 *
 *   start stop     log_started, log_stopped           adopted   signer_adopted
 *   a1 d1          attempt of flow 1: allowed, denied  junk      an entry of no form of this log
 *   o1 r1 x1       outcome: allowed, refused without   lost1     an open_flows entry that names flow 1
 *                  a dial, refused after one           lie       an env_manifest that is wrong
 *   t1  l1         traffic, lookup                     handover  a key_rotated entry
 *   gap            one number of the environment is    blob      an event that names a blob that is not there
 *                  left out                            strange   log_started of another log.json
 *   |  !           ends a batch; ends it and signs     other     ends the batch and signs another tree of its size
 *   +9             nine seconds pass                   boot      another boot of the machine
 *   @NAME          the host of what follows            =500      the time in milliseconds of what follows
 *
 * A capital letter (A1, GAP) means env-b in place of env-a.
 */
#ifndef TEST_AUDIT_FORGE_H
#define TEST_AUDIT_FORGE_H

#include "fixture.h"

#include "audit/cosign.h"

struct forge {
    const char *dir;
    struct digest *digest;
    uint8_t seed[ED25519_KEY_BYTES];
    struct note_key key;
    char log_json_hash[2 * DIGEST_BYTES + 1];
    struct tree tree;
    uint8_t bytes[1u << 16]; /* of the segment */
    size_t len;
    uint64_t first; /* of the batch in the making */
    uint64_t mono_s, time_ms;
    uint64_t env_seq[2];
    uint8_t boot;
    char host[64];
    char note[COSIGN_TEXT_MAX]; /* the last checkpoint */
    size_t note_len, body_len;
};

/* Makes the directory f->dir anew and writes what the script says. */
void forge_log(struct forge *g, const struct fixture *f, const char *script);
/* Signs the tree as it is: to checkpoint and checkpoints.log. */
void forge_sign(struct forge *g, const struct tree_head *head);
void forge_free(struct forge *g);

#endif
