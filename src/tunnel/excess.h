/* SPDX-License-Identifier: Apache-2.0 */
/*
 * excess: attempts above the rate are not recorded one by one. The first of a tenant begins a watch of one second, at
 * whose end one record tells of all of them. The counts stand with the tenant, so that nothing is lost where there is no
 * memory or no room in the log. The worker's thread.
 */
#ifndef TUNNEL_EXCESS_H
#define TUNNEL_EXCESS_H

#include "internal.h"

/* Waits one second and then writes one record for all attempts of a tenant above its rate. */
struct excess_watch {
    struct tunnels *home;
    struct excess_watch *next, **link;
    struct tenant *tenant;
    const struct tunnel_listener *listener;
    struct tunnel_client from; /* of the first of them */
    uint8_t flow[FLOW_ID_BYTES];
    struct timer timer;
    int64_t until_wall_ms;
};

/* One record for all attempts of the sample's tenant above its rate, one second from now. */
void excess_begin(struct tunnels *home, const struct tunnel *sample);
/* Records what was counted so far, as far as there is room, and watches no more. */
void excess_end_all(struct tunnels *home);
bool excess_has_listener(const struct tunnels *home, const struct tunnel_listener *listener);

#endif
