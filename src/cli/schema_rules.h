/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema_rules: what the table of keys does not hold and a schema can still say: the form of a host, a prefix, a
 * duration, and the rules between keys. The loader has the last word on all of them.
 */
#ifndef CLI_SCHEMA_RULES_H
#define CLI_SCHEMA_RULES_H

#include "policy/keys.h"

#include <jansson.h>

#define SCHEMA_DURATION "^[1-9][0-9]{0,11}(ms|s|m|h)$"
#define SCHEMA_SIZE     "^[1-9][0-9]{0,18}(B|KiB|MiB|GiB)$"
#define SCHEMA_PERCENT  "^(100|[1-9][0-9]?)%$"
#define SCHEMA_METHODS  "GET HEAD POST PUT PATCH DELETE OPTIONS"

/* A regular expression (ECMA 262) for the strings of this row, or NULL. */
const char *schema_pattern_of(const struct key_row *row);

void schema_rules_environment(json_t *schema);
void schema_rules_config(json_t *schema);

#endif
