/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENTS      256
#define NS_PER_S    1e9
#define STALL_NS    10000000000u
#define TURN_MS     1000
#define OPENING_MAX 64   /* standing tunnels on their way at one time */
#define ERRORS_MAX  1000 /* above it the run is over: it measures nothing */

static const struct mode_row {
    const char *name;
    enum mode mode;
    bool standing;
} modes[] = {
    {"tunnels", MODE_TUNNELS,   false},
    {"deny",    MODE_DENY,      false},
    {"down",    MODE_BULK_DOWN, true },
    {"up",      MODE_BULK_UP,   true },
    {"ping",    MODE_PING,      true },
    {"http",    MODE_HTTP,      true },
    {"idle",    MODE_IDLE,      true },
};

static const struct mode_row *mode_row(enum mode mode)
{
    size_t row = 0;
    while (modes[row].mode != mode)
        row++;
    return &modes[row];
}

static uint64_t errors_all(const struct load *load)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < ERRORS; i++)
        sum += load->errors[i];
    return sum;
}

/* May one more operation begin in this phase? */
static bool phase_open(const struct load *load)
{
    if (errors_all(load) >= ERRORS_MAX)
        return false;
    if (load->phase_target > 0)
        return load->phase_started < load->phase_target;
    return now_ns() < load->deadline_ns;
}

void load_next(struct load *load, struct conn *conn)
{
    load->again[load->again_count++] = conn;
}

static void count_done(struct load *load, const struct conn *conn)
{
    if (!load->measuring)
        return;
    load->end_ns = now_ns();
    load->done++;
    histogram_add(&load->latency, load->end_ns - conn->start_ns);
}

void load_operation_done(struct load *load, struct conn *conn)
{
    count_done(load, conn);
    if (!mode_row(load->mode)->standing) {
        conn_close(load, conn);
        load_next(load, conn);
        return;
    }
    bool repeats = load->mode == MODE_PING || load->mode == MODE_HTTP;
    if (repeats && phase_open(load)) {
        load->phase_started++;
        conn->state = STATE_STANDING;
        return;
    }
    conn->state = STATE_DONE;
    load->busy--;
}

void load_standing(struct load *load, struct conn *conn)
{
    conn->state = STATE_STANDING;
    conn->got = 0;
    load->standing++;
    load->busy--;
}

/* Opens again what was closed, or lets it rest; short work and the opening of standing tunnels go this way. */
static void run_again(struct load *load)
{
    while (load->again_count > 0) {
        struct conn *conn = load->again[--load->again_count];
        bool reopen =
            mode_row(load->mode)->standing ? !load->measuring && errors_all(load) < ERRORS_MAX : phase_open(load);
        if (reopen) {
            load->phase_started++;
            conn_open(load, conn);
        } else {
            load->busy--;
        }
    }
}

static bool may_stall(enum state state)
{
    return state != STATE_IDLE && state != STATE_STANDING && state != STATE_DONE;
}

static void fail_stalled(struct load *load)
{
    uint64_t now = now_ns();
    for (uint64_t i = 0; i < load->concurrency; i++) {
        struct conn *conn = &load->conns[i];
        if (may_stall(conn->state) && now > conn->progress_ns &&
            (double)(now - conn->progress_ns) > load->stall_seconds * NS_PER_S)
            conn_fail(load, conn, ERROR_timeout);
    }
}

static void turn(struct load *load, int wait_ms)
{
    struct epoll_event events[EVENTS];
    static uint64_t looked_ns;
    int count = epoll_wait(load->epoll_fd, events, EVENTS, wait_ms);
    for (int i = 0; i < count; i++)
        conn_event(load, events[i].data.ptr, events[i].events);
    if (now_ns() - looked_ns > (uint64_t)NS_PER_S) {
        looked_ns = now_ns();
        fail_stalled(load);
    }
    run_again(load);
}

/* Short work: `target` operations (0: until the deadline), until nothing is under way any more. */
static void run_short(struct load *load, uint64_t target)
{
    load->phase_started = 0;
    load->phase_target = target;
    for (uint64_t i = 0; i < load->concurrency; i++) {
        load->busy++;
        load_next(load, &load->conns[i]);
    }
    run_again(load);
    while (load->busy > 0)
        turn(load, TURN_MS);
}

static void open_standing(struct load *load)
{
    uint64_t opened = 0;
    while (load->standing < load->concurrency && errors_all(load) < ERRORS_MAX) {
        while (load->busy < OPENING_MAX && opened < load->concurrency) {
            load->busy++;
            conn_open(load, &load->conns[opened++]);
        }
        run_again(load);
        if (load->busy > 0)
            turn(load, TURN_MS);
    }
}

static void run_standing(struct load *load)
{
    /* What broke while nobody looked is an error too. */
    turn(load, 0);
    load->phase_started = load->concurrency;
    load->phase_target = load->count;
    for (uint64_t i = 0; i < load->concurrency; i++) {
        struct conn *conn = &load->conns[i];
        if (conn->state != STATE_STANDING)
            continue;
        load->busy++;
        work_start(load, conn);
        if (load->mode == MODE_IDLE)
            load_operation_done(load, conn);
    }
    run_again(load);
    while (load->busy > 0)
        turn(load, TURN_MS);
}

