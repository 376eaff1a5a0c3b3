/* SPDX-License-Identifier: Apache-2.0 */
/* List files: one name or `*.` pattern a line. A million lines are read once and copied once. */
#include "loader.h"

#include <limits.h>
#include <stdlib.h>

struct list_reader {
    struct loader *l;
    const char *path;
    enum name_kind kind;
    unsigned flags;
    uint16_t index;
    uint32_t line;
    uint32_t names;
};

static struct span trim_cr(struct span line)
{
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    return line;
}

static void read_line(struct list_reader *r, struct span line)
{
    struct host_text host;
    const char *fix = NULL;
    if (line.len == 0 || line.data[0] == '#')
        return;
    const char *flaw = host_flaw(line, r->l->builtin, r->flags, &host, &fix);
    if (flaw != NULL) {
        struct finding *f = diag_add(r->l->diag, SEVERITY_ERROR, "list_line", r->path, r->line, 1, "'%.*s': %s",
                                     (int)(line.len < 200 ? line.len : 200), (const char *)line.data, flaw);
        diag_fix(f, "%s", fix != NULL ? fix : "one name or *. pattern a line");
        return;
    }
    enum err err =
        names_add(&r->l->policy->names, r->kind, host.kind == HOST_WILD, hostname_span(&host.name), r->line, r->index);
    r->l->memory |= err != ERR_NONE;
    r->names++;
}

static size_t count_lines(struct span text)
{
    size_t lines = 1;
    for (const uint8_t *at = text.data, *end = text.data + text.len; at < end; lines++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (at == NULL)
            break;
        at++;
    }
    return lines;
}

static void read_lines(struct list_reader *r, struct span text)
{
    if (names_reserve(&r->l->policy->names, count_lines(text), text.len) != ERR_NONE) {
        r->l->memory = true;
        return;
    }
    while (text.len > 0 && !r->l->memory) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.data);
        r->line++;
        read_line(r, trim_cr(span_first(text, len)));
        text = span_from(text, len + 1);
    }
}

static void load_list(struct loader *l, struct node *node, enum name_kind kind, struct list_file *out, uint16_t index)
{
    char path[PATH_MAX];
    struct file_bytes bytes;
    out->place = load_place(l, node);
    out->path = "";
    if (file_beside(l->file, node->text, path, sizeof path) != ERR_NONE) {
        load_error(l, node, "path", "the path is empty or too long");
        return;
    }
    struct span kept = arena_copy(&l->policy->arena, span_text(path));
    if (kept.data == NULL || load_file_open(l, path, LIST_FILE_BYTES_MAX, node, &bytes) != ERR_NONE)
        return;
    out->path = (const char *)kept.data;
    struct span hash = load_file_read(l, out->path, "list", &bytes.mark, span_make(bytes.data, bytes.len));
    load_source(l, kind == NAME_FILE ? "allowed_host_file" : "blocklist", hash);
    struct list_reader r = {
        .l = l, .path = out->path, .kind = kind, .index = index, .flags = kind == NAME_FILE ? HOST_ALLOWS : 0};
    read_lines(&r, span_make(bytes.data, bytes.len));
    free(bytes.data);
    out->names = r.names;
}

#define FILES_MAX 256

/* Fills an array of one element a path; gives how many. */
static uint32_t load_all(struct loader *l, const char *key, enum name_kind kind, struct list_file **out)
{
    struct node *list = node_get(l->egress, key);
    if (list == NULL)
        return 0;
    if (list->count > FILES_MAX) {
        load_error(l, list, "too_many", "%s names more than %d files", key, FILES_MAX);
        return 0;
    }
    struct list_file *files = arena_array(&l->policy->arena, list->count, sizeof *files);
    uint32_t count = 0;
    for (struct node *item = list->first; files != NULL && item != NULL; item = item->next, count++) {
        files[count].path = "";
        if (!item->bad)
            load_list(l, item, kind, &files[count], (uint16_t)count);
    }
    *out = files;
    return files == NULL ? 0 : count;
}

void load_lists(struct loader *l)
{
    struct policy *p = l->policy;
    struct node *allowed = node_get(l->egress, "allowed_host_files");
    if (allowed != NULL && !p->limited) {
        struct finding *f = load_error(l, allowed, "unrestricted",
                                       "allowed_host_files has no meaning in an "
                                       "unrestricted environment");
        diag_fix(f, "remove it, or set config.networking.type: limited");
    } else {
        p->allow_files.count = load_all(l, "allowed_host_files", NAME_FILE, &p->allow_files.at);
    }
    p->block_files.count = load_all(l, "blocklist", NAME_BLOCKLIST, &p->block_files.at);
}
