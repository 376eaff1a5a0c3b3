/* SPDX-License-Identifier: Apache-2.0 */
/* admitted_make: the only way to fill a struct admitted. On policy's include path alone; see wire/admitted.h. */
#ifndef WIRE_ADMITTED_MAKE_H
#define WIRE_ADMITTED_MAKE_H

#include "wire/admitted.h"

/* Empties it and sets the port (1 to 65535). */
void admitted_begin(struct admitted *out, uint16_t port);
/* Appends; false when ADMITTED_MAX are there already. */
bool admitted_add(struct admitted *out, const struct ipaddr *addr);

#endif
