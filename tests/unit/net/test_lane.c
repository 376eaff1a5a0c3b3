/* SPDX-License-Identifier: Apache-2.0 */
/* lane: bytes over real sockets, exactly and in order, by copying and by splicing; ends, resets, ceilings, budgets. */
#include "net_lab.h"

#include "net/lane.h"
#include "relay_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* client ── near[0]: port a ══ lanes ══ port b: near[1] ── origin */
struct relay {
    struct loop *loop;
    struct relay_pool *pool;
    struct port *a, *b;
    struct lane up, down; /* a to b, b to a */
    struct run_item run;
    enum lane_result up_result, down_result;
    int client, origin;
    unsigned rounds;
    size_t bytes;
    unsigned runs;
    bool spliced;
};

static struct relay *relay_of(struct run_item *item)
{
    return (struct relay *)(void *)((char *)item - offsetof(struct relay, run));
}

static void relay_wake(struct port *port)
{
    struct relay *r = port->owner;

    loop_run_later(r->loop, &r->run);
}

static enum lane_result run_lane(struct relay *r, struct lane *lane)
{
    enum lane_result result = lane_run(lane, r->pool, r->rounds, r->bytes);

    assert_true(lane->bytes_in >= lane->bytes_out);
    assert_int_equal(lane_held(lane), lane->bytes_in - lane->bytes_out);
    /* It owns a chunk or a pipe only while bytes are in it, and never both. */
    assert_int_equal(lane_held(lane) > 0, lane->chunk != NULL || lane->pipe != NULL);
    assert_true(lane->chunk == NULL || lane->pipe == NULL);
    if (result == LANE_MORE) {
        loop_run_later(r->loop, &r->run);
    }
    if (result == LANE_WAIT) {
        assert_false(lane_held(lane) == 0 ? lane->from->readable : lane->to->writable);
    }
    return result;
}

static void relay_run(struct run_item *item)
{
    struct relay *r = relay_of(item);

    r->runs++;
    r->up_result = run_lane(r, &r->up);
    r->down_result = run_lane(r, &r->down);
}

static void relay_begin(struct relay *r, size_t pipes_max, size_t buffer_bytes, bool unix_sockets)
{
    struct relay_pool_options options = {.buffer_bytes = buffer_bytes, .pipe_bytes = 64 * 1024, .pipes_max = pipes_max};
    int left[2];
    int right[2];

    *r = (struct relay){.rounds = 4, .bytes = 256 * 1024};
    assert_int_equal(loop_new(&r->loop), ERR_NONE);
    assert_int_equal(relay_pool_new(&options, &r->pool), ERR_NONE);
    if (unix_sockets) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, left), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, right), 0);
    } else {
        lab_tcp_pair_small(left);
        lab_tcp_pair_small(right);
    }
    assert_int_equal(port_raw_new(r->loop, left[1], true, true, relay_wake, r, &r->a), ERR_NONE);
    assert_int_equal(port_raw_new(r->loop, right[0], false, false, relay_wake, r, &r->b), ERR_NONE);
    if (!unix_sockets) {
        port_raw_is_tcp(r->a);
        port_raw_is_tcp(r->b);
    }
    r->client = left[0];
    r->origin = right[1];
    run_item_init(&r->run, relay_run);
    lane_open(&r->up, r->a, r->b, 0);
    lane_open(&r->down, r->b, r->a, 0);
    loop_run_later(r->loop, &r->run);
}

static void relay_end(struct relay *r)
{
    lane_close(&r->up, r->pool);
    lane_close(&r->down, r->pool);
    run_item_cancel(&r->run);
    port_close(r->a, false);
    port_close(r->b, false);
    if (r->client >= 0) {
        close(r->client);
    }
    if (r->origin >= 0) {
        close(r->origin);
    }
    loop_turn(r->loop, 0);
    loop_free(r->loop);
    relay_pool_free(r->pool);
}

/* One end that sends a random stream and checks the one that comes. */
struct peer {
    int *fd;
    uint64_t send_state, expect_state, size_state;
    size_t to_send, sent, to_get, got;
    unsigned char out[8192];
    size_t out_start, out_end;
    unsigned char expect[8192];
    size_t expect_start, expect_end;
    bool end_seen, ended;
};

static void fill(unsigned char *bytes, size_t len, uint64_t *state)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = lab_random(state);

        memcpy(bytes + i, &v, 8);
    }
}

