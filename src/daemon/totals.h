/* SPDX-License-Identifier: Apache-2.0 */
/* totals: what all workers have counted, of those that have ended as well, for whoever writes the audit log. */
#ifndef DAEMON_TOTALS_H
#define DAEMON_TOTALS_H

#include "audit/record.h"
#include "policy/book.h"
#include "tunnel/tunnels.h"

struct totals;

MUST_CHECK enum err totals_new(struct totals **out);
void totals_free(struct totals *totals); /* NULL is allowed */

/* `counters` stay where they are until they are kept. ERR_TOO_BIG. */
MUST_CHECK enum err totals_add(struct totals *totals, const struct tunnel_counters *counters);
/* Their owner ends: what they say now is kept. Those that were never added are nothing. */
void totals_keep(struct totals *totals, const struct tunnel_counters *counters);

/* The book in force, of which it takes a reference: environments that observe are a fact of each entry. */
void totals_set_book(struct totals *totals, struct book *book);

/* Facts of an entry, at most `max`; `arg` is the totals. Any thread. */
size_t totals_facts(void *arg, struct event_fact *out, size_t max);

#endif
