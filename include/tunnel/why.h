/* SPDX-License-Identifier: Apache-2.0 */
/* why: the last refusals of one session or environment, for whoever was refused. Bounded, in memory, any thread. */
#ifndef TUNNEL_WHY_H
#define TUNNEL_WHY_H

#include "audit/record.h"
#include "base/outbuf.h"
#include "wire/reason.h"
#include "wire/target.h"

#include <pthread.h>

#define WHY_LAST 8

struct why_entry;

struct why {
    pthread_mutex_t lock;
    struct why_entry *entries; /* WHY_LAST of them, made with the first refusal */
    unsigned count, next;
};

/* Empty, without memory of its own yet. */
void why_init(struct why *why);
/* Frees what was kept; nobody else uses it any more. */
void why_clear(struct why *why);

/* `target` may be NULL. Without memory nothing is kept: the audit log has it in any case. */
void why_add(struct why *why, const struct target *target, enum reason reason,
             const uint8_t flow[static FLOW_ID_BYTES]);

/* One line each, the newest first: time, host:port, reason, sentence, request id. Fits an answer of ours. */
void why_print(struct why *why, struct outbuf *out);

#endif
