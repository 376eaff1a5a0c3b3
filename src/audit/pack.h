/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack: a record as it lies in a desk's ring: a fixed part, then its strings with their lengths. Written and read by
 * the same process; nothing of it reaches a disk.
 */
#ifndef AUDIT_PACK_H
#define AUDIT_PACK_H

#include "audit/desk.h"

struct pack_stamp {
    enum urgency urgency;
    int64_t wall_ms;
    uint64_t mono_ns;
};

#define PACK_BYTES_MAX (DESK_RECORD_BYTES - 8) /* what a desk reserves: the ring's own header takes the rest */

/* Give the bytes written, at most PACK_BYTES_MAX. */
size_t pack_flow(const struct record_flow *record, const struct pack_stamp *stamp, uint8_t *out);
size_t pack_event(const struct record_event *record, const struct pack_stamp *stamp, uint8_t *out);

/* The spans of `out` borrow `packed`; out->flow.target points into `out`. */
void unpack(struct span packed, struct sealed *out);

/* At most `max` bytes of s, not cut inside a character of UTF-8. */
struct span pack_cut(struct span s, size_t max);

#endif
