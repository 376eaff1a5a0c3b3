/* SPDX-License-Identifier: Apache-2.0 */
/* explain_config: one environment of a gateway's configuration, under all that stands above it there. */
#ifndef CLI_EXPLAIN_CONFIG_H
#define CLI_EXPLAIN_CONFIG_H

#include "policy/config.h"

/* `name` NULL: the only one. ERR_NOT_FOUND: there is none; all errors are said in diag. *out_config, also when it
 * fails, is the caller's to free, and *out_sources lives as long. */
MUST_CHECK enum err explain_config(const char *path, const char *name, struct diag *diag, struct config **out_config,
                                   const struct policy_sources **out_sources, struct policy **out);

#endif
