/* SPDX-License-Identifier: Apache-2.0 */
/* record_json: what verbs read from a record of the log that was parsed. */
#ifndef CLI_RECORD_JSON_H
#define CLI_RECORD_JSON_H

#include "wire/admitted.h"

#include <jansson.h>

/* A string of `object`; empty where there is none. Borrows. */
const char *record_text(json_t *object, const char *key);
/* host:port as a client writes it; where none was understood, what the client wrote. Cut to `cap`, with its NUL. */
void record_target(json_t *record, char *out, size_t cap);
/* Adds the resolver's answers to *count others, as far as there is room. */
void record_answers(json_t *record, struct ipaddr out[static ADMITTED_MAX], size_t *count);

#endif