static void peer_send(struct peer *p)
{
    if (p->sent == p->to_send) {
        if (!p->ended) {
            assert_int_equal(shutdown(*p->fd, SHUT_WR), 0);
            p->ended = true;
        }
        return;
    }
    if (p->out_start == p->out_end) {
        fill(p->out, sizeof(p->out), &p->send_state);
        p->out_start = 0;
        p->out_end = sizeof(p->out);
    }
    size_t len = p->out_end - p->out_start;
    size_t most = (size_t)(lab_random(&p->size_state) % (lab_random(&p->size_state) % 4 == 0 ? 100 : 8192)) + 1;

    len = len < most ? len : most;
    len = len < p->to_send - p->sent ? len : p->to_send - p->sent;
    ssize_t n = send(*p->fd, p->out + p->out_start, len, MSG_NOSIGNAL);

    if (n > 0) {
        p->out_start += (size_t)n;
        p->sent += (size_t)n;
    }
}

static void peer_get(struct peer *p)
{
    unsigned char bytes[8192];
    size_t most = (size_t)(lab_random(&p->size_state) % sizeof(bytes)) + 1;
    ssize_t n = recv(*p->fd, bytes, most, 0);

    if (n == 0) {
        p->end_seen = true;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (p->expect_start == p->expect_end) {
            fill(p->expect, sizeof(p->expect), &p->expect_state);
            p->expect_start = 0;
            p->expect_end = sizeof(p->expect);
        }
        if (bytes[i] != p->expect[p->expect_start]) {
            fail_msg("byte %zu differs", p->got + (size_t)i);
        }
        p->expect_start++;
    }
    p->got += n > 0 ? (size_t)n : 0;
}

static void exchange(struct relay *r, size_t up, size_t down, uint64_t seed)
{
    static struct peer client;
    static struct peer origin;
    uint64_t give_up = lab_now_ms() + 20000;

    client = (struct peer){
        .fd = &r->client, .send_state = 1, .expect_state = 2, .size_state = seed, .to_send = up, .to_get = down};
    origin = (struct peer){
        .fd = &r->origin, .send_state = 2, .expect_state = 1, .size_state = seed + 1, .to_send = down, .to_get = up};
    while (!client.end_seen || !origin.end_seen) {
        assert_true(lab_now_ms() < give_up);
        peer_send(&client);
        peer_send(&origin);
        if (lab_random(&client.size_state) % 3 != 0) {
            peer_get(&client);
            peer_get(&origin);
        }
        loop_turn(r->loop, 0);
        r->spliced = r->spliced || relay_pool_pipes(r->pool) > 0;
    }
    assert_int_equal(client.got, down);
    assert_int_equal(origin.got, up);
    assert_int_equal(r->up.bytes_in, up);
    assert_int_equal(r->up.bytes_out, up);
    assert_int_equal(r->down.bytes_out, down);
    assert_int_equal(r->up_result, LANE_DONE);
    assert_int_equal(r->down_result, LANE_DONE);
}

static void test_both_directions_by_copy(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct relay r;

        relay_begin(&r, 0, 16384, seed % 2 == 1);
        exchange(&r, 3000000 + seed, 1000001, seed);
        assert_false(r.spliced);
        relay_end(&r);
    }
}

static void test_both_directions_by_splice(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct relay r;

        /* A small buffer is filled soon, so that lanes go to and fro between copying and splicing. */
        relay_begin(&r, 4, 4096, seed % 2 == 1);
        exchange(&r, 2000003, 3000000 + seed, seed);
        assert_true(r.spliced);
        assert_in_range(relay_pool_pipes(r.pool), 1, 4);
        relay_end(&r);
    }
}

/* Small pieces end the splicing only when many come in a row: a reader that keeps up meets one now and then. */
static void test_small_pieces_in_a_row_end_the_splicing(void **state)
{
    (void)state;
    static const unsigned char bytes[8192];
    struct relay r;
    uint64_t sent = 0;

    relay_begin(&r, 4, 4096, true);
    for (unsigned turn = 0; turn < 2; turn++) {
        assert_int_equal(write(r.client, bytes, sizeof(bytes)), sizeof(bytes));
        sent += sizeof(bytes);
        UNTIL(r.loop, r.up.bytes_out == sent);
        assert_true(r.up.bulk);
        for (unsigned i = 1; i <= 8; i++) {
            assert_int_equal(write(r.client, bytes, 10), 10);
            sent += 10;
            UNTIL(r.loop, r.up.bytes_out == sent);
            assert_int_equal(r.up.bulk, i < 8);
        }
    }
    relay_end(&r);
}

