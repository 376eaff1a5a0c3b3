/* SPDX-License-Identifier: Apache-2.0 */
/* findings: what a loader had to say, for people and for programs; and JSON that is longer than a buffer. */
#ifndef CLI_FINDINGS_H
#define CLI_FINDINGS_H

#include "base/json.h"
#include "policy/diag.h"

#include <stdio.h>

/* "file:line:column: error: message" and the fix, one finding after the other. */
void findings_print(const struct diag *diag, FILE *out);

/* One object each, as elements of an array that the caller opened. */
void findings_json(const struct diag *diag, struct json *json);

/* Writes out what stands in the buffer and empties it; the writer goes on where it was. */
void json_flush(struct json *json, FILE *out);

#endif
