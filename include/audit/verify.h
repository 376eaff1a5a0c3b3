/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: proves a log directory offline, without a lock, beside a running daemon. Reads everything again: framing,
 * every leaf hash, every commit root, hash arrays, checkpoints and their signatures, blobs that entries name,
 * sequence numbers of each environment, and that each attempt has its outcome.
 */
#ifndef AUDIT_VERIFY_H
#define AUDIT_VERIFY_H

#include "audit/cosign.h"
#include "audit/signer.h"

/* What the kernel counted of the program's account since the log was begun; see `sallyport nft audit-counter`. */
struct verify_counter {
    uint64_t connects, dns_queries;
};

struct verify_options {
    const char *dir;
    const char *vkey;   /* a verifier key line the caller trusts, or NULL: the directory's own is used, and said so */
    const char *pinned; /* file of an older checkpoint that the caller kept elsewhere, or NULL */
    uint64_t since;     /* read from the segment that holds this entry on; 0: everything */
    const char *environment;               /* judge completeness for this one alone; NULL: for all */
    const struct cosign_policy *witnesses; /* whose lines in cosigned.log count; NULL: none */
    const struct verify_counter *counter;  /* to be held against the outcomes; NULL: none */
    void (*progress)(void *arg, uint64_t entries, uint64_t of); /* NULL: none */
    void *progress_arg;
};

enum verify_result {
    VERIFY_PROVEN = 0,
    VERIFY_FAILED = 1, /* could not work: the message says why */
    VERIFY_TAMPERED = 2,
    VERIFY_UNAVAILABLE = 3,
    VERIFY_ROLLBACK = 4,
    VERIFY_INCOMPLETE = 5,
};

#define VERIFY_SENTENCES_MAX 64

/* What was seen of one environment. */
struct verify_environment {
    uint64_t entries, first_seq, last_seq, attempts, denied, outcomes, open;
};

struct verify_report {
    enum verify_result result;
    uint64_t entries, signed_size, attempts, outcomes, open_flows;
    uint64_t begun;          /* the first entry that was read */
    uint64_t published_size; /* the largest head that was given out */
    size_t withheld;         /* signed heads behind it that wait for witnesses */
    int64_t withheld_since_ms;
    uint64_t dials, dns_sent; /* of all outcomes, with a counter */
    struct verify_environment environment;
    uint64_t first_bad; /* index, with VERIFY_TAMPERED and has_first_bad */
    bool has_first_bad;
    uint8_t root[DIGEST_BYTES];
    char origin[201];
    bool key_given, pinned_given;
    uint64_t witnessed_size; /* the largest tree that the quorum signed; 0: none */
    uint64_t witnessed_time_s;
    char witnessed_by[256];
    int64_t first_wall_ns, last_wall_ns, signed_wall_ns; /* clock of the first, last and last signed batch; 0: none */
    char signer_account[16], signer_network[16];         /* what the last start said of the signer; empty: nothing */
    uint64_t adopted;                                    /* times a signer without memory was told to go on */
    size_t proven_count, unproven_count, finding_count;
    char proven[VERIFY_SENTENCES_MAX][256];
    char unproven[VERIFY_SENTENCES_MAX][256];
    char findings[VERIFY_SENTENCES_MAX][256];
};

/* The result is also in the report, which is always filled. */
enum verify_result audit_verify(const struct verify_options *options, struct verify_report *out);

#endif
