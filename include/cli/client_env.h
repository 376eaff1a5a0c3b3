/* SPDX-License-Identifier: Apache-2.0 */
/* client_env: the rows of client_env_tbl.h as data, and their values for one proxy. */
#ifndef CLI_CLIENT_ENV_H
#define CLI_CLIENT_ENV_H

#include "base/outbuf.h"

enum client_env_kind { CLIENT_ENV_ROUTE, CLIENT_ENV_CA };

struct client_env_row {
    enum client_env_kind kind;
    const char *name, *value, *who, *why;
};

struct client_env_facts {
    struct span url;    /* "http://HOST:PORT" */
    struct span host;   /* without brackets */
    struct span port;   /* digits */
    struct span ca;     /* empty: no CA */
    struct span bundle; /* empty: no CA */
};

/* NULL behind the last row. */
const struct client_env_row *client_env_row(size_t index);

/* Writes `text` with its {places} filled in; a brace that names no place stays as it is. */
void client_env_fill(struct outbuf *out, const char *text, const struct client_env_facts *facts);

#endif