static void test_empty_streams(void **state)
{
    (void)state;
    struct relay r;

    relay_begin(&r, 0, 0, false);
    exchange(&r, 0, 0, 1);
    relay_end(&r);
}

/* More lanes want pipes than there are: they copy, and nothing is lost. */
static void test_pipes_are_bounded(void **state)
{
    (void)state;
    struct relay r;

    relay_begin(&r, 1, 4096, false);
    exchange(&r, 1500000, 1500000, 5);
    assert_int_equal(relay_pool_pipes(r.pool), 1);
    relay_end(&r);
}

static void test_splice_falls_back_without_pipes(void **state)
{
    (void)state;
    struct relay_pool_options options = {.pipe_bytes = (size_t)1 << 30, .pipes_max = 4};
    struct relay_pool *pool = NULL;

    /* As root the size is allowed up to 2 GiB; as somebody else it is refused. Both must be bearable. */
    assert_int_equal(relay_pool_new(&options, &pool), ERR_NONE);
    struct lane_pipe *pipe = relay_pool_take_pipe(pool);

    if (pipe == NULL) {
        assert_int_equal(relay_pool_pipes(pool), 0);
    } else {
        relay_pool_give_pipe(pool, pipe, true);
    }
    relay_pool_free(pool);
    options.pipe_bytes = ((size_t)1 << 30) + 1;
    assert_int_equal(relay_pool_new(&options, &pool), ERR_INVALID);
}

static size_t drain_fd(int fd)
{
    char bytes[65536];
    size_t total = 0;
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        total += (size_t)n;
    }
    return total;
}

/* The client ends first and still gets the answer; then the other way round. */
static void test_half_close(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        struct relay r;

        relay_begin(&r, 0, 0, false);
        int first = order == 0 ? r.client : r.origin;
        int second = order == 0 ? r.origin : r.client;
        struct lane *early = order == 0 ? &r.up : &r.down;
        struct lane *late = order == 0 ? &r.down : &r.up;
        char byte;

        assert_int_equal(write(first, "question", 8), 8);
        assert_int_equal(shutdown(first, SHUT_WR), 0);
        UNTIL(r.loop, early->done);
        assert_false(late->done);
        assert_int_equal(drain_fd(second), 8);
        assert_int_equal(read(second, &byte, 1), 0);
        assert_int_equal(write(second, "answer", 6), 6);
        UNTIL(r.loop, late->bytes_out == 6);
        assert_int_equal(drain_fd(first), 6);
        assert_int_equal(shutdown(second, SHUT_WR), 0);
        UNTIL(r.loop, late->done);
        assert_int_equal(read(first, &byte, 1), 0);
        assert_int_equal(r.up_result, LANE_DONE);
        assert_int_equal(r.down_result, LANE_DONE);
        relay_end(&r);
    }
}

static void reset_fd(int *fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(*fd);
    *fd = -1;
}

static void test_reset_by_the_reader_of_a_lane(void **state)
{
    (void)state;
    struct relay r;

    relay_begin(&r, 0, 0, false);
    loop_turn(r.loop, 0);
    reset_fd(&r.client);
    UNTIL(r.loop, r.up_result == LANE_FROM_RESET);
    relay_end(&r);
}

/* The receiver is full, holds bytes of ours, and goes away: by copy and by splice. */
static void test_reset_with_bytes_held(void **state)
{
    (void)state;
    for (size_t pipes = 0; pipes < 2; pipes++) {
        static char big[65536];
        struct relay r;

        relay_begin(&r, pipes, 4096, false);
        for (int quiet = 0; quiet < 20;) {
            ssize_t n = send(r.client, big, sizeof(big), MSG_DONTWAIT | MSG_NOSIGNAL);

            loop_turn(r.loop, 1);
            quiet = n > 0 ? 0 : quiet + 1;
        }
        assert_true(lane_held(&r.up) > 0);
        assert_int_equal(r.up.pipe != NULL, pipes == 1);
        assert_int_equal(r.up_result, LANE_WAIT);
        reset_fd(&r.origin);
        UNTIL(r.loop, r.up_result == LANE_TO_RESET);
        relay_end(&r);
    }
}

