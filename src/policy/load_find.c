/* SPDX-License-Identifier: Apache-2.0 */
/* What a load finds, and where. */
#include "loader.h"

#include <stdarg.h>
#include <stdio.h>

static struct finding *find(struct loader *l, enum severity severity, const char *code, const char *file,
                            const uint32_t at[static 2], const char *format, va_list args)
    __attribute__((format(printf, 6, 0)));
static struct finding *find(struct loader *l, enum severity severity, const char *code, const char *file,
                            const uint32_t at[static 2], const char *format, va_list args)
{
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    return diag_add(l->diag, severity, code, file, at[0], at[1], "%s", text);
}

struct finding *load_error(struct loader *l, struct node *node, const char *code, const char *message, ...)
{
    const uint32_t at[2] = {node->line, node->column};
    node->bad = true;
    va_list args;
    va_start(args, message);
    struct finding *f = find(l, SEVERITY_ERROR, code, l->file, at, message, args);
    va_end(args);
    return f;
}

struct finding *load_lint(struct loader *l, const struct node *node, const char *code, const char *message, ...)
{
    const uint32_t at[2] = {node->line, node->column};
    va_list args;
    va_start(args, message);
    struct finding *f = find(l, SEVERITY_LINT, code, l->file, at, message, args);
    va_end(args);
    return f;
}

struct finding *error_at(struct loader *l, const struct place *place, const char *code, const char *message, ...)
{
    const uint32_t at[2] = {place->line, place->column};
    va_list args;
    va_start(args, message);
    struct finding *f = find(l, SEVERITY_ERROR, code, place->file, at, message, args);
    va_end(args);
    return f;
}

struct finding *lint_at(struct loader *l, const struct place *place, const char *code, const char *message, ...)
{
    const uint32_t at[2] = {place->line, place->column};
    va_list args;
    va_start(args, message);
    struct finding *f =
        find(l, SEVERITY_LINT, code, place->file == NULL ? l->env_file : place->file, at, message, args);
    va_end(args);
    return f;
}

struct place load_place(struct loader *l, const struct node *node)
{
    return (struct place){
        .file = l->file,
        .line = node->line,
        .column = node->column,
        .text = arena_copy(&l->policy->arena, node->text),
    };
}
