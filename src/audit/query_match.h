/* SPDX-License-Identifier: Apache-2.0 */
/* A question without a log: for parts of this room that read the entries themselves. */
#ifndef AUDIT_QUERY_MATCH_H
#define AUDIT_QUERY_MATCH_H

#include "audit/query.h"

/* To be closed with audit_query_close(). `filter` asks for no verdict: that needs the ends of the flows. */
MUST_CHECK enum err query_matcher(const struct audit_filter *filter, struct audit_query **out);
bool query_matches(const struct audit_query *query, struct span leaf);

#endif
