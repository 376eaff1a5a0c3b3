/* SPDX-License-Identifier: Apache-2.0 */
#include "ceiling.h"

#include "internal.h"

#define LOAN_BYTES (1024u * 1024u) /* as much as one lane moves in a turn */

struct meter *tunnel_meter(const struct tunnel *t)
{
    return t->who.use != NULL ? &t->who.use->meter : &t->who.tenant->meter;
}

struct side {
    struct gauge *gauge;
    uint64_t max, passed, *metered;
    enum limit limit;
};

static struct side side_of(struct tunnel *t, enum way way)
{
    struct meter *meter = tunnel_meter(t);
    const struct limits *limits = tunnel_limits(t);
    if (way == WAY_UP)
        return (struct side){&meter->up, limits->bytes_up, t->up.bytes_out + t->http_up, &t->metered_up,
                             LIMIT_bytes_up};
    return (struct side){&meter->down, limits->bytes_down, t->down.bytes_out + t->http_down, &t->metered_down,
                         LIMIT_bytes_down};
}

/* What passed while no ceiling stood. */
static void catch_up(const struct side *side)
{
    if (side->passed > *side->metered)
        gauge_add(side->gauge, side->passed - *side->metered);
    *side->metered = side->passed;
}

void ceiling_count(struct tunnel *t)
{
    if (t->who.tenant == NULL)
        return;
    for (enum way way = WAY_UP; way <= WAY_DOWN; way++) {
        struct side side = side_of(t, way);
        catch_up(&side);
    }
}

bool ceiling_reached(struct tunnel *t)
{
    for (enum way way = WAY_UP; way <= WAY_DOWN; way++) {
        struct side side = side_of(t, way);
        if (!gauge_is_full(side.gauge, side.max))
            continue;
        LIMIT_HIT(t->home, side.limit);
        return true;
    }
    return false;
}

enum ceiling ceiling_borrow(struct tunnel *t, enum way way, size_t want, size_t *out_lent)
{
    struct side side = side_of(t, way);
    *out_lent = want;
    if (side.max == 0)
        return CEILING_NONE;
    catch_up(&side);
    *out_lent = (size_t)gauge_borrow(side.gauge, want, side.max);
    if (*out_lent > 0)
        return CEILING_LENT;
    return gauge_is_full(side.gauge, side.max) ? CEILING_FULL : CEILING_BUSY;
}

void ceiling_settle(struct tunnel *t, enum way way, size_t lent, size_t used)
{
    struct side side = side_of(t, way);
    *side.metered += used;
    gauge_settle(side.gauge, lent, used);
    if (gauge_warns(side.gauge, side.max))
        record_warning(t, side.limit, gauge_spent(side.gauge), side.max);
}

/* Exactly the ceiling has passed. A lane that has more to say ends the tunnel, one that ends with it does not. */
static enum lane_result at_ceiling(struct tunnel *t, struct lane *lane, enum way way)
{
    if (lane_held(lane) > 0) {
        LIMIT_HIT(t->home, way == WAY_UP ? LIMIT_bytes_up : LIMIT_bytes_down);
        return LANE_CEILING;
    }
    uint8_t byte;
    size_t n = 0;
    if (!lane->eof && !lane->from->readable)
        return LANE_WAIT;
    switch (lane->eof ? PORT_EOF : port_recv(lane->from, &byte, 1, &n)) {
    case PORT_OK:
        LIMIT_HIT(t->home, way == WAY_UP ? LIMIT_bytes_up : LIMIT_bytes_down);
        return LANE_CEILING;
    case PORT_AGAIN:
        return LANE_WAIT;
    case PORT_RESET:
        return LANE_FROM_RESET;
    case PORT_EOF:
        break;
    }
    lane->eof = true;
    lane->ceiling = 0; /* nothing is left that it could hold back */
    return lane_run(lane, t->home->o.pool, 0, 0);
}

enum lane_result ceiling_run_lane(struct tunnel *t, enum way way, unsigned rounds, size_t bytes)
{
    struct lane *lane = way == WAY_UP ? &t->up : &t->down;
    size_t lent = 0;
    lane->ceiling = 0;
    switch (ceiling_borrow(t, way, LOAN_BYTES, &lent)) {
    case CEILING_NONE:
        return lane_run(lane, t->home->o.pool, rounds, bytes);
    case CEILING_FULL:
        return at_ceiling(t, lane, way);
    case CEILING_BUSY:
        return LANE_MORE;
    case CEILING_LENT:
        break;
    }
    uint64_t before = lane->bytes_out;
    lane->ceiling = before + lent;
    enum lane_result result = lane_run(lane, t->home->o.pool, rounds, bytes);
    ceiling_settle(t, way, lent, (size_t)(lane->bytes_out - before));
    return result == LANE_CEILING ? LANE_MORE : result;
}
