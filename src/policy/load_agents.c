/* SPDX-License-Identifier: Apache-2.0 */
/* egress.agents: definitions that are read for their MCP servers. */
#include "agent_file.h"
#include "loader.h"
#include "tree.h"

#include <limits.h>
#include <stdlib.h>

struct reading {
    struct loader *loader;
    const char *path;
};

static void on_url(void *arg, struct node *url)
{
    const struct reading *reading = arg;
    load_endpoint(reading->loader, url, reading->path);
}

static void load_agent(struct loader *l, struct node *node)
{
    char path[PATH_MAX];
    struct file_bytes bytes;
    if (file_beside(l->file, node->text, path, sizeof path) != ERR_NONE) {
        load_error(l, node, "path", "the path is empty or too long");
        return;
    }
    struct span kept = arena_copy(&l->policy->arena, span_text(path));
    if (kept.data == NULL || load_file_open(l, path, YAML_BYTES_MAX, node, &bytes) != ERR_NONE)
        return;
    struct span hash =
        load_file_read(l, (const char *)kept.data, "agent", &bytes.mark, span_make(bytes.data, bytes.len));
    load_source(l, "agent", hash);
    struct reading reading = {.loader = l, .path = (const char *)kept.data};
    const struct node *root =
        agent_tree(&l->trees, reading.path, span_make(bytes.data, bytes.len), l->diag, &l->memory);
    if (root != NULL)
        agent_urls(root, on_url, &reading);
    free(bytes.data);
}

#define AGENTS_MAX 256

void load_agents(struct loader *l, struct node *list)
{
    if (list->count > AGENTS_MAX) {
        load_error(l, list, "too_many", "agents names more than %d files", AGENTS_MAX);
        return;
    }
    l->endpoint_list = "egress.agents";
    l->endpoint_number = 0;
    for (struct node *item = list->first; item != NULL; item = item->next, l->endpoint_number++)
        if (!item->bad)
            load_agent(l, item);
}
