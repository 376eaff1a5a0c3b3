/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the lines of a change into the tree of a policy that is about to be compiled. */
#include "policy/change.h"

#include "base/outbuf.h"
#include "loader.h"

static struct node *new_node(struct loader *l, enum node_kind kind, struct span text)
{
    struct node *node = arena_take(&l->trees, sizeof *node);
    if (node == NULL)
        return NULL;
    node->kind = kind;
    node->text = arena_copy(&l->trees, text);
    node->plain = true;
    return node;
}

static void append(struct node *parent, struct node *child)
{
    if (parent == NULL || child == NULL)
        return;
    if (parent->last != NULL)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

/* The value of a key, made if there is none; `fresh` empties one that is there. */
static struct node *value_of(struct loader *l, struct node *map, const char *key, enum node_kind kind, bool fresh)
{
    struct node *node = node_get(map, key);
    if (map == NULL)
        return NULL;
    if (node == NULL) {
        node = new_node(l, kind, span_make(NULL, 0));
        if (node == NULL)
            return NULL;
        node->key = span_text(key);
        append(map, node);
    }
    if (fresh) {
        node->kind = kind;
        node->first = node->last = NULL;
        node->count = 0;
    }
    return node;
}

static void set_word(struct loader *l, struct node *map, const char *key, const char *word)
{
    struct node *node = value_of(l, map, key, NODE_SCALAR, true);
    if (node != NULL)
        node->text = span_text(word);
}

static void add_word(struct loader *l, struct node *list, struct span word)
{
    append(list, new_node(l, NODE_SCALAR, word));
}

static void set_ports(struct loader *l, struct node *map, const char *key, const struct policy_change *change)
{
    struct node *list = value_of(l, map, key, NODE_LIST, true);
    for (size_t i = 0; i < change->port_count; i++) {
        char text[8];
        struct outbuf o = outbuf_make(text, sizeof text);
        outbuf_u64(&o, change->ports[i]);
        add_word(l, list, outbuf_written(&o));
    }
}

static void set_methods(struct loader *l, struct node *map, uint32_t methods)
{
    struct node *list = value_of(l, map, "methods", NODE_LIST, true);
    for (unsigned i = 0; i < 32; i++)
        if ((methods >> i & 1) != 0)
            add_word(l, list, span_text(method_name((enum method)i)));
}

static struct node *entry_of(struct loader *l, const struct policy_change *change)
{
    struct node *list = value_of(l, l->egress, "hosts", NODE_LIST, false);
    if (change->entry == CHANGE_NEW_ENTRY) {
        struct node *map = new_node(l, NODE_MAP, span_make(NULL, 0));
        append(list, map);
        struct node *host = value_of(l, map, "host", NODE_SCALAR, true);
        if (host != NULL)
            host->text = arena_copy(&l->trees, span_text(change->host));
        return map;
    }
    struct node *map = list == NULL ? NULL : list->first;
    for (uint32_t i = 0; map != NULL && i < change->entry; i++)
        map = map->next;
    return map;
}

static void change_entry(struct loader *l, const struct policy_change *change)
{
    struct node *map = entry_of(l, change);
    if (change->sets_ports)
        set_ports(l, map, "ports", change);
    if (change->address[0] != '\0')
        add_word(l, value_of(l, map, "addresses", NODE_LIST, false), span_text(change->address));
    if (change->methods != 0)
        set_methods(l, map, change->methods);
    if (change->tls_key != NULL)
        set_word(l, value_of(l, map, "tls", NODE_MAP, false), change->tls_key, change->tls_word);
}

void load_change(struct loader *l, const struct policy_change *change)
{
    if (l->networking == NULL)
        return;
    if (l->egress == NULL)
        l->egress = new_node(l, NODE_MAP, span_make(NULL, 0));
    switch (change->kind) {
    case CHANGE_NONE:
        return;
    case CHANGE_MCP_TOGGLE:
        set_word(l, l->networking, "allow_mcp_servers", "true");
        return;
    case CHANGE_ALLOWED_HOST:
        add_word(l, value_of(l, l->networking, "allowed_hosts", NODE_LIST, false), span_text(change->host));
        return;
    case CHANGE_ENTRY:
        change_entry(l, change);
        return;
    case CHANGE_BLOCKED_PORTS:
        set_ports(l, l->egress, "blocked_ports", change);
        set_word(l, l->egress, "blocked_ports_replace", "true");
        return;
    }
}
