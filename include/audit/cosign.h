/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cosign: witnesses (C2SP tlog-witness, tlog-cosignature, tlog-policy). A witness signs a checkpoint only if it extends
 * the last one that it signed, so that a log which was rolled back or forked is found by asking it.
 *
 * A policy file, a line each; # begins a comment:
 *
 *     witness NAME VKEY [URL]              VKEY of type 04; NAME is what the lines below call it
 *     group NAME all|any|K MEMBER…         members are witnesses and groups that stand above
 *     quorum NAME|none
 */
#ifndef AUDIT_COSIGN_H
#define AUDIT_COSIGN_H

#include "audit/signer.h"
#include "base/outbuf.h"

#define COSIGN_WITNESSES_MAX 32
#define COSIGN_TEXT_MAX      8192 /* a checkpoint with all its lines; a request */

struct cosign_witness {
    char label[64];      /* in the policy */
    char name[201];      /* of the key */
    char url[512];       /* empty: it cannot be asked */
    uint8_t key_hash[4]; /* SHA-256 of name, newline, 04, key */
    uint8_t public_key[ED25519_KEY_BYTES];
};

struct cosign_policy;

/* ERR_INVALID: `why` says in which line; any other: the file cannot be read. */
MUST_CHECK enum err cosign_policy_load(const char *path, struct cosign_policy **out, char *why, size_t cap);
void cosign_policy_free(struct cosign_policy *policy); /* NULL is allowed */
/* The witnesses in the order of the file; what is given lives as long as the policy. */
size_t cosign_count(const struct cosign_policy *policy);
const struct cosign_witness *cosign_witness(const struct cosign_policy *policy, size_t index);
/* Do these witnesses, one flag each, make the quorum? With `quorum none` always. */
bool cosign_quorum(const struct cosign_policy *policy, const bool have[static COSIGN_WITNESSES_MAX]);

/*
 * The newest checkpoint of the log in `dir`, or the newest that is withheld, as the body of an add-checkpoint request
 * (C2SP tlog-witness) to a witness that has seen `old` entries, with the consistency proof (RFC 6962 2.1.2); the
 * checkpoint itself lies at *out_note of it. ERR_DENIED: the log is smaller
 * than `old`; ERR_CORRUPT: its hashes do not give the signed root; ERR_NOT_FOUND: no log, or nothing signed.
 */
MUST_CHECK enum err cosign_request(const char *dir, uint64_t old, struct outbuf *out, size_t *out_note,
                                   struct tree_head *out_head);

/* Which of the lines below the checkpoint `note` are good cosignatures of witnesses; *out_time_s: the newest's. */
void cosign_check(const struct cosign_policy *policy, struct span note, bool out_have[static COSIGN_WITNESSES_MAX],
                  uint64_t *out_time_s);

/* Adds a checkpoint with its lines to `cosigned.log` below `dir`, durably. One process at a time. ERR_IO: it is not
 * there, or cut short, which readers pass over; ERR_TOO_BIG: the path. */
MUST_CHECK enum err cosign_keep(const char *dir, struct span note);

#define COSIGN_LOG "cosigned.log"

#endif
