/* SPDX-License-Identifier: Apache-2.0 */
/* agent_file: an agent definition as a tree, and the URLs of its MCP servers. */
#ifndef POLICY_AGENT_FILE_H
#define POLICY_AGENT_FILE_H

#include "node.h"
#include "policy/diag.h"
#include "policy/policy.h"

/* YAML, or the YAML in front of a Markdown file; `path` says which. NULL with findings. Sets *out_memory without
 * memory. */
struct node *agent_tree(struct arena *trees, const char *path, struct span text, struct diag *diag, bool *out_memory);

typedef void agent_url_fn(void *arg, struct node *url);
void agent_urls(const struct node *root, agent_url_fn *fn, void *arg);

/* Host and port of an MCP server's URL: NULL, or what is wrong with it. */
const char *mcp_url_parse(struct span url, struct target *out);

#endif
