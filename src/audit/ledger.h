/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: what the entries say of each other: numbers of an environment without a gap, an outcome for each attempt that
 * was allowed. Kept by recovery, which goes on from it, and by verification, which judges it.
 */
#ifndef AUDIT_LEDGER_H
#define AUDIT_LEDGER_H

#include "envs.h"
#include "flows.h"
#include "leaf.h"

enum ledger_finding {
    LEDGER_FINE,
    LEDGER_MALFORMED,  /* not a leaf of this log, or its sequence is not its index */
    LEDGER_GAP,        /* the number of its environment is not the next one */
    LEDGER_NO_ATTEMPT, /* an outcome or traffic whose attempt is not open */
    LEDGER_MANIFEST,   /* an env_manifest that says something else than the entries before it */
    LEDGER_NO_MEMORY,
};

struct ledger {
    struct envs envs;
    struct flows open;
    uint64_t listed;                   /* environments that the manifest under way has named */
    uint32_t sessions;                 /* log_started entries so far */
    bool partial;                      /* entries before the first are unknown: no finding about what began there */
    bool stopped;                      /* the last entry is log_stopped */
    uint64_t attempts, outcomes, lost; /* lost: open flows that an open_flows entry named */
};

void ledger_init(struct ledger *l);
void ledger_free(struct ledger *l);
enum ledger_finding ledger_entry(struct ledger *l, uint64_t index, struct span leaf, struct leaf_facts *out_facts);

/* Open flows of an earlier start of the log: their end is unknown and no entry says so. */
uint64_t ledger_forgotten(const struct ledger *l);

#endif
