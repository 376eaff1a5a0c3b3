/* SPDX-License-Identifier: Apache-2.0 */
/* control: a request to a running proxy over its admin socket. */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

/* The same place that `run` chooses when nothing is said. */
bool control_default_admin(char *out, size_t cap);
/* One request, one answer, which the caller frees. Gives the HTTP status, or 0 with a message on standard error. */
int control_fetch(const char *path, const char *method, const char *what, const char *body, char **out_answer);
/* Prints the body of the answer. Gives the HTTP status, or 0 with a message on standard error. */
int control_ask(const char *path, const char *method, const char *what, const char *body);

#endif
