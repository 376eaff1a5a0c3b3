/* SPDX-License-Identifier: Apache-2.0 */
/* audit ship: a second copy of a log, kept up beside the proxy by a process of its own. */
#include "audit_verbs.h"
#include "options.h"
#include "ship_stores.h"

#include "base/clock.h"
#include "base/text.h"
#include "cli/verbs.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_MS     30000u
#define INTERVAL_MS    1000u
#define INTERVAL_MAX   3600000u
#define FAILURES_QUIET 10 /* the same trouble is said again after so many tries */

enum { OPT_TO = 1000, OPT_FOLLOW, OPT_NEWEST, OPT_STATE, OPT_CA, OPT_HEADERS, OPT_INTERVAL, OPT_TIMEOUT, OPT_JSON };

struct ship_args {
    const char *dir, *to, *state;
    struct ship_http_options http;
    bool follow, newest, json;
    uint64_t interval_ms;
};

static void take_duration(struct argp_state *state, const char *arg, uint64_t *out)
{
    if (text_duration_ms(span_text(arg), out) != ERR_NONE || *out < 100 || *out > INTERVAL_MAX)
        argp_error(state, "'%s' is no duration from 100ms to 1h", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const struct audit_place places[] = {
        AUDIT_PLACE(OPT_TO, struct ship_args, to),         AUDIT_PLACE(OPT_FOLLOW, struct ship_args, follow),
        AUDIT_PLACE(OPT_NEWEST, struct ship_args, newest), AUDIT_PLACE(OPT_STATE, struct ship_args, state),
        AUDIT_PLACE(OPT_CA, struct ship_args, http.ca),    AUDIT_PLACE(OPT_HEADERS, struct ship_args, http.headers),
        AUDIT_PLACE(OPT_JSON, struct ship_args, json),
    };
    struct ship_args *a = state->input;
    if (key == OPT_INTERVAL || key == OPT_TIMEOUT) {
        take_duration(state, arg, key == OPT_INTERVAL ? &a->interval_ms : &a->http.timeout_ms);
        return 0;
    }
    return audit_take(places, sizeof places / sizeof places[0], key, arg, state, &a->dir);
}

static void print_progress(const struct ship_args *a, const struct ship *ship)
{
    struct ship_progress p;
    char through[32];
    ship_progress(ship, &p);
    audit_time_text(p.through_ms, through);
    uint64_t lag = p.signed_size > p.entries ? p.signed_size - p.entries : 0;
    if (a->json)
        audit_print_object(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "to", p.to, "entries", (json_int_t)p.entries,
                                     "head", (json_int_t)p.head, "signed", (json_int_t)p.signed_size, "lag_entries",
                                     (json_int_t)lag, "through_ms", (json_int_t)p.through_ms));
    else
        printf("%llu entries and heads to %llu are in %s; %llu signed entries are not, everything until %s is\n",
               (unsigned long long)p.entries, (unsigned long long)p.head, p.to, (unsigned long long)lag, through);
    fflush(stdout);
}

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* Until a signal: a failure is tried again, since the log itself stands meanwhile. */
static enum err follow(const struct ship_args *a, struct ship *ship)
{
    char why[512], said[512] = "";
    unsigned failures = 0;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    while (!stopped) {
        enum err err = ship_pass(ship, why, sizeof why);
        if (err == ERR_CORRUPT)
            return err;
        if (err == ERR_NONE) {
            failures = 0;
            said[0] = '\0';
        } else if (strcmp(said, why) != 0 || ++failures % FAILURES_QUIET == 0) {
            fprintf(stderr, "sallyport audit ship: %s; trying again\n", why);
            snprintf(said, sizeof said, "%s", why);
        }
        struct timespec nap = {.tv_sec = (time_t)(a->interval_ms / 1000),
                               .tv_nsec = (long)(a->interval_ms % 1000) * 1000000};
        if (!stopped)
            nanosleep(&nap, NULL);
    }
    return ERR_NONE;
}

