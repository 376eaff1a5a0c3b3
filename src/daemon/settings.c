/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: a file, or the command line, where there is one environment and every listener is its. */
#include "internal.h"

#include <stdlib.h>

struct settings {
    struct config config;
    struct config_listener listeners[DAEMON_LISTEN_MAX];
    struct config_server dns[DAEMON_DNS_MAX];
    struct config_environment environment;
};

static void fill_listeners(struct settings *s, const struct daemon_options *options)
{
    s->listeners[0] = (struct config_listener){
        .addr = {.family = 4, .bytes = {127, 0, 0, 1}},
          .port = 3128
    };
    for (size_t i = 0; i < options->listen_count; i++)
        s->listeners[i] = (struct config_listener){
            .is_unix = options->listen[i].is_unix,
            .addr = options->listen[i].addr,
            .port = options->listen[i].port,
            .path = options->listen[i].path,
            .mode = options->listen[i].mode != 0 ? options->listen[i].mode : 0660,
            .owner = options->listen[i].owner,
            .group = options->listen[i].group,
        };
    s->config.listeners = s->listeners;
    s->config.listener_count = options->listen_count == 0 ? 1 : options->listen_count;
}

static enum err from_options(const struct daemon_options *options, struct config **out)
{
    struct settings *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->config = (struct config){
        .environments = &s->environment,
        .environment_count = 1,
        .dns = s->dns,
        .dns_count = options->dns_count,
        .audit_dir = options->audit_dir,
        .signer_dir = options->signer_dir,
        .privacy_dir = options->privacy_dir,
        .admin_path = options->admin_path,
        .user = options->user,
        .audit = {.unsigned_ms = CONFIG_AUDIT_UNSIGNED_MS,
                  .traffic_ms = CONFIG_AUDIT_TRAFFIC_MS,
                  .traffic_bytes = CONFIG_AUDIT_TRAFFIC_BYTES},
        .workers = options->workers,
        .drain_ms = options->drain_ms,
        .strict_files = options->strict_files,
    };
    limits_default(&s->config.limits);
    s->environment.sources = (struct policy_sources){
        .path = options->policy_path,
        .egress_path = options->egress_path,
        .catalogue_path = options->catalogue_path,
        .strict_files = options->strict_files,
    };
    for (size_t i = 0; i < options->dns_count; i++)
        s->dns[i] = (struct config_server){.addr = options->dns[i].addr, .port = options->dns[i].port};
    fill_listeners(s, options);
    *out = &s->config;
    return ERR_NONE;
}

enum err settings_load(const struct daemon_options *options, struct diag *diag, struct config **out)
{
    return options->config_path != NULL ? config_load(options->config_path, options->strict_files, diag, out)
                                        : from_options(options, out);
}

void settings_free(struct config *config)
{
    if (config != NULL && config->memory != NULL)
        config_free(config);
    else
        free(config); /* the first member of what from_options() made */
}
