/* SPDX-License-Identifier: Apache-2.0 */
/* explain_session: what the session of a recorded request left of its environment then, from the entries of the log. */
#ifndef CLI_EXPLAIN_SESSION_H
#define CLI_EXPLAIN_SESSION_H

#include "explain_log.h"

struct session_then {
    char id[72], environment[136]; /* of the request; id empty: it came by no session */
    char hosts[8192], mcp[4096];   /* with commas between them */
    char agent_file[1024];
    bool only_hosts, no_packages, no_mcp, only_mcp, deny_all;
    bool environment_denied, all_denied;
    bool cut; /* more was said of it than the log has */
};

/* What held when the request was recorded. ERR_NOT_FOUND: the log says nothing of this session. */
MUST_CHECK enum err session_then_find(const char *dir, const struct logged *logged, struct session_then *out);
/* *out is NULL where nothing was narrowed. ERR_CORRUPT: it cannot be had as it was. */
MUST_CHECK enum err session_then_narrowing(const struct session_then *then, struct narrowing **out);

/* One line of what it left. */
void session_then_describe(const struct session_then *then, struct outbuf *out);
/* The smallest act that would open what the session, or a deny-all, refused. */
void session_then_opening(const struct session_then *then, const struct policy *policy, const struct question *question,
                          struct outbuf *out);

#endif