static int ship_to(const struct ship_args *a, const struct ship_store *store)
{
    struct ship_options options = {.dir = a->dir, .to = a->to, .state = a->state, .newest = a->newest, .store = *store};
    struct ship *ship = NULL;
    char why[512] = "";
    enum err err = ship_open(&options, &ship, why, sizeof why);
    if (err == ERR_NONE)
        err = a->follow ? follow(a, ship) : ship_pass(ship, why, sizeof why);
    if (err == ERR_CORRUPT)
        fprintf(stderr, "sallyport audit ship: %s\n", why);
    int status = err == ERR_NONE || err == ERR_CORRUPT ? audit_exit(err) : audit_fail("ship", a->to, err, why);
    if (ship != NULL)
        print_progress(a, ship);
    ship_close(ship);
    return status;
}

static int ship_somewhere(const struct ship_args *a)
{
    struct ship_store store;
    struct ship_http *http = NULL;
    struct ship_dir *dir = NULL;
    if (strstr(a->to, "://") != NULL) {
        enum err err = ship_http_open(&a->http, &http, &store);
        if (err == ERR_INVALID) {
            fprintf(stderr, "sallyport audit ship: '%s' is no https:// URL without query\n", a->to);
            return EXIT_USAGE;
        }
        if (err == ERR_NOT_FOUND)
            return audit_fail("ship", a->to, ERR_IO, "libcurl.so.4 is not installed (libcurl4)");
        if (err != ERR_NONE)
            return audit_fail("ship", a->http.headers != NULL ? a->http.headers : a->to, err, err_text(err));
    } else if (ship_dir_open(a->to, &dir, &store) != ERR_NONE) {
        return audit_fail("ship", a->to, ERR_IO, "is no directory that can be opened");
    }
    int status = ship_to(a, &store);
    ship_http_close(http);
    ship_dir_close(dir);
    return status;
}

int audit_verb_ship(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        {"to",       OPT_TO,       "DIR2|URL", 0,
         "a directory on another volume, or an https:// URL that takes PUT (required)", 0},
        {"follow",   OPT_FOLLOW,   0,          0, "go on until a signal ends it; what fails is tried again", 0},
        {"newest",   OPT_NEWEST,   0,          0, "also the segment that is being written, as far as it is signed", 0},
        {"interval", OPT_INTERVAL, "TIME",     0, "with --follow: how often to look (1s)", 0},
        {"timeout",  OPT_TIMEOUT,  "TIME",     0, "for a connection, and without a byte moved (30s)", 0},
        {"ca",       OPT_CA,       "FILE",     0, "certificates to trust instead of the system's", 0},
        {"headers",  OPT_HEADERS,  "FILE",     0, "header lines to send, such as Authorization", 0},
        {"state",    OPT_STATE,    "DIR3",     0, "where what was acknowledged is remembered; else DIR itself", 0},
        {"json",     OPT_JSON,     0,          0, "one JSON object", 0},
        {0},
    };
    /* clang-format on */
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Copies the log in DIR to a store that this machine should not be able to change: sealed segments, blobs, and "
        "every checkpoint as an object of its own (heads/SIZE). What the store acknowledged is remembered; after a "
        "break the object is sent again as a whole. 'audit verify' takes the copy as it is.\vExamples:\n"
        "  sallyport audit ship --to /mnt/worm/gate --follow /var/lib/sallyport/audit\n"
        "  sallyport audit ship --to https://objects.example.com/gate --headers /etc/sallyport/store.headers "
        "--newest --interval 1m --follow DIR\n\n"
        "Exit status: 0 everything there is was acknowledged, or a signal ended it; 1 it failed, 2 the log was rolled "
        "back or cannot be read, 3 no log there, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct ship_args args = {.interval_ms = INTERVAL_MS, .http = {.timeout_ms = TIMEOUT_MS}};
    options_read(&argp, argc, argv, 0, &args);
    if (args.to == NULL) {
        fputs("sallyport audit ship: --to is missing\n", stderr);
        return EXIT_USAGE;
    }
    args.http.url = args.to;
    return ship_somewhere(&args);
}