static void test_idle_lane_owns_nothing(void **state)
{
    (void)state;
    struct relay r;

    relay_begin(&r, 4, 4096, false);
    for (int i = 0; i < 50; i++) {
        char bytes[20000] = {0};
        size_t sent = 0;
        size_t got = 0;

        while (got < sizeof(bytes)) {
            ssize_t n = send(r.client, bytes + sent, sizeof(bytes) - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

            sent += n > 0 ? (size_t)n : 0;
            loop_turn(r.loop, 0);
            got += drain_fd(r.origin);
        }
        UNTIL(r.loop, lane_held(&r.up) == 0);
        assert_null(r.up.chunk);
        assert_null(r.up.pipe);
    }
    assert_true(relay_pool_pipes(r.pool) <= 1);
    relay_end(&r);
}

static void test_ceiling_to_the_byte(void **state)
{
    (void)state;
    for (size_t pipes = 0; pipes < 2; pipes++) {
        static char big[100000];
        struct relay r;
        size_t got = 0;

        relay_begin(&r, pipes, 4096, false);
        r.up.ceiling = 77777;
        while (r.up_result != LANE_CEILING) {
            ssize_t ignored = send(r.client, big, sizeof(big), MSG_DONTWAIT | MSG_NOSIGNAL);

            (void)ignored;
            loop_turn(r.loop, 1);
            got += drain_fd(r.origin);
        }
        assert_int_equal(r.up.bytes_out, 77777);
        assert_int_equal(lane_run(&r.up, r.pool, 10, 1000000), LANE_CEILING);
        UNTIL(r.loop, (got += drain_fd(r.origin)) >= 77777);
        loop_turn(r.loop, 5);
        assert_int_equal(got + drain_fd(r.origin), 77777);
        relay_end(&r);
    }
}

static void test_preload_goes_first(void **state)
{
    (void)state;
    struct relay r;
    char got[32];

    relay_begin(&r, 0, 0, false);
    assert_int_equal(lane_preload(&r.up, r.pool, span_text("first ")), ERR_NONE);
    assert_int_equal(r.up.bytes_in, 6);
    assert_int_equal(lane_held(&r.up), 6);
    assert_int_equal(write(r.client, "second", 6), 6);
    UNTIL(r.loop, r.up.bytes_out == 12);
    assert_int_equal(recv(r.origin, got, sizeof(got), 0), 12);
    assert_memory_equal(got, "first second", 12);
    relay_end(&r);
}

static void test_preload_larger_than_the_buffer_and_ceiling(void **state)
{
    (void)state;
    static char big[300000];
    struct relay r;
    size_t got = 0;

    relay_begin(&r, 0, 4096, false);
    r.up.ceiling = 200001;
    assert_int_equal(lane_preload(&r.up, r.pool, span_make(big, sizeof(big))), ERR_NONE);
    while (r.up_result != LANE_CEILING) {
        loop_turn(r.loop, 1);
        got += drain_fd(r.origin);
    }
    UNTIL(r.loop, (got += drain_fd(r.origin)) >= 200001);
    assert_int_equal(got, 200001);
    assert_int_equal(lane_held(&r.up), 300000 - 200001);
    relay_end(&r);
}

static void test_preload_of_nothing(void **state)
{
    (void)state;
    struct relay r;

    relay_begin(&r, 0, 0, false);
    assert_int_equal(lane_preload(&r.up, r.pool, span_make(NULL, 0)), ERR_NONE);
    assert_null(r.up.chunk);
    relay_end(&r);
}

/* The lane that ends last leaves the end to the owner's close. */
static void test_paired_lanes(void **state)
{
    (void)state;
    struct relay r;
    char byte;

    relay_begin(&r, 0, 0, false);
    lane_pair(&r.up, &r.down);
    assert_int_equal(shutdown(r.origin, SHUT_WR), 0);
    UNTIL(r.loop, r.down.done);
    assert_int_equal(read(r.client, &byte, 1), 0); /* the first one passes it on */
    assert_int_equal(write(r.client, "last", 4), 4);
    assert_int_equal(shutdown(r.client, SHUT_WR), 0);
    UNTIL(r.loop, r.up_result == LANE_DONE);
    assert_int_equal(r.down_result, LANE_DONE);
    assert_int_equal(drain_fd(r.origin), 4);
    assert_int_equal(recv(r.origin, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    port_close(r.b, false);
    assert_int_equal(recv(r.origin, &byte, 1, MSG_DONTWAIT), 0);
    lane_close(&r.up, r.pool);
    lane_close(&r.down, r.pool);
    port_close(r.a, false);
    close(r.client);
    close(r.origin);
    loop_turn(r.loop, 0);
    loop_free(r.loop);
    relay_pool_free(r.pool);
}

/* A port that never runs dry: only the budget ends the run. */
static unsigned fake_reads;

static enum port_io fake_recv(struct port *port, void *buf, size_t len, size_t *out_n)
{
    (void)port;
    memset(buf, 'x', len);
    *out_n = len;
    fake_reads++;
    return PORT_OK;
}

static enum port_io fake_send(struct port *port, const void *buf, size_t len, size_t *out_n)
{
    (void)port;
    (void)buf;
    /* Takes it in two pieces without being full. */
    *out_n = len > 1000 ? 1000 : len;
    return PORT_OK;
}

static void fake_shutdown(struct port *port)
{
    (void)port;
}

static const struct port_ops fake_ops = {.recv = fake_recv, .send = fake_send, .shutdown_write = fake_shutdown};

static void test_budget(void **state)
{
    (void)state;
    struct relay_pool_options options = {.buffer_bytes = 4096, .pipes_max = 1};
    struct relay_pool *pool = NULL;
    struct port from = {.ops = &fake_ops, .fd = -1, .readable = true, .writable = true};
    struct port to = from;
    struct lane lane;

    assert_int_equal(relay_pool_new(&options, &pool), ERR_NONE);
    lane_open(&lane, &from, &to, 0);
    fake_reads = 0;
    assert_int_equal(lane_run(&lane, pool, 5, SIZE_MAX / 2), LANE_MORE);
    assert_int_equal(fake_reads, 5);
    assert_int_equal(lane.bytes_out, 5 * 4096);
    assert_int_equal(lane_run(&lane, pool, 1000, 10000), LANE_MORE);
    assert_int_equal(fake_reads, 5 + 3); /* the third read passed 10000 */
    assert_int_equal(relay_pool_pipes(pool), 0);
    lane_close(&lane, pool);
    relay_pool_free(pool);
}

/* Two busy relays in one loop: neither gets more than a round of budgets ahead. */
static void test_busy_lanes_take_turns(void **state)
{
    (void)state;
    static char big[65536];
    struct relay r;
    struct lane other;
    struct port from = {.ops = &fake_ops, .fd = -1, .readable = true, .writable = true};
    struct port to = from;

    relay_begin(&r, 0, 4096, false);
    lane_open(&other, &from, &to, 0);
    r.rounds = 2;
    for (int i = 0; i < 200; i++) {
        ssize_t ignored = send(r.client, big, sizeof(big), MSG_DONTWAIT | MSG_NOSIGNAL);

        (void)ignored;
        uint64_t before = r.up.bytes_in;

        assert_int_equal(lane_run(&other, r.pool, r.rounds, r.bytes), LANE_MORE);
        loop_turn(r.loop, 0);
        assert_true(r.up.bytes_in - before <= 2 * 4096);
        drain_fd(r.origin);
    }
    assert_true(r.up.bytes_out > 100 * 4096);
    assert_int_equal(other.bytes_out, 200 * 2 * 4096);
    lane_close(&other, r.pool);
    relay_end(&r);
}

static void test_chunks(void **state)
{
    (void)state;
    struct relay_pool_options options = {.buffer_bytes = 4096};
    struct relay_pool *pool = NULL;
    char bytes[4096] = {0};

    assert_int_equal(relay_pool_new(&options, &pool), ERR_NONE);
    assert_int_equal(relay_pool_reserve(pool), ERR_NONE);
    struct lane_chunk *held[2] = {relay_pool_hold(pool, bytes, sizeof(bytes)), relay_pool_hold(pool, bytes, 1)};

    assert_non_null(held[0]);
    assert_non_null(held[1]);
    assert_null(relay_pool_hold(pool, bytes, SIZE_MAX));
    relay_pool_give_chunk(pool, held[0]);
    relay_pool_give_chunk(pool, held[1]);
    relay_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_directions_by_copy),
        cmocka_unit_test(test_both_directions_by_splice),
        cmocka_unit_test(test_small_pieces_in_a_row_end_the_splicing),
        cmocka_unit_test(test_empty_streams),
        cmocka_unit_test(test_pipes_are_bounded),
        cmocka_unit_test(test_splice_falls_back_without_pipes),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_reset_by_the_reader_of_a_lane),
        cmocka_unit_test(test_reset_with_bytes_held),
        cmocka_unit_test(test_idle_lane_owns_nothing),
        cmocka_unit_test(test_ceiling_to_the_byte),
        cmocka_unit_test(test_preload_goes_first),
        cmocka_unit_test(test_preload_larger_than_the_buffer_and_ceiling),
        cmocka_unit_test(test_preload_of_nothing),
        cmocka_unit_test(test_paired_lanes),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_busy_lanes_take_turns),
        cmocka_unit_test(test_chunks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
