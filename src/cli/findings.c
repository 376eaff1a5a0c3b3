/* SPDX-License-Identifier: Apache-2.0 */
#include "findings.h"

#include "base/assert.h"

static const char *const severities[] = {"error", "lint"};

void findings_print(const struct diag *diag, FILE *out)
{
    for (size_t i = 0; i < diag->count; i++) {
        const struct finding *f = &diag->items[i];
        if (f->line == 0)
            fprintf(out, "%s: ", f->file);
        else
            fprintf(out, "%s:%u:%u: ", f->file, f->line, f->column);
        fprintf(out, "%s: %s [%s]\n", severities[f->severity], f->message, f->code);
        if (f->fix[0] != '\0')
            fprintf(out, "    fix: %s\n", f->fix);
    }
    size_t dropped = diag->errors + diag->lints - diag->count;
    if (dropped > 0)
        fprintf(out, "%zu more are not shown\n", dropped);
}

void findings_json(const struct diag *diag, struct json *json)
{
    for (size_t i = 0; i < diag->count; i++) {
        const struct finding *f = &diag->items[i];
        json_open(json, '{');
        json_key_text(json, "severity", severities[f->severity]);
        json_key_text(json, "code", f->code);
        json_key_text(json, "file", f->file);
        json_key_u64(json, "line", f->line);
        json_key_u64(json, "column", f->column);
        json_key_text(json, "message", f->message);
        json_key_text(json, "fix", f->fix);
        json_close(json, '}');
    }
}

void json_flush(struct json *json, FILE *out)
{
    ASSERT(!json->out->overflow);
    fwrite(json->out->data, 1, json->out->len, out);
    json->out->len = 0;
}
