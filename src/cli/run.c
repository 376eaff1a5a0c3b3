/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"
#include "options.h"

#include "base/log.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "wire/target.h"

#include <argp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_EGRESS = 1000,
    OPT_CATALOGUE,
    OPT_AUDIT_DIR,
    OPT_SIGNER_DIR,
    OPT_PRIVACY_DIR,
    OPT_ADOPT,
    OPT_ADMIN,
    OPT_DNS,
    OPT_READY_FD,
    OPT_DRAIN,
    OPT_STRICT,
    OPT_LOG_JSON,
    OPT_USER,
    OPT_SESSIONS,
};

#define DRAIN_MS 30000

/* clang-format off */
static const struct argp_option options[] = {
    {"config",       'c',             "FILE",      0,
     "a gateway's configuration: listeners, environments and all that follows here", 0},
    {"policy",       'p',             "FILE",      0, "environment file that decides (required without --config)", 0},
    {"egress",       OPT_EGRESS,      "FILE",      0, "the egress block in a file of its own", 0},
    {"catalogue",    OPT_CATALOGUE,   "FILE",      0, "an operator's own catalogue of package managers' hosts", 0},
    {"listen",       'l',             "WHERE",     0,
     "ADDR:PORT or unix:PATH[,mode=0660][,owner=NAME][,group=NAME], may be repeated (127.0.0.1:3128)", 0},
    {"audit-dir",    OPT_AUDIT_DIR,   "DIR",       0, "audit log (audit under the state directory)", 0},
    {"signer-dir",   OPT_SIGNER_DIR,  "DIR",       0, "key and memory of the signer (AUDIT_DIR.signer)", 0},
    {"privacy-dir",  OPT_PRIVACY_DIR, "DIR",       0,
     "keys of the hashes that stand for secrets (AUDIT_DIR.privacy)", 0},
    {"adopt",        OPT_ADOPT,       0,           0,
     "the signer's memory is lost: go on from what the log says, and record it", 0},
    {"admin",        OPT_ADMIN,       "unix:PATH", 0, "admin socket (admin.sock under the runtime directory)", 0},
    {"workers",      'w',             "N",         0, "threads that carry traffic (one a core)", 0},
    {"dns",          OPT_DNS,         "ADDR:PORT", 0, "name server, may be repeated (those of the system)", 0},
    {"ready-fd",     OPT_READY_FD,    "N",         0, "descriptor that gets one JSON line when everything is up", 0},
    {"drain",        OPT_DRAIN,       "TIME",      0, "how long open tunnels may go on after SIGTERM (30s)", 0},
    {"sessions-dir", OPT_SESSIONS,    "DIR",       0,
     "where each session gets a directory (sessions beside the admin socket)", 0},
    {"user",         OPT_USER,        "NAME",      0,
     "account to become when started as root (sallyport, else nobody)", 0},
    {"strict-files", OPT_STRICT,      0,           0, "group-writable policy files are errors", 0},
    {"log-json",     OPT_LOG_JSON,    0,           0, "the operational log as JSON", 0},
    {0},
};
/* clang-format on */

static const char doc[] =
    "Runs the proxy until SIGTERM. SIGHUP loads the policy again; a file that does not load leaves the old one in "
    "force. "
    "SIGTERM lets open tunnels finish, a second one ends at once."
    "\vExample:\n"
    "  sallyport run --policy policies/invoice-env.yaml --listen 127.0.0.1:3128\n"
    "  HTTPS_PROXY=http://127.0.0.1:3128 curl https://pypi.org/\n"
    "  sallyport run --config /etc/sallyport/gateway.yaml\n\n"
    "Exit status: 0 drained and ended, 1 failed, 2 the audit log was tampered with, 3 it is locked or unavailable, "
    "4 it was rolled back, 64 wrong usage, 78 wrong configuration. Never needs root.";

static unsigned socket_mode(struct argp_state *state, const char *text)
{
    unsigned mode = 0;
    bool good = strlen(text) >= 3 && strlen(text) <= 4;
    for (const char *at = text; *at != '\0' && good; at++) {
        good = *at >= '0' && *at <= '7';
        mode = mode * 8 + (unsigned)(*at - '0');
    }
    if (!good || mode > 0777 || (mode & 0600) != 0600 || (mode & 0111) != 0)
        argp_error(state, "--listen: '%s' is no mode of a socket: write for instance mode=0660", text);
    return mode;
}

/* unix:PATH[,mode=0660][,owner=NAME][,group=NAME]; a comma that begins none of these is part of the path. */
static void read_unix(struct argp_state *state, struct daemon_listen *listen, char *path)
{
    listen->is_unix = true;
    listen->path = path;
    for (char *comma = strrchr(path, ','); comma != NULL; comma = strrchr(path, ',')) {
        char *value = strchr(comma, '=');
        size_t len = value != NULL ? (size_t)(value - comma) : 0;
        if (len == 5 && memcmp(comma, ",mode", len) == 0)
            listen->mode = socket_mode(state, value + 1);
        else if (len == 6 && memcmp(comma, ",owner", len) == 0 && value[1] != '\0')
            listen->owner = value + 1;
        else if (len == 6 && memcmp(comma, ",group", len) == 0 && value[1] != '\0')
            listen->group = value + 1;
        else
            break;
        *comma = '\0';
    }
    if (path[0] == '\0')
        argp_error(state, "--listen unix: wants a path");
}

