/* SPDX-License-Identifier: Apache-2.0 */
/* env: what `sallyport env` prints and writes for one proxy. Nothing here reads the environment of this process. */
#ifndef SRC_CLI_ENV_H
#define SRC_CLI_ENV_H

#include "cli/client_env.h"

#define ENV_PATH_MAX  1024
#define ENV_VALUE_MAX (4 * ENV_PATH_MAX)

enum env_format { ENV_SHELL, ENV_DOTENV, ENV_DOCKER, ENV_K8S, ENV_JSON };

/* False if there is no format of that name. */
bool env_format_parse(const char *name, enum env_format *out);

/* All variables in that format; those of the CA only where there is one. */
void env_print(struct outbuf *out, enum env_format format, const struct client_env_facts *facts);

/* The same as a list for people: who reads each, and why it is there. */
void env_explain(struct outbuf *out, const struct client_env_facts *facts);

/*
 * Writes the files for programs that variables do not reach into `folder`, which is made if it is not there; each is
 * replaced in one step. Says on standard error what each is for. False after saying what failed.
 */
bool env_write_files(const char *folder, const struct client_env_facts *facts);

/* Writes the system's authorities and those of `ca` into one file. False after saying what failed. */
bool env_write_bundle(const char *path, const char *ca);

#endif
