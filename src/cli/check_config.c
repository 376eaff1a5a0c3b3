/* SPDX-License-Identifier: Apache-2.0 */
/* check of a gateway's configuration: itself, each of its environments under what stands above them, and together. */
#include "check.h"

#include "daemon/daemon.h"

#include <stdlib.h>

static bool check_all(const struct check *c, const struct config *config, struct policy **policies, size_t *out_good)
{
    bool good = true;
    for (size_t i = 0; i < config->environment_count; i++) {
        const struct policy_sources *sources = &config->environments[i].sources;
        const char *file = sources->path != NULL ? sources->path : config->file;
        good &= check_environment(c, sources, file, config->file, &policies[i]);
        *out_good += policies[i] != NULL;
    }
    return good;
}

/* Whether they fit together can only be asked when all of them are there. */
static bool check_together(const struct config *config, struct policy *const *policies, size_t good, struct diag *diag)
{
    if (good != config->environment_count)
        return false;
    enum err err = daemon_check_config(config, policies, diag);
    if (err != ERR_NONE && diag->errors == 0)
        diag_add(diag, SEVERITY_ERROR, "failed", config->file, 0, 0, "loading failed: %s", err_text(err));
    return err == ERR_NONE;
}

static bool check_loaded(const struct check *c, const struct config *config, struct diag *diag,
                         struct check_report *report)
{
    struct policy **policies = calloc(config->environment_count + 1, sizeof(struct policy *));
    if (policies == NULL)
        abort();
    report->environments = config->environment_count;
    bool good = check_all(c, config, policies, &report->good);
    report->loads = check_together(config, policies, report->good, diag);
    for (size_t i = 0; i < config->environment_count; i++)
        policy_unref(policies[i]);
    free(policies);
    return good && report->loads;
}

bool check_config(const struct check *c, const char *file)
{
    struct config *config = NULL;
    struct diag diag;
    struct check_report report = {.file = file, .diag = &diag, .is_configuration = true};
    diag_init(&diag);
    enum err err = config_load(file, c->strict, &diag, &config);
    if (err != ERR_NONE && diag.errors == 0)
        diag_add(&diag, SEVERITY_ERROR, "failed", file, 0, 0, "loading failed: %s", err_text(err));
    bool good = err == ERR_NONE && check_loaded(c, config, &diag, &report);
    check_say(c, &report);
    good = good && (!c->strict || diag.lints == 0);
    config_free(config);
    diag_clear(&diag);
    return good;
}
