/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_config.h"

#include <stdio.h>
#include <string.h>

static void repeat(struct diag *diag, const struct finding *f)
{
    if (f->severity == SEVERITY_ERROR)
        diag_fix(diag_add(diag, f->severity, f->code, f->file, f->line, f->column, "%s", f->message), "%s", f->fix);
}

enum err explain_config(const char *path, const char *name, struct diag *diag, struct config **out_config,
                        const struct policy_sources **out_sources, struct policy **out)
{
    enum err err = config_load(path, false, diag, out_config);
    const struct config *config = *out_config;
    for (size_t i = 0; err == ERR_NONE && i < config->environment_count; i++) {
        const struct policy_sources *sources = &config->environments[i].sources;
        struct policy *policy = NULL;
        struct diag own;
        diag_init(&own);
        err = policy_load(sources, &own, &policy);
        bool wanted =
            policy != NULL && (name == NULL ? config->environment_count == 1 : span_is(policy_name(policy), name));
        for (size_t f = 0; err != ERR_NONE && f < own.count; f++)
            repeat(diag, &own.items[f]);
        diag_clear(&own);
        if (wanted) {
            *out_sources = sources;
            *out = policy;
            return ERR_NONE;
        }
        policy_unref(policy);
    }
    if (err == ERR_NONE) {
        diag_fix(diag_add(diag, SEVERITY_ERROR, "unknown_environment", path, 0, 0, "there is no environment '%s'",
                          name != NULL ? name : ""),
                 "name one with --environment NAME; check lists them");
        err = ERR_NOT_FOUND;
    }
    return err;
}
