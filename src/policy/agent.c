/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/agent.h"

#include "agent_file.h"
#include "file.h"
#include "inside.h"
#include "tree.h"

#include <limits.h>
#include <stdlib.h>

struct agent {
    struct arena arena; /* texts, paths and trees */
    struct span name;
    struct agent_file files[AGENT_FILES_MAX];
    size_t file_count;
    struct target endpoints[AGENT_ENDPOINTS_MAX];
    size_t endpoint_count;
};

struct agent_loader {
    struct agent *agent;
    const struct policy *policy;
    struct file_rules rules;
    struct diag *diag;
    const char *file; /* under way */
    const struct node *roots[AGENT_FILES_MAX];
    bool memory;
};

static void on_url(void *arg, struct node *url)
{
    struct agent_loader *l = arg;
    struct agent *agent = l->agent;
    struct target target;
    const char *flaw = mcp_url_parse(url->text, &target);
    for (size_t i = 0; flaw == NULL && i < agent->endpoint_count; i++)
        if (agent->endpoints[i].port == target.port && target_same_host(&agent->endpoints[i], &target))
            return;
    if (flaw == NULL && agent->endpoint_count == AGENT_ENDPOINTS_MAX)
        flaw = "an agent and its roster have at most 128 endpoints";
    if (flaw == NULL) {
        agent->endpoints[agent->endpoint_count++] = target;
        return;
    }
    struct finding *f = diag_add(l->diag, SEVERITY_ERROR, "mcp_url", l->file, url->line, url->column,
                                 "the URL of this MCP server is not usable: %s", flaw);
    diag_fix(f, "write for instance https://mcp.example.com/path");
}

static bool is_known(const struct agent_loader *l, const char *path)
{
    for (size_t i = 0; i < l->agent->file_count; i++)
        if (strcmp(l->agent->files[i].path, path) == 0)
            return true;
    return false;
}

/* Reads one file and keeps it. `from` and the place are of what names it. */
static const struct node *take(struct agent_loader *l, const char *path, const char *from, const struct node *at)
{
    struct agent *agent = l->agent;
    struct file_bytes bytes;
    if (is_known(l, path))
        return NULL;
    if (agent->file_count == AGENT_FILES_MAX) {
        diag_add(l->diag, SEVERITY_ERROR, "too_many", path, 0, 0, "an agent and its roster have at most %d files",
                 AGENT_FILES_MAX);
        return NULL;
    }
    if (file_read(path, &l->rules, l->diag, from, at != NULL ? at->line : 0, at != NULL ? at->column : 0, &bytes) !=
        ERR_NONE)
        return NULL;
    const char *kept = (const char *)arena_copy(&agent->arena, span_text(path)).data;
    struct span text = arena_copy(&agent->arena, span_make(bytes.data, bytes.len));
    free(bytes.data);
    if (kept == NULL || (text.data == NULL && bytes.len > 0))
        return NULL;
    const struct node *root = agent_tree(&agent->arena, kept, text, l->diag, &l->memory);
    if (root == NULL)
        return NULL;
    l->roots[agent->file_count] = root;
    agent->files[agent->file_count++] = (struct agent_file){.path = kept, .text = text};
    l->file = kept;
    agent_urls(root, on_url, l);
    return root;
}

static bool ends_like_a_file(struct span text)
{
    static const char *const ends[] = {".md", ".yaml", ".yml", ".json"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t len = strlen(ends[i]);
        if (text.len > len && span_equal_fold(span_from(text, text.len - len), span_text(ends[i])))
            return true;
    }
    return false;
}

static bool is_called(const struct node *root, struct span wanted)
{
    const struct node *id = node_get(root, "id"), *name = node_get(root, "name");
    return (id != NULL && span_equal(id->text, wanted)) || (name != NULL && span_equal(name->text, wanted));
}

