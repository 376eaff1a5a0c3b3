/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dialer.h"

#include "base/assert.h"
#include "loop_impl.h"
#include "port_impl.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <unistd.h>

#define ATTEMPT_DELAY_MS 250 /* RFC 8305 section 8, Connection Attempt Delay */
#define DIALS_A_SLAB     16

struct dial {
    struct loop *loop;
    dial_fn *fn;
    void *arg;
    struct timer next; /* the next attempt */
    struct timer total;
    struct run_item done; /* when it ended inside dial_start() */
    struct dialled result;
    struct ipaddr addresses[ADMITTED_MAX]; /* in the order in which they are tried */
    struct port *ports[ADMITTED_MAX];      /* attempts under way, by address */
    uint32_t connects;
    uint16_t port;
    uint8_t count;
    uint8_t tried;
    uint8_t under_way;
    bool starting;
    bool ended;
};

static atomic_uint_fast64_t process_connects;

uint64_t dial_connects(void)
{
    return atomic_load_explicit(&process_connects, memory_order_relaxed);
}

/* RFC 8305 section 4: families take turns, and the first is IPv6. */
static void order_addresses(struct dial *dial, const struct admitted *admitted)
{
    size_t count = admitted_count(admitted);
    size_t at[2] = {0, 0}; /* where the search for the next IPv6, IPv4 address goes on */
    unsigned turn = 0;

    while (dial->count < count) {
        uint8_t family = turn == 0 ? 6 : 4;

        while (at[turn] < count && admitted_at(admitted, at[turn])->family != family) {
            at[turn]++;
        }
        if (at[turn] < count) {
            dial->addresses[dial->count++] = *admitted_at(admitted, at[turn]);
            at[turn]++;
        } else if (at[0] >= count && at[1] >= count) {
            break;
        }
        turn = 1 - turn;
    }
}

static void dial_free(void *object)
{
    struct dial *dial = object;

    pool_give(&loop_pools(dial->loop)->dials, dial);
}

/* Closes what is still under way and lets go of everything but the memory, which waits for the end of the turn. */
static void dial_end(struct dial *dial)
{
    dial->ended = true;
    timer_cancel(&dial->next);
    timer_cancel(&dial->total);
    run_item_cancel(&dial->done);
    for (size_t i = 0; i < dial->tried; i++) {
        if (dial->ports[i] != NULL) {
            port_close(dial->ports[i], false);
            dial->ports[i] = NULL;
        }
    }
    loop_bury(dial->loop, dial, dial_free);
}

static void dial_report(struct dial *dial)
{
    dial->result.connects = dial->connects;
    dial_end(dial);
    dial->fn(dial->arg, &dial->result);
}

static void report_from_queue(struct run_item *item)
{
    dial_report((struct dial *)(void *)((char *)item - offsetof(struct dial, done)));
}

static void dial_finish(struct dial *dial, int error)
{
    dial->result.error = error;
    if (dial->starting) {
        loop_run_later(dial->loop, &dial->done);
    } else {
        dial_report(dial);
    }
}

static void dial_win(struct dial *dial, size_t index)
{
    struct port *port = dial->ports[index];

    dial->ports[index] = NULL;
    port->wake = NULL;
    port->owner = NULL;
    dial->result.port = port;
    dial->result.addr = dial->addresses[index];
    dial_finish(dial, 0);
}

static void attempt_wake(struct port *port);

/* Begins to connect to one address; gives its errno if that failed at once. */
static int attempt_start(struct dial *dial, size_t index)
{
    struct sockaddr_storage sa;
    socklen_t len = ipaddr_to_sockaddr(&dial->addresses[index], dial->port, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0) {
        return errno;
    }
    int ignored = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    (void)ignored;
    dial->connects++;
    atomic_fetch_add_explicit(&process_connects, 1, memory_order_relaxed);
    if (connect(fd, (struct sockaddr *)&sa, len) != 0 && errno != EINPROGRESS) {
        int error = errno;

        close(fd);
        return error;
    }
    /* Registered after connect(): a socket that is not connecting yet would be reported as hung up. One that was
     * connected at once is reported, too. */
    if (port_raw_new(dial->loop, fd, false, false, attempt_wake, dial, &dial->ports[index]) != ERR_NONE) {
        close(fd);
        return ENOMEM;
    }
    port_raw_is_tcp(dial->ports[index]);
    dial->under_way++;
    return 0;
}

/* Starts the next attempt that does not fail at once, and ends the dial when none is left. */
static void dial_next(struct dial *dial)
{
    while (dial->tried < dial->count) {
        size_t index = dial->tried++;
        int error = attempt_start(dial, index);

        if (error == 0) {
            break;
        }
        dial->result.error = error;
    }
    if (dial->under_way == 0) {
        dial_finish(dial, dial->result.error);
        return;
    }
    if (dial->tried < dial->count) {
        timer_set(loop_wheel(dial->loop), &dial->next, loop_now_ms(dial->loop) + ATTEMPT_DELAY_MS);
    } else {
        timer_cancel(&dial->next);
    }
}

static size_t attempt_of(const struct dial *dial, const struct port *port)
{
    size_t index = 0;

    while (index < dial->tried && dial->ports[index] != port) {
        index++;
    }
    ASSERT(index < dial->tried);
    return index;
}

static void attempt_wake(struct port *port)
{
    struct dial *dial = port->owner;
    size_t index = attempt_of(dial, port);
    /* Nothing but "writable" has been reported: it is connected, and SO_ERROR need not be asked. */
    int error = port_raw_end_seen(port) ? port_raw_error(port) : 0;

    if (error == 0) {
        if (port->writable) {
            dial_win(dial, index);
        }
        return;
    }
    port_close(port, false);
    dial->ports[index] = NULL;
    dial->under_way--;
    dial->result.error = error;
    if (dial->tried < dial->count || dial->under_way == 0) {
        dial_next(dial);
    }
}

static void next_due(struct timer *timer)
{
    dial_next((struct dial *)(void *)((char *)timer - offsetof(struct dial, next)));
}

static void total_due(struct timer *timer)
{
    dial_finish((struct dial *)(void *)((char *)timer - offsetof(struct dial, total)), ETIMEDOUT);
}

enum err dial_start(struct loop *loop, const struct admitted *admitted, uint32_t timeout_ms, dial_fn *fn, void *arg,
                    struct dial **out)
{
    struct pool *pool = &loop_pools(loop)->dials;

    if (admitted_count(admitted) == 0) {
        return ERR_INVALID;
    }
    if (pool->size == 0) {
        pool_init(pool, sizeof(struct dial), DIALS_A_SLAB);
    }
    struct dial *dial = pool_take(pool);

    if (dial == NULL) {
        return ERR_NO_MEMORY;
    }
    dial->loop = loop;
    dial->fn = fn;
    dial->arg = arg;
    dial->port = admitted_port(admitted);
    timer_init(&dial->next, next_due);
    timer_init(&dial->total, total_due);
    run_item_init(&dial->done, report_from_queue);
    order_addresses(dial, admitted);
    timer_set(loop_wheel(loop), &dial->total, loop_now_ms(loop) + timeout_ms);
    dial->starting = true;
    dial_next(dial);
    dial->starting = false;
    *out = dial;
    return ERR_NONE;
}

uint32_t dial_cancel(struct dial *dial)
{
    uint32_t connects = dial->connects;

    ASSERT(!dial->ended);
    dial_end(dial);
    return connects;
}
