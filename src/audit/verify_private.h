/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of verification share. */
#ifndef AUDIT_VERIFY_PRIVATE_H
#define AUDIT_VERIFY_PRIVATE_H

#include "audit/log.h"
#include "audit/verify.h"
#include "ledger.h"
#include "note.h"
#include "rotations.h"
#include "walk.h"
#include "withheld.h"

struct published {
    struct tree_head *heads; /* of checkpoints.log, in its order, then those that are withheld */
    size_t count, at;        /* at: the next one whose size was not reached yet */
};

struct verify {
    const struct verify_options *options;
    struct verify_report *report;
    const struct walk *walk;
    int dir;
    char origin[AUDIT_ORIGIN_MAX + 1];
    char log_json_hash[2 * DIGEST_BYTES + 1];
    struct note_key key;
    bool key_is_ours; /* from the directory: proves nothing about who signed */
    struct rotations rotations;
    size_t handed_over;    /* rotations behind which a checkpoint signed with both keys was seen */
    size_t rotations_seen; /* whose entry was read */
    struct published published;
    struct withheld withheld; /* those that are not in checkpoints.log */
    struct tree_head pinned;
    bool has_pinned, pinned_seen;
    struct tree_head witnessed; /* size 0: none */
    bool witnessed_seen;
    struct ledger ledger;
    struct digest *digest;
    struct commit before;        /* the commit record before the present one; count 0: none */
    struct commit unsigned_from; /* the first one behind the last checkpoint; count 0: none */
    struct scope *scope;         /* of one environment; NULL: all are judged */
    uint64_t elsewhere;          /* findings about other environments */
    uint64_t gaps, strangers, missing_blobs, silences, clock_steps;
};

void verify_proven(struct verify_report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void verify_unproven(struct verify_report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says what is wrong and makes the result as bad as `result`, unless it is worse already. */
void verify_finding(struct verify_report *r, enum verify_result result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Worth saying, without a verdict. */
void verify_remark(struct verify_report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* verify_heads.c: keys, checkpoints.log, checkpoint, the pinned one; false when it cannot go on. */
bool verify_read_heads(struct verify *v);
/* Heads of what lies before the first entry that is read are not looked at. */
void verify_heads_skip(struct verify *v, uint64_t begun);
void verify_head_reached(struct verify *v, const struct commit *commit, uint64_t size);
void verify_heads_end(struct verify *v, uint64_t size);
/* A head of this file, larger than or as large as the one before it. */
bool verify_take_head(struct verify *v, const struct checkpoint *c, const char *file);

/* verify_withheld.c: heads that wait for witnesses. They are signed, and given to nobody yet. */
bool withheld_heads_read(struct verify *v);
bool withheld_heads_take(struct verify *v); /* behind those of checkpoints.log */
void withheld_heads_end(struct verify *v);

/* verify_keys.c: the key that was given, and those that it leads to. */
bool verify_read_rotations(struct verify *v);
bool verify_signature(const struct verify *v, const struct checkpoint *c);
/* The same in the order of checkpoints.log: the first one behind a hand-over has both signatures. */
bool verify_published_signature(struct verify *v, const struct checkpoint *c);
void verify_rotation_entry(struct verify *v, uint64_t index, const struct leaf_facts *facts);
void verify_rotations_skip(struct verify *v, uint64_t begun);
void verify_rotations_end(struct verify *v);

/* verify_scope.c: one environment alone, and what outcomes add up to. */
MUST_CHECK enum err scope_new(struct verify *v);
void scope_free(struct scope *s); /* NULL is allowed */
/* True if findings about this entry count. */
bool scope_has(const struct verify *v, const struct leaf_facts *facts);
MUST_CHECK enum err scope_entry(struct verify *v, const struct leaf_facts *facts);
void scope_end(struct verify *v);
void counter_entry(struct verify *v, const struct leaf_facts *facts);
void counter_end(struct verify *v);

/* verify_witness.c: what witnesses have signed. */
bool witness_read(struct verify *v);
void witness_end(struct verify *v, uint64_t size);

/* verify_entries.c: hooks of the walk. */
bool verify_entry(void *arg, uint64_t index, struct span leaf);
bool verify_commit(void *arg, const struct commit *commit, const struct tree *tree);

#endif
