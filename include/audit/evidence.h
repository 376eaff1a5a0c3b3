/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evidence: what can be handed to somebody else from a log: proofs of single entries, everything of one environment,
 * the whole tree as plain C2SP files. The signed part of the log is read and hashed again first, and nothing is given
 * out that does not hash to its signed root.
 */
#ifndef AUDIT_EVIDENCE_H
#define AUDIT_EVIDENCE_H

#include "audit/signer.h"
#include "base/outbuf.h"

struct evidence;

#define EVIDENCE_PROOF_MAX 8192 /* of one tlog-proof */

/* `vkey`: the verifier key to hold the checkpoint against, or any before it that leads to it over hand-overs which both
 * keys signed; NULL: the directory's own. ERR_CORRUPT: it does not hash to what was signed (audit verify says where);
 * ERR_NOT_FOUND: no log, or nothing signed yet. */
MUST_CHECK enum err evidence_open(const char *dir, const char *vkey, struct evidence **out, char *message,
                                  size_t message_cap);
void evidence_close(struct evidence *e); /* NULL is allowed */

/* The signed head that all of it is held against, its text, and whose it is; borrowed until it is closed. */
struct tree_head evidence_head(const struct evidence *e);
struct span evidence_checkpoint(const struct evidence *e); /* its text, with the signature */
const char *evidence_origin(const struct evidence *e);
const char *evidence_vkey(const struct evidence *e);

/* A C2SP tlog-proof of one entry against the checkpoint. ERR_NOT_FOUND: it is not signed yet. */
MUST_CHECK enum err evidence_prove(struct evidence *e, uint64_t index, struct outbuf *out);
/* The hand-overs of the signing key below `dir`/rotations, which must not exist: each key_rotated entry, and its
 * tlog-proof against the checkpoint that both keys signed. ERR_NOT_FOUND: there is none. Bundles and tiles hold
 * them. */
MUST_CHECK enum err evidence_rotations(struct evidence *e, const char *dir);
/* True if the first head.size entries have this root. */
bool evidence_extends(struct evidence *e, const struct tree_head *head);

/* Calls `fn` for each signed entry; it hashes to its leaf. Ends with what `fn` gives if that is not ERR_NONE. */
typedef enum err evidence_fn(void *arg, uint64_t index, struct span leaf, const uint8_t hash[static DIGEST_BYTES]);
MUST_CHECK enum err evidence_each(struct evidence *e, evidence_fn *fn, void *arg);

/* The whole signed tree below `dir`, which must not exist: checkpoint, tile/L/N, tile/entries/N. ERR_EXISTS. */
MUST_CHECK enum err evidence_tiles(struct evidence *e, const char *dir);

/* Everything of one environment sealed between two times (0: open), as a directory that must not exist. */
struct evidence_bundle {
    const char *environment;
    const char *session; /* only as far as this session's records reach; NULL: all */
    int64_t from_ms, to_ms;
    uint64_t session_entries;                      /* out */
    uint64_t entries, first_env_seq, last_env_seq; /* out */
    uint64_t env_entries;                          /* out: of the environment in the whole signed log */
};
/* ERR_NOT_FOUND: the environment has no entry then; ERR_CORRUPT: a number of it is missing. With a session: from its
 * first record to its last, and all of the environment between them, so that the unbroken numbers leave no room for one
 * of the session that was kept back. */
MUST_CHECK enum err evidence_bundle(struct evidence *e, struct evidence_bundle *bundle, const char *dir);

/* Did an environment contact a host (a name, "*.name", or an address) between two times (0: open)? */
struct evidence_absence {
    const char *environment, *host;
    int64_t from_ms, to_ms;
    uint64_t entries;                    /* out: of the environment, all of which were read */
    uint64_t entries_then;               /* out: of them in that time */
    uint64_t refused, contacts, unknown; /* out: flows to the host; unknown: allowed, with no end on record */
    uint64_t lookups;                    /* out: questions for it that went to a name server */
    uint64_t first_contact;              /* out: index of its entry, with contacts or unknown */
};
/* A flow is a contact if it was allowed in the end or anything was dialled for it. ERR_NOT_FOUND: there is no entry of
 * the environment; ERR_CORRUPT: a number of it is missing. */
MUST_CHECK enum err evidence_absence(struct evidence *e, struct evidence_absence *a);

#endif