/* Looks into a definition for its id and name without keeping it: findings about a stranger are not ours. */
static bool file_is_called(struct agent_loader *l, const char *path, struct span wanted)
{
    struct diag quiet;
    struct arena trees = {0};
    struct file_bytes bytes;
    bool yes = false;
    diag_init(&quiet);
    if (file_read(path, &l->rules, &quiet, NULL, 0, 0, &bytes) == ERR_NONE) {
        const struct node *root = agent_tree(&trees, path, span_make(bytes.data, bytes.len), &quiet, &l->memory);
        yes = root != NULL && is_called(root, wanted);
        free(bytes.data);
    }
    arena_clear(&trees);
    diag_clear(&quiet);
    return yes;
}

static void take_called(struct agent_loader *l, const char *from, const struct node *item, struct span wanted)
{
    size_t count = 0;
    const struct policy_file *files = l->policy != NULL ? policy_files(l->policy, &count) : NULL;
    for (size_t i = 0; i < l->agent->file_count; i++)
        if (is_called(l->roots[i], wanted))
            return;
    for (size_t i = 0; i < count; i++) {
        if (!files[i].on_demand || !file_is_called(l, files[i].path, wanted))
            continue;
        take(l, files[i].path, from, item);
        return;
    }
    struct finding *f =
        diag_add(l->diag, SEVERITY_LINT, "roster", from, item->line, item->column,
                 "no definition among egress.agents has the id or name '%.*s': its endpoints stay closed",
                 (int)(wanted.len < 100 ? wanted.len : 100), (const char *)wanted.data);
    diag_fix(f, "name its file here, or list it in egress.agents");
}

/* An entry is a word, or a map with a file, an id or a name; {type: self} is the agent that says it. */
static void take_entry(struct agent_loader *l, const char *from, const struct node *item)
{
    static const char *const keys[] = {"file", "path", "id", "name"};
    char path[PATH_MAX];
    struct span word = item->kind == NODE_SCALAR ? item->text : span_make(NULL, 0);
    for (size_t i = 0; item->kind == NODE_MAP && i < sizeof keys / sizeof keys[0] && word.len == 0; i++) {
        const struct node *node = node_get(item, keys[i]);
        if (node != NULL && node->kind == NODE_SCALAR)
            word = node->text;
    }
    if (word.len == 0)
        return;
    if (!ends_like_a_file(word))
        take_called(l, from, item, word);
    else if (file_beside(from, word, path, sizeof path) == ERR_NONE)
        take(l, path, from, item);
}

static void take_roster(struct agent_loader *l, const struct node *root, const char *from)
{
    const struct node *const lists[] = {node_get(node_get(root, "multiagent"), "agents"),
                                        node_get(root, "callable_agents")};
    for (size_t i = 0; i < 2; i++)
        for (const struct node *item = lists[i] != NULL ? lists[i]->first : NULL; item != NULL; item = item->next)
            take_entry(l, from, item);
}

enum err agent_load(const char *path, bool strict, const struct policy *policy, struct diag *diag, struct agent **out)
{
    struct agent *agent = calloc(1, sizeof *agent);
    if (agent == NULL)
        return ERR_NO_MEMORY;
    size_t errors = diag->errors;
    struct agent_loader l = {
        .agent = agent, .policy = policy, .rules = {.max_bytes = YAML_BYTES_MAX, .strict = strict},
                .diag = diag
    };
    const struct node *root = take(&l, path, NULL, NULL);
    const struct node *name = node_get(root, "name");
    if (name != NULL)
        agent->name = name->text;
    /* Whom a member of the roster may call in turn is not this agent's roster. */
    if (root != NULL)
        take_roster(&l, root, agent->files[0].path);
    enum err err = l.memory || agent->arena.failed ? ERR_NO_MEMORY : diag->errors != errors ? ERR_INVALID : ERR_NONE;
    if (err == ERR_NONE)
        *out = agent;
    else
        agent_free(agent);
    return err;
}

void agent_free(struct agent *agent)
{
    if (agent == NULL)
        return;
    arena_clear(&agent->arena);
    free(agent);
}

struct span agent_name(const struct agent *agent)
{
    return agent->name;
}

const struct agent_file *agent_files(const struct agent *agent, size_t *out_count)
{
    *out_count = agent->file_count;
    return agent->files;
}

const struct target *agent_endpoints(const struct agent *agent, size_t *out_count)
{
    *out_count = agent->endpoint_count;
    return agent->endpoints;
}
