/* SPDX-License-Identifier: Apache-2.0 */
/* explain_log: one request of an audit log as a question that can be asked again, and the policy that it met. */
#ifndef CLI_EXPLAIN_LOG_H
#define CLI_EXPLAIN_LOG_H

#include "policy/policy.h"
#include "policy_then.h"

struct logged {
    char target[TARGET_TEXT_MAX]; /* as a client writes it */
    char door[16], method[16];
    char sni[HOSTNAME_MAX + 1]; /* empty: the hello named none */
    struct ipaddr answers[ADMITTED_MAX];
    size_t answer_count;
    bool has_hello, ech;
    enum first_bytes first;
    int64_t time_ms;                    /* when its attempt was recorded */
    uint64_t index;                     /* of its attempt in the log; logged_find() alone sets it */
    char session[72], environment[136]; /* session: empty if it came by none */
    char policy_id[POLICY_ID_TEXT + 1]; /* empty: no policy was asked */
    char verdict[8], reason[48], rule[96], stage[16];
};

/* The last word of the log about this request id (with or without hyphens). ERR_NOT_FOUND; ERR_INVALID: no id. */
MUST_CHECK enum err logged_find(const char *dir, const char *request, struct logged *out);

/* What one entry says of its own. An aggregated record, and one without a target, is none.
 * LOGGED_UNREAD: there was no memory to read it. */
enum logged_kind { LOGGED_OTHER, LOGGED_ATTEMPT, LOGGED_OUTCOME, LOGGED_UNREAD };
enum logged_kind logged_take(struct span leaf, struct logged *out);

/* The policy then in force, from the texts beside the log. ERR_NOT_FOUND: they are not there. `texts` is to be freed in
 * every case. */
MUST_CHECK enum err logged_policy(const char *dir, const struct logged *logged, struct diag *diag,
                                  struct policy_texts *texts, struct policy **out);

#endif
