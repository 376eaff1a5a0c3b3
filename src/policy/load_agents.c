/* SPDX-License-Identifier: Apache-2.0 */
/* Agent definitions: YAML, or Markdown with YAML in front. Only the MCP servers are read. */
#include "loader.h"

#include "tree.h"

#include <limits.h>
#include <stdlib.h>

/* The older form: tools: [{type: mcp, server_url: …}]. */
static void read_tools(struct loader *l, const struct node *root, const char *file)
{
    const struct node *tools = node_get(root, "tools");
    if (tools == NULL || tools->kind != NODE_LIST)
        return;
    for (struct node *tool = tools->first; tool != NULL; tool = tool->next) {
        const struct node *type = node_get(tool, "type");
        struct node *url = node_get(tool, "server_url");
        if (type != NULL && span_is(type->text, "mcp") && url != NULL)
            load_endpoint(l, url, file);
    }
}

/* Servers of other types run inside the sandbox and need no egress. */
static void read_servers(struct loader *l, const struct node *root, const char *file)
{
    const struct node *servers = node_get(root, "mcp_servers");
    if (servers == NULL || servers->kind != NODE_LIST)
        return;
    for (struct node *server = servers->first; server != NULL; server = server->next) {
        const struct node *type = node_get(server, "type");
        struct node *url = node_get(server, "url");
        if (url != NULL && (type == NULL || span_is(type->text, "url")))
            load_endpoint(l, url, file);
    }
}

static bool is_fence(struct span line)
{
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    return span_is(line, "---");
}

/* The lines between the two fences of a Markdown file; the file itself if it does not begin with one. */
static struct span front_matter(struct span text, bool *out_found)
{
    size_t first = span_find(text, '\n');
    *out_found = is_fence(span_first(text, first));
    if (!*out_found)
        return text;
    struct span rest = span_from(text, first + 1);
    for (size_t at = 0; at < rest.len;) {
        struct span line = span_from(rest, at);
        size_t end = span_find(line, '\n');
        if (is_fence(span_first(line, end)))
            return span_first(rest, at);
        at += end + 1;
    }
    *out_found = false;
    return text;
}

static bool is_markdown(struct span path)
{
    return path.len > 3 && span_equal_fold(span_from(path, path.len - 3), span_text(".md"));
}

static void read_agent(struct loader *l, struct node *node, const char *path, struct span text)
{
    bool found = false;
    struct span yaml = is_markdown(node->text) ? front_matter(text, &found) : text;
    if (is_markdown(node->text) && !found) {
        struct finding *f = diag_add(l->diag, SEVERITY_ERROR, "agent", path, 1, 1, "the file has no front matter");
        diag_fix(f, "begin it with a line '---', the definition in YAML, and another line '---'");
        return;
    }
    struct node *root = NULL;
    if (yaml_read(&l->trees, path, yaml, found ? 2 : 1, l->diag, &root) == ERR_NO_MEMORY)
        l->memory = true;
    if (root == NULL)
        return;
    read_servers(l, root, path);
    read_tools(l, root, path);
}

static void load_agent(struct loader *l, struct node *node)
{
    char path[PATH_MAX];
    const struct file_rules rules = {.max_bytes = YAML_BYTES_MAX, .strict = l->strict_files};
    struct file_bytes bytes;
    if (file_beside(l->file, node->text, path, sizeof path) != ERR_NONE) {
        load_error(l, node, "path", "the path is empty or too long");
        return;
    }
    struct span kept = arena_copy(&l->policy->arena, span_text(path));
    if (kept.data == NULL || file_read(path, &rules, l->diag, l->file, node->line, node->column, &bytes) != ERR_NONE)
        return;
    load_file_read(l, (const char *)kept.data, true, &bytes.mark);
    load_source(l, "agent", span_make(bytes.data, bytes.len));
    read_agent(l, node, (const char *)kept.data, span_make(bytes.data, bytes.len));
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
