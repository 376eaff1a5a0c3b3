/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the lab say to each other. */
#ifndef TEST_LAB_PRIVATE_H
#define TEST_LAB_PRIVATE_H

#include "lab.h"

/* The attempt that lets something leave for `host` now, or NULL. */
struct lab_attempt *lab_permit_for(struct lab *lab, struct span host, bool for_dial);

enum err lab_lookup(void *ctx, const struct hostname *name, uint32_t timeout_ms, const struct lookup_calls *calls,
                    void *arg, struct answers *out, struct lookup **out_lookup);
uint32_t lab_lookup_cancel(void *ctx, struct lookup *lookup);
/* Questions that nobody waits for end unanswered. */
void lab_end_orphans(struct lab *lab);
void lab_note_lookup(struct lab *lab, const struct record_flow *flow);

#endif
