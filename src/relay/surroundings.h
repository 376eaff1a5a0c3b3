/* SPDX-License-Identifier: Apache-2.0 */
/* surroundings: the environment variables that lead programs to the port (--env), from the table of `sallyport env`. */
#ifndef RELAY_SURROUNDINGS_H
#define RELAY_SURROUNDINGS_H

#include "place.h"

/* Sets them in this process, so that the command inherits them. False after saying why not. */
bool surroundings_set(const struct place *listen);

#endif
