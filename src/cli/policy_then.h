/* SPDX-License-Identifier: Apache-2.0 */
/* policy_then: a policy as it was once, from what an audit log says of it and the texts beside that log: no file of
 * today is opened for it. */
#ifndef CLI_POLICY_THEN_H
#define CLI_POLICY_THEN_H

#include "policy/catalogue.h"
#include "policy/config.h"
#include "policy_log.h"

struct policy_texts {
    char *texts[2]; /* heap: the environment's, and that of its egress block */
    struct policy_entry entry;
    struct policy_text environment, egress;
    struct policy_then *then; /* heap, with its paths and texts: lists, agent definitions, the catalogue */
    size_t then_count;
    char *config_text; /* heap */
    struct config *config;
    struct policy_sources sources; /* points into this object */
};

/* The policy of an entry of a load. ERR_NOT_FOUND, ERR_CORRUPT: a text is not there, or not what it was; ERR_INVALID
 * with findings. `texts` is to be freed in every case, after the policy's last question about its sources. */
MUST_CHECK enum err policy_then_load(const char *dir, const struct policy_entry *entry, struct diag *diag,
                                     struct policy_texts *texts, struct policy **out);
/* The catalogue of then. */
MUST_CHECK enum err policy_then_catalogue(const struct policy_texts *texts, struct diag *diag, struct catalogue **out);
void policy_texts_free(struct policy_texts *texts);

#endif
