/* SPDX-License-Identifier: Apache-2.0 */
/* listen: the port of the relay. */
#ifndef RELAY_LISTEN_H
#define RELAY_LISTEN_H

#include "place.h"

/* Opens the port; `place` becomes what was really bound. Gives -1 after saying why it cannot be. `loopback_error` is
 * what loopback_up() gave: it explains an address that is not there. */
int listen_open(struct place *place, int loopback_error);

/* Tells who waits on `fd` that connections are welcome, and closes it unless it
 * is a standard one. */
void listen_announce(const struct place *place, int fd);

#endif
