/* SPDX-License-Identifier: Apache-2.0 */
#include "policy_then.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists, agents, the catalogue ---- */

struct gathering {
    const char *dir;
    uint64_t generation; /* files of this load alone; 0: of every load */
    struct policy_texts *t;
    enum err err;
};

/* One path may stand in several loads of one policy: the last counts, though its text can be no other. */
static struct policy_then *slot_of(struct policy_texts *t, const char *path)
{
    for (size_t i = 0; i < t->then_count; i++)
        if (strcmp(t->then[i].path, path) == 0)
            return &t->then[i];
    struct policy_then *more = realloc(t->then, (t->then_count + 1) * sizeof *more);
    if (more == NULL)
        return NULL;
    t->then = more;
    more[t->then_count] = (struct policy_then){.path = strdup(path)};
    return more[t->then_count].path == NULL ? NULL : &more[t->then_count++];
}

/* A text that was not kept is left out: the load says which one it misses, if it needs it. */
static bool take_file(void *arg, const struct policy_file_entry *file)
{
    struct gathering *g = arg;
    struct policy_then *slot;
    char *text = NULL;
    size_t len = 0;
    if (g->generation != 0 && g->generation != file->generation)
        return true;
    if (file->blob[0] == '\0' || policy_log_text(g->dir, file->blob, &text, &len) != ERR_NONE)
        return true;
    slot = slot_of(g->t, file->file);
    if (slot == NULL) {
        free(text);
        g->err = ERR_NO_MEMORY;
        return false;
    }
    free((void *)(uintptr_t)slot->text.data);
    slot->text = span_make(text, len);
    if (strcmp(file->kind, "catalogue") == 0)
        g->t->sources.catalogue_path = slot->path;
    return true;
}

/* Those of a policy, whose id says what they were, or of one load's ceiling, of which the configuration's does not. */
static enum err gather_files(const char *dir, const char *id, uint64_t generation, struct policy_texts *t)
{
    static const struct policy_then none;
    struct gathering g = {.dir = dir, .generation = generation, .t = t};
    enum err err = policy_log_files(dir, id, take_file, &g);
    t->sources.then = t->then_count > 0 ? t->then : &none;
    t->sources.then_count = t->then_count;
    return err != ERR_NONE ? err : g.err;
}

/* ---- what stood above it ---- */

struct looking {
    const struct policy_entry *entry;
    bool passed;
    char text[65]; /* of the configuration; empty: there was none */
};

/* The configuration's entry follows those of its environments, of one load and without another between them. */
static bool look(void *arg, const struct policy_entry *entry)
{
    struct looking *l = arg;
    if (entry->index <= l->entry->index) {
        l->passed = entry->index == l->entry->index;
        return true;
    }
    bool same_load = l->passed && entry->generation == l->entry->generation &&
                     strcmp(entry->event, "policy_refused") != 0 &&
                     strcmp(entry->environment, l->entry->environment) != 0;
    if (same_load && entry->environment[0] == '\0')
        memcpy(l->text, entry->text, sizeof l->text);
    return same_load && entry->environment[0] != '\0';
}

static enum err take_above(const char *dir, struct policy_texts *t, struct diag *diag)
{
    struct looking l = {.entry = &t->entry};
    size_t len = 0;
    enum err err = policy_log_each(dir, look, &l);
    if (err != ERR_NONE || l.text[0] == '\0')
        return err;
    err = policy_log_text(dir, l.text, &t->config_text, &len);
    if (err == ERR_NONE)
        err = gather_files(dir, l.text, t->entry.generation, t);
    if (err == ERR_NONE)
        err = config_load_then(t->entry.file, span_make(t->config_text, len), t->sources.then, t->sources.then_count,
                               diag, &t->config);
    if (err == ERR_NONE)
        t->sources.above = &t->config->above;
    return err;
}

/* ---- the whole ---- */

static enum err take_texts(const char *dir, struct policy_texts *t)
{
    const struct policy_entry *e = &t->entry;
    size_t lens[2] = {0, 0};
    enum err err = policy_log_text(dir, e->text, &t->texts[0], &lens[0]);
    if (err == ERR_NONE && e->egress_text[0] != '\0')
        err = policy_log_text(dir, e->egress_text, &t->texts[1], &lens[1]);
    if (err != ERR_NONE)
        return err;
    uint32_t line = e->line > 0 && e->line < UINT32_MAX ? (uint32_t)e->line : 1;
    uint32_t egress_line = e->egress_line > 0 && e->egress_line < UINT32_MAX ? (uint32_t)e->egress_line : 1;
    const char *egress_file = e->egress_file[0] != '\0' ? e->egress_file : e->file;
    t->environment = (struct policy_text){e->file, span_make(t->texts[0], lens[0]), line};
    t->egress = (struct policy_text){egress_file, span_make(t->texts[1], lens[1]), egress_line};
    t->sources = (struct policy_sources){
        .path = e->file, .text = &t->environment, .egress_text = t->texts[1] != NULL ? &t->egress : NULL};
    return ERR_NONE;
}

enum err policy_then_load(const char *dir, const struct policy_entry *entry, struct diag *diag, struct policy_texts *t,
                          struct policy **out)
{
    *t = (struct policy_texts){.entry = *entry};
    enum err err = take_texts(dir, t);
    if (err == ERR_NONE)
        err = gather_files(dir, entry->id, 0, t);
    if (err == ERR_NONE)
        err = take_above(dir, t, diag);
    if (err != ERR_NONE)
        return err;
    struct policy_sources sources = t->sources;
    sources.unasked = true; /* it was in force: its tests and its ceiling had their say */
    return policy_load(&sources, diag, out);
}

enum err policy_then_catalogue(const struct policy_texts *t, struct diag *diag, struct catalogue **out)
{
    const char *path = t->sources.catalogue_path;
    for (size_t i = 0; path != NULL && i < t->then_count; i++)
        if (t->then[i].path == path)
            return catalogue_load_text(path, t->then[i].text, diag, out);
    return catalogue_load(NULL, false, diag, out);
}

void policy_texts_free(struct policy_texts *t)
{
    for (size_t i = 0; i < t->then_count; i++) {
        free((void *)(uintptr_t)t->then[i].path);
        free((void *)(uintptr_t)t->then[i].text.data);
    }
    free(t->then);
    free(t->texts[0]);
    free(t->texts[1]);
    config_free(t->config);
    free(t->config_text);
    *t = (struct policy_texts){0};
}
