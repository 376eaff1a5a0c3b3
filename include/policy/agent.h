/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent: one agent definition and its roster, read for the MCP endpoints that they declare: what `session open --agent`
 * leaves of an environment's endpoints. The roster is what `multiagent.agents` (or `callable_agents`) names: a path
 * beside the file, or the id or name of a definition among the environment's own `egress.agents`. What is found nowhere
 * leaves nothing.
 */
#ifndef POLICY_AGENT_H
#define POLICY_AGENT_H

#include "policy/policy.h"

#define AGENT_ENDPOINTS_MAX 128
#define AGENT_FILES_MAX     32

struct agent;

struct agent_file {
    const char *path;
    struct span text;
};

/*
 * Opens files under the rules of policy_load(). ERR_INVALID and ERR_IO with findings in `diag`; a name of the roster
 * that is found nowhere is a lint.
 */
MUST_CHECK enum err agent_load(const char *path, bool strict, const struct policy *policy, struct diag *diag,
                               struct agent **out);
/* What the next four give lives as long as the agent. */
void agent_free(struct agent *agent); /* NULL is allowed */

struct span agent_name(const struct agent *agent); /* `name:` of the first file, or empty */
/* What was read, the definition first and then its roster. */
const struct agent_file *agent_files(const struct agent *agent, size_t *out_count);
/* Hosts and ports, none twice. */
const struct target *agent_endpoints(const struct agent *agent, size_t *out_count);

#endif
