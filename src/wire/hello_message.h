/* SPDX-License-Identifier: Apache-2.0 */
/* hello_message: the facts of one complete ClientHello message, whose bytes stand in one piece. */
#ifndef WIRE_HELLO_MESSAGE_H
#define WIRE_HELLO_MESSAGE_H

#include "wire/hello.h"

/* `message` begins with its 4-byte header. Fills everything but raw_bytes; ERR_INVALID if any length in it disagrees
 * with another, an extension comes twice, or one that is read here is not well-formed. */
MUST_CHECK enum err hello_message_read(struct span message, struct hello *out);

#endif
