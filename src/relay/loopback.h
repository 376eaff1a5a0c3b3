/* SPDX-License-Identifier: Apache-2.0 */
/* loopback: a fresh network namespace has its loopback down, and nobody in it can reach a port of 127.0.0.1. */
#ifndef RELAY_LOOPBACK_H
#define RELAY_LOOPBACK_H

/* Brings `lo` up if it is down. Gives errno if it stays down: EPERM where the capability is missing. */
int loopback_up(void);

#endif