/* The runner reads what it wants to know of the subject, and then says "go on" with a line; its end ends us too. */
static void wait_for_line(void)
{
    char c;
    ssize_t got;
    while ((got = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n')
        continue;
    if (got < 0)
        die("standard input");
}

static double cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void print_result(const struct load *load, double cpu)
{
    double seconds = load->end_ns > load->begin_ns ? (double)(load->end_ns - load->begin_ns) / NS_PER_S : 0;
    printf("{\"mode\":\"%s\",\"ops\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"standing\":%llu,\"load_cpu_s\":%.6f,"
           "\"latency_us\":{",
           mode_row(load->mode)->name, (unsigned long long)load->done, (unsigned long long)load->moved_bytes, seconds,
           (unsigned long long)load->standing, cpu);
    static const struct {
        const char *name;
        double fraction;
    } points[] = {
        {"p50",  0.5  },
        {"p90",  0.9  },
        {"p99",  0.99 },
        {"p999", 0.999},
        {"max",  1    }
    };
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
        printf("%s\"%s\":%.2f", i == 0 ? "" : ",", points[i].name,
               histogram_at(&load->latency, points[i].fraction) / 1000);
    printf("},\"errors\":{");
    static const char *const names[] = {
#define X(name, sentence) #name,
        ERROR_TABLE(X)
#undef X
    };
    for (size_t i = 0; i < ERRORS; i++)
        printf("%s\"%s\":%llu", i == 0 ? "" : ",", names[i], (unsigned long long)load->errors[i]);
    printf("}}\n");
    fflush(stdout);
}

static void prepare(struct load *load)
{
    size_t descriptors = descriptors_raise();
    if (load->concurrency == 0 || load->concurrency + 16 > descriptors)
        die("%llu connections do not fit %zu descriptors", (unsigned long long)load->concurrency, descriptors);
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load->conns = calloc(load->concurrency, sizeof *load->conns);
    load->again = calloc(load->concurrency, sizeof(struct conn *));
    uint8_t *in = malloc(load->concurrency * (HEAD_MAX + 1));
    if (load->epoll_fd < 0 || load->conns == NULL || load->again == NULL || in == NULL)
        die("no memory or no epoll");
    for (uint64_t i = 0; i < load->concurrency; i++) {
        load->conns[i].fd = -1;
        load->conns[i].in = in + i * (HEAD_MAX + 1);
    }
}

static void options(int argc, char **argv, struct load *load)
{
    const char *mode = "tunnels";
    const struct option_row rows[] = {
        {"mode",        OPTION_TEXT,    &mode,                "tunnels, deny, down, up, ping, http or idle"      },
        {"proxy",       OPTION_ADDRESS, &load->proxy,         "where the subject listens"                        },
        {"raw",         OPTION_FLAG,    &load->raw,           "no CONNECT: the hello goes at once"               },
        {"every",       OPTION_FLAG,    &load->every_byte,    "look at every byte of bulk, not at blocks"        },
        {"host",        OPTION_TEXT,    &load->host,          "name to ask for; % becomes 0 to names - 1"        },
        {"port",        OPTION_NUMBER,  &load->port,          "port to ask for"                                  },
        {"names",       OPTION_NUMBER,  &load->names,         "how many different names"                         },
        {"concurrency", OPTION_NUMBER,  &load->concurrency,   "connections at one time"                          },
        {"warm-up",     OPTION_NUMBER,  &load->warm_up,       "operations before the measurement (tunnels, deny)"},
        {"count",       OPTION_NUMBER,  &load->count,         "operations; 0: as many as fit into the time"      },
        {"seconds",     OPTION_REAL,    &load->seconds,       "time for operations (tunnels, deny, ping, http)"  },
        {"stall",       OPTION_REAL,    &load->stall_seconds, "time without progress that is an error"           },
        {"bytes",       OPTION_NUMBER,  &load->bytes,         "bytes of bulk, of all tunnels together"           },
    };
    options_read(argc, argv, "opens tunnels through a proxy and measures", rows, sizeof rows / sizeof rows[0]);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(modes[i].name, mode) != 0)
            continue;
        load->mode = modes[i].mode;
        return;
    }
    errno = 0;
    die("there is no mode %s", mode);
}

int main(int argc, char **argv)
{
    static struct load load = {.host = "a.bench.test",
                               .port = 443,
                               .names = 1,
                               .concurrency = 1,
                               .seconds = 1,
                               .stall_seconds = 10,
                               .bytes = (uint64_t)1 << 30};
    options(argc, argv, &load);
    prepare(&load);
    bool standing = mode_row(load.mode)->standing;
    if (standing)
        open_standing(&load);
    else if (load.warm_up > 0)
        run_short(&load, load.warm_up);
    if (errors_all(&load) < ERRORS_MAX) {
        printf("{\"phase\":\"ready\",\"standing\":%llu}\n", (unsigned long long)load.standing);
        fflush(stdout);
        wait_for_line();
        double cpu = cpu_seconds();
        load.measuring = true;
        load.begin_ns = now_ns();
        load.deadline_ns = load.begin_ns + (uint64_t)(load.seconds * NS_PER_S);
        if (standing)
            run_standing(&load);
        else
            run_short(&load, load.count);
        print_result(&load, cpu_seconds() - cpu);
        wait_for_line();
    } else {
        print_result(&load, 0);
    }
    return errors_all(&load) == 0 && load.done > 0 ? 0 : 1;
}
