/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ceiling: how many bytes a session, or an environment's clients without one, may send and receive in all. Kept at the
 * byte: what is sent was borrowed before, and what of it was not used is given back at once. Without a ceiling nothing
 * is counted before a tunnel's end, so a relay pays for what it uses. The tunnel's worker; the counts are shared with
 * others.
 */
#ifndef TUNNEL_CEILING_H
#define TUNNEL_CEILING_H

#include "net/lane.h"
#include "tunnel/meter.h"

struct tunnel;

enum way { WAY_UP, WAY_DOWN };
enum ceiling {
    CEILING_NONE, /* there is none: as much as was wanted */
    CEILING_LENT, /* as much as *out_lent: settle it */
    CEILING_FULL, /* nothing is left */
    CEILING_BUSY, /* others have borrowed what is left: later */
};
/* Of the client's session, or of its environment. After identity. */
struct meter *tunnel_meter(const struct tunnel *t);
/* Room for at most `want` bytes: *out_lent of them may be sent now, 0 with CEILING_FULL and CEILING_BUSY. */
enum ceiling ceiling_borrow(struct tunnel *t, enum way way, size_t want, size_t *out_lent);
/* Ends a loan: `used` bytes of it were sent. May warn in the log that the ceiling is near. */
void ceiling_settle(struct tunnel *t, enum way way, size_t lent, size_t used);
/* As lane_run(), below the ceiling. LANE_CEILING: it is reached and there is more to send. */
enum lane_result ceiling_run_lane(struct tunnel *t, enum way way, unsigned rounds, size_t bytes);
bool ceiling_reached(struct tunnel *t); /* in either direction: nothing new may begin */
void ceiling_count(struct tunnel *t);   /* all bytes of the attempt are in the meter from here on */

#endif
