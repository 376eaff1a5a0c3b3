/* SPDX-License-Identifier: Apache-2.0 */
/* Stores that a log is shipped to. */
#ifndef CLI_SHIP_STORES_H
#define CLI_SHIP_STORES_H

#include "audit/ship.h"

struct ship_dir;
/* A directory, of another volume as a rule; it must exist. */
MUST_CHECK enum err ship_dir_open(const char *path, struct ship_dir **out, struct ship_store *out_store);
void ship_dir_close(struct ship_dir *d); /* NULL is allowed */

struct ship_http;
struct ship_http_options {
    const char *url;     /* https://…; objects are put below it */
    const char *ca;      /* file of certificates to trust; NULL: the system's */
    const char *headers; /* file of header lines to send, such as Authorization; NULL: none */
    uint64_t timeout_ms; /* for a connection, and without a byte moved */
};
/* ERR_INVALID: no https URL; ERR_IO: a file cannot be read; ERR_NOT_FOUND: there is no libcurl.so.4. */
MUST_CHECK enum err ship_http_open(const struct ship_http_options *options, struct ship_http **out,
                                   struct ship_store *out_store);
void ship_http_close(struct ship_http *h); /* NULL is allowed */

/* One POST with its answer as text. ERR_AGAIN: there was none; ERR_NOT_FOUND: there is no libcurl.so.4. */
MUST_CHECK enum err http_post(const char *url, const char *ca, uint64_t timeout_ms, struct span body, long *out_status,
                              char *out_text, size_t text_cap, char *why, size_t cap);

#endif
