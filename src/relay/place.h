/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place: where to listen and where to dial. Address literals and paths alone: inside a sandbox there is nobody to ask
 * for a name, and a relay that asked would be a way out by itself.
 */
#ifndef RELAY_PLACE_H
#define RELAY_PLACE_H

#include "base/err.h"
#include "base/span.h"

#include <sys/socket.h>

#define PLACE_TEXT_MAX 128 /* with the NUL */

struct place {
    struct sockaddr_storage addr;
    socklen_t len;
    char text[PLACE_TEXT_MAX]; /* as people write it: "unix:PATH", "ADDR:PORT" */
};

/* "ADDR:PORT" or "[V6]:PORT"; port 0 is for listening. */
MUST_CHECK enum err place_parse_listen(struct span text, struct place *out);

/* "unix:PATH" or "tcp:ADDR:PORT". ERR_TOO_BIG: a path that no socket address can hold. */
MUST_CHECK enum err place_parse_dial(struct span text, struct place *out);

bool place_is_unix(const struct place *place);

/* The address that a listening socket really has. */
MUST_CHECK enum err place_of_socket(int fd, struct place *out);

#endif
