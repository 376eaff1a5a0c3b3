/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/keys.h"

static const struct key_row rows[] = {
#define X(path, type, scope, values, dflt, sentence) {path, KEY_##type, SCOPE_##scope, values, dflt, sentence},
#include "policy/keys_tbl.h"
#undef X
};

const struct key_row *keys_rows(size_t *out_count)
{
    *out_count = sizeof rows / sizeof rows[0];
    return rows;
}

static const struct key_row config_rows[] = {
#define X(path, type, scope, values, dflt, sentence) {path, KEY_##type, SCOPE_##scope, values, dflt, sentence},
#include "policy/config_keys_tbl.h"
#undef X
};

const struct key_row *config_keys_rows(size_t *out_count)
{
    *out_count = sizeof config_rows / sizeof config_rows[0];
    return config_rows;
}

static const struct key_row catalogue_rows[] = {
#define X(path, type, scope, values, dflt, sentence) {path, KEY_##type, SCOPE_##scope, values, dflt, sentence},
#include "policy/catalogue_keys_tbl.h"
#undef X
};

const struct key_row *catalogue_keys_rows(size_t *out_count)
{
    *out_count = sizeof catalogue_rows / sizeof catalogue_rows[0];
    return catalogue_rows;
}

const char *key_type_text(enum key_type type)
{
    static const char *const texts[] = {
#define X(id, text) [KEY_##id] = text,
        KEY_TYPE_TABLE(X)
#undef X
    };
    return (size_t)type < sizeof texts / sizeof texts[0] ? texts[type] : "unknown";
}
