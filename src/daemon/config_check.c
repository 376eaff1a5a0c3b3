/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration contradicts itself in, once its environments are loaded: the same for a start and for check. */
#include "daemon/daemon.h"

#include "reload.h"
#include "roster.h"

#include <stdlib.h>

static bool clash(struct policy *a, struct policy *b)
{
    struct policy *const pair[] = {a, b};
    struct book *book = NULL;
    enum err err = book_make(pair, 2, 1, &book);
    book_unref(book);
    return err == ERR_EXISTS;
}

void load_say_clash(struct diag *diag, const struct config *config, struct policy *const *policies)
{
    for (size_t i = 0; i < config->environment_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (!clash(policies[i], policies[j]))
                continue;
            struct span a = policy_name(policies[j]), b = policy_name(policies[i]);
            struct finding *f = diag_add(
                diag, SEVERITY_ERROR, "duplicate", config->file, config->environments[i].line,
                config->environments[i].column, "the environments '%.*s' (line %u) and '%.*s' share a name or an id",
                (int)a.len, (const char *)a.data, config->environments[j].line, (int)b.len, (const char *)b.data);
            diag_fix(f, "each environment has a name and environment_ids of its own");
            return;
        }
    }
}

enum err daemon_check_config(const struct config *config, struct policy *const *policies, struct diag *diag)
{
    struct book *book = NULL;
    struct roster *roster = NULL;
    enum err err = book_make(policies, config->environment_count, 1, &book);
    if (err == ERR_EXISTS) {
        load_say_clash(diag, config, policies);
        return ERR_INVALID;
    }
    struct tenant **nobody = calloc(config->environment_count + 1, sizeof(struct tenant *));
    if (err == ERR_NONE)
        err = nobody == NULL ? ERR_NO_MEMORY : roster_new(config, config, book, nobody, diag, &roster);
    roster_free(roster);
    free(nobody);
    book_unref(book);
    return err;
}