static void add_listen(struct argp_state *state, struct daemon_options *o, char *arg)
{
    if (o->listen_count == DAEMON_LISTEN_MAX)
        argp_error(state, "more than %d listeners", DAEMON_LISTEN_MAX);
    struct daemon_listen *listen = &o->listen[o->listen_count++];
    if (strncmp(arg, "unix:", 5) == 0 && arg[5] != '\0') {
        read_unix(state, listen, arg + 5);
    } else if (ipaddr_parse_socket(span_text(arg), 0, &listen->addr, &listen->port) != ERR_NONE) {
        argp_error(state, "--listen wants ADDR:PORT, [V6]:PORT or unix:PATH, not '%s'", arg);
    }
}

static void add_dns(struct argp_state *state, struct daemon_options *o, const char *arg)
{
    if (o->dns_count == DAEMON_DNS_MAX)
        argp_error(state, "more than %d name servers", DAEMON_DNS_MAX);
    struct resolver_server *server = &o->dns[o->dns_count++];
    if (ipaddr_parse_socket(span_text(arg), 1, &server->addr, &server->port) != ERR_NONE)
        argp_error(state, "--dns wants ADDR:PORT, not '%s'", arg);
}

static unsigned number(struct argp_state *state, const char *what, const char *arg, unsigned min, unsigned max)
{
    uint64_t value = 0;
    if (text_u64(span_text(arg), max, &value) != ERR_NONE || value < min)
        argp_error(state, "%s wants a number from %u to %u, not '%s'", what, min, max, arg);
    return (unsigned)value;
}

/* What stands in a file is not said a second time beside it: one of the two would be wrong some day. */
static void check_whole(struct argp_state *state, const struct daemon_options *o)
{
    if (o->config_path == NULL && o->policy_path == NULL)
        argp_error(state, "--policy FILE or --config FILE is required: there is no policy that would be right for "
                          "everybody");
    bool other = o->policy_path != NULL || o->egress_path != NULL || o->catalogue_path != NULL || o->listen_count > 0 ||
                 o->audit_dir != NULL || o->signer_dir != NULL || o->privacy_dir != NULL || o->admin_path != NULL ||
                 o->workers != 0 || o->dns_count > 0 || o->user != NULL || o->drain_ms != DRAIN_MS;
    if (o->config_path != NULL && other)
        argp_error(state, "with --config everything but --ready-fd, --sessions-dir, --adopt, --strict-files and "
                          "--log-json stands in the file");
}

/* Where the text of an option goes as it stands; NULL: it is no such option. */
static const char **text_of(struct daemon_options *o, int key)
{
    switch (key) {
    case 'c':
        return &o->config_path;
    case 'p':
        return &o->policy_path;
    case OPT_EGRESS:
        return &o->egress_path;
    case OPT_CATALOGUE:
        return &o->catalogue_path;
    case OPT_AUDIT_DIR:
        return &o->audit_dir;
    case OPT_SIGNER_DIR:
        return &o->signer_dir;
    case OPT_PRIVACY_DIR:
        return &o->privacy_dir;
    case OPT_SESSIONS:
        return &o->sessions_dir;
    case OPT_USER:
        return &o->user;
    default:
        return NULL;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct daemon_options *o = state->input;
    const char **text = text_of(o, key);
    if (text != NULL) {
        *text = arg;
        return 0;
    }
    switch (key) {
    case 'l':
        add_listen(state, o, arg);
        break;
    case OPT_ADOPT:
        o->adopt = true;
        break;
    case OPT_ADMIN:
        if (strncmp(arg, "unix:", 5) != 0 || arg[5] == '\0')
            argp_error(state, "--admin wants unix:PATH, not '%s'", arg);
        o->admin_path = arg + 5;
        break;
    case 'w':
        o->workers = number(state, "--workers", arg, 1, 256);
        break;
    case OPT_DNS:
        add_dns(state, o, arg);
        break;
    case OPT_READY_FD:
        o->ready_fd = (int)number(state, "--ready-fd", arg, 1, 1048576);
        break;
    case OPT_DRAIN:
        if (text_duration_ms(span_text(arg), &o->drain_ms) != ERR_NONE)
            argp_error(state, "--drain wants a time like 30s or 5m, not '%s'", arg);
        break;
    case OPT_STRICT:
        o->strict_files = true;
        break;
    case OPT_LOG_JSON:
        log_set_json(true);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected '%s'", arg);
        break;
    case ARGP_KEY_END:
        check_whole(state, o);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/*
 * Libraries read the environment (resolver options, OpenSSL's configuration, proxies): none of it may steer a program
 * that decides what leaves. What this program itself needs is kept.
 */
/* False: no memory for what is kept. */
static bool clear_environment(void)
{
    static const char *const kept[] = {"HOME",         "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TZ",
                                       "ASAN_OPTIONS", "UBSAN_OPTIONS",  "TSAN_OPTIONS",    "LSAN_OPTIONS"};
    char *values[sizeof kept / sizeof kept[0]];
    bool lost = false;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const char *value = getenv(kept[i]);
        values[i] = value != NULL ? strdup(value) : NULL;
        lost = lost || (value != NULL && values[i] == NULL);
    }
    clearenv();
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        lost = lost || (values[i] != NULL && setenv(kept[i], values[i], 1) != 0);
        free(values[i]);
    }
    return !lost;
}

int verb_run(int argc, char **argv)
{
    static const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    static struct daemon_options o = {.ready_fd = -1, .drain_ms = DRAIN_MS};
    options_read(&argp, argc, argv, 0, &o);
    supervisor_read_environment();
    if (!clear_environment())
        options_no_memory();
    return daemon_run(&o);
}
