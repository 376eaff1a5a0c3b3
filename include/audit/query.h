/* SPDX-License-Identifier: Apache-2.0 */
/* query: the entries of a log that answer a question, in order. Like the reader it takes no lock and proves nothing. */
#ifndef AUDIT_QUERY_H
#define AUDIT_QUERY_H

#include "base/err.h"
#include "base/span.h"

enum audit_verdict { AUDIT_ANY, AUDIT_ALLOWED, AUDIT_DENIED };

/* NULL: whatever it is. Entries that have no such field do not match. */
struct audit_filter {
    const char *environment, *session, *rule, *reason;
    const char *host;           /* as asked for; "*.name" for everything below it; or an address */
    enum audit_verdict verdict; /* the final one of the flow: an allowed attempt that was denied later is denied */
    int64_t since_ms, until_ms; /* from, and before; 0 and 0: always */
};

struct audit_query;

/* `filter` is copied, its texts are borrowed. ERR_TOO_BIG: a text is longer than any that a log has. */
MUST_CHECK enum err audit_query_open(const char *dir, const struct audit_filter *filter, struct audit_query **out);
void audit_query_close(struct audit_query *query); /* NULL is allowed */
/* As audit_reader_next(); ERR_AGAIN: that was all. */
MUST_CHECK enum err audit_query_next(struct audit_query *query, uint64_t *out_index, struct span *out_leaf);

#endif
