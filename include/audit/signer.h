/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signer: the seam behind which the log key lives: a process of its own, forked before there are threads and before
 * root is given up, with a uid of its own where it can have one. It signs a tree head only with a proof that the new
 * tree extends the last one it signed, which it remembers, so that the process which reads hostile bytes cannot
 * rewrite what was signed. It can make no socket and start no program.
 */
#ifndef AUDIT_SIGNER_H
#define AUDIT_SIGNER_H

#include "base/digest.h"
#include "base/err.h"

#include <sys/types.h>

struct signer;

struct tree_head {
    uint64_t size;
    uint8_t root[DIGEST_BYTES];
};

struct signer_start {
    const char *dir; /* key and memory, 0700; made on first start */
    uid_t uid;       /* to become when started as root */
    gid_t gid;
    bool adopt; /* there is a key and no memory: sign on from what the log says */
};

/* Forks. Before any thread exists; the calling process may give up root afterwards. */
MUST_CHECK enum err signer_start(const struct signer_start *start, struct signer **out);
/*
 * Loads key and memory for a log, once; made on first start. ERR_DENIED: wrong modes or owner; ERR_INVALID: no origin;
 * ERR_CORRUPT: files that contradict themselves; ERR_CLOSED: the process has ended; `message` says more.
 */
MUST_CHECK enum err signer_load(struct signer *signer, const char *origin, char *message, size_t message_cap);
/* Both, under the caller's own uid. */
MUST_CHECK enum err signer_open(const char *dir, const char *origin, struct signer **out, char *message,
                                size_t message_cap);
/* Ends the process; one that hangs is killed, as far as that is allowed. */
void signer_close(struct signer *signer); /* NULL is allowed */

/* The last head it signed; size 0 if none. */
void signer_last(const struct signer *signer, struct tree_head *out);

/*
 * `proof` is `proof_count` hashes of DIGEST_BYTES in a row.
 *
 * Has `note_body` (the checkpoint text of `head`) signed after the RFC 6962 consistency proof from the last head was
 * checked, and the new one remembered durably first; waits at most `wait_ms`. ERR_CORRUPT: the proof does not hold; nothing was
 * signed. ERR_DENIED: the memory is missing and not adopted. ERR_AGAIN: no answer yet, signer_late() will have it, or
 * one was owed before. ERR_CLOSED: the process has ended.
 */
MUST_CHECK enum err signer_sign(struct signer *signer, const struct tree_head *head, const uint8_t *proof,
                                size_t proof_count, struct span note_body, unsigned wait_ms,
                                uint8_t out_signature[static ED25519_SIGNATURE_BYTES]);
/* The answer to a request that came too late for signer_sign(). ERR_NOT_FOUND: none is owed; ERR_AGAIN: not yet. */
MUST_CHECK enum err signer_late(struct signer *signer, unsigned wait_ms, struct tree_head *out_head,
                                uint8_t out_signature[static ED25519_SIGNATURE_BYTES]);
/* An answer has not come yet: signer_fd() becomes readable with it. */
bool signer_owes(const struct signer *signer);

/* Readable or hung up when the process has something to say or has ended; -1 once it is known to have ended. */
int signer_fd(const struct signer *signer);
bool signer_ended(const struct signer *signer);

/* The key that it signs with now. */
void signer_public(const struct signer *signer, uint8_t out_public[static ED25519_KEY_BYTES]);

/* What can be said of the process; `own_uid`: it is not that of the caller. */
struct signer_about {
    pid_t pid;
    uid_t uid;
    bool own_uid, sealed, adopting;
};
void signer_about(const struct signer *signer, struct signer_about *out);

#endif
