/* SPDX-License-Identifier: Apache-2.0 */
/* port_impl: what the dialer asks of a raw port. */
#ifndef NET_PORT_IMPL_H
#define NET_PORT_IMPL_H

#include "net/port.h"

/* True if an event reported an end or an error: a connecting port that became writable without is connected. */
bool port_raw_end_seen(struct port *port);

#endif
