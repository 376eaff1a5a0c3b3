/* SPDX-License-Identifier: Apache-2.0 */
/* Agent definitions: YAML, or Markdown with YAML in front. Only the MCP servers are read. */
#include "agent_file.h"

#include "tree.h"

/* The older form: tools: [{type: mcp, server_url: …}]. */
static void read_tools(const struct node *root, agent_url_fn *fn, void *arg)
{
    const struct node *tools = node_get(root, "tools");
    if (tools == NULL || tools->kind != NODE_LIST)
        return;
    for (struct node *tool = tools->first; tool != NULL; tool = tool->next) {
        const struct node *type = node_get(tool, "type");
        struct node *url = node_get(tool, "server_url");
        if (type != NULL && span_is(type->text, "mcp") && url != NULL)
            fn(arg, url);
    }
}

/* Servers of other types run inside the sandbox and need no egress. */
static void read_servers(const struct node *root, agent_url_fn *fn, void *arg)
{
    const struct node *servers = node_get(root, "mcp_servers");
    if (servers == NULL || servers->kind != NODE_LIST)
        return;
    for (struct node *server = servers->first; server != NULL; server = server->next) {
        const struct node *type = node_get(server, "type");
        struct node *url = node_get(server, "url");
        if (url != NULL && (type == NULL || span_is(type->text, "url")))
            fn(arg, url);
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

struct node *agent_tree(struct arena *trees, const char *path, struct span text, struct diag *diag, bool *out_memory)
{
    bool found = false, markdown = is_markdown(span_text(path));
    struct span yaml = markdown ? front_matter(text, &found) : text;
    struct node *root = NULL;
    if (markdown && !found) {
        struct finding *f = diag_add(diag, SEVERITY_ERROR, "agent", path, 1, 1, "the file has no front matter");
        diag_fix(f, "begin it with a line '---', the definition in YAML, and another line '---'");
        return NULL;
    }
    if (yaml_read(trees, path, yaml, found ? 2 : 1, diag, &root) == ERR_NO_MEMORY)
        *out_memory = true;
    return root;
}

void agent_urls(const struct node *root, agent_url_fn *fn, void *arg)
{
    read_servers(root, fn, arg);
    read_tools(root, fn, arg);
}
