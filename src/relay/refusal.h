/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal: what a client is told when the egress proxy cannot be reached, in the form of the proxy's own refusals, so
 * that its user reads a reason and not a closed connection. It names no path and no address.
 */
#ifndef RELAY_REFUSAL_H
#define RELAY_REFUSAL_H

#include "base/span.h"

/* The whole answer. */
struct span refusal_text(void);

/* Methods begin with a capital letter, TLS records and SOCKS greetings do not: only the former can read the answer. */
bool refusal_is_for(uint8_t first_byte);

/* Why the proxy could not be reached, for people. */
const char *refusal_cause(int error, bool is_unix);

#endif
