/* SPDX-License-Identifier: Apache-2.0 */
/* The words of `sallyport explain`. */
#include "explain.h"
#include "options.h"

#include "cli/verbs.h"

#include <argp.h>
#include <string.h>

enum {
    OPT_POLICY = 1000,
    OPT_EGRESS,
    OPT_CATALOGUE,
    OPT_CONFIG,
    OPT_ENVIRONMENT,
    OPT_VIA,
    OPT_METHOD,
    OPT_ADDRESS,
    OPT_SNI,
    OPT_NO_SNI,
    OPT_ECH,
    OPT_NO_TLS,
    OPT_SILENT,
    OPT_OWN,
    OPT_AUDIT_DIR,
    OPT_JSON,
};

/* clang-format off */
static const struct argp_option options[] = {
    {"policy",      OPT_POLICY,      "FILE",      0, "environment file (required without --audit-dir)", 0},
    {"egress",      OPT_EGRESS,      "FILE",      0, "the egress block in a file of its own", 0},
    {"config",      OPT_CONFIG,      "FILE",      0, "a gateway's configuration instead of an environment file", 0},
    {"environment", OPT_ENVIRONMENT, "NAME",      0, "which of its environments", 0},
    {"catalogue",   OPT_CATALOGUE,   "FILE",      0, "an operator's own catalogue of package managers' hosts", 0},
    {"via",         OPT_VIA,         "DOOR",      0, "connect, http or socks5 (connect)", 0},
    {"method",      OPT_METHOD,      "METHOD",    0, "method of a plain HTTP request (GET)", 0},
    {"address",     OPT_ADDRESS,     "ADDR",      0,
     "what the name resolves to, may be repeated; nothing is resolved", 0},
    {"sni",         OPT_SNI,         "NAME",      0, "the TLS hello names this host", 0},
    {"no-sni",      OPT_NO_SNI,      0,           0, "the TLS hello names none", 0},
    {"ech",         OPT_ECH,         0,           0, "the TLS hello carries encrypted client hello", 0},
    {"no-tls",      OPT_NO_TLS,      0,           0, "the tunnel does not begin with TLS", 0},
    {"silent",      OPT_SILENT,      0,           0, "the client sends nothing until the hello deadline", 0},
    {"own",         OPT_OWN,         "ADDR:PORT", 0, "the proxy itself listens there, may be repeated", 0},
    {"audit-dir",   OPT_AUDIT_DIR,   "DIR",       0, "HOST is a request id: what this log says of it, asked again", 0},
    {"json",        OPT_JSON,        0,           0, "as one JSON object", 0},
    {0},
};
/* clang-format on */

static const char doc[] =
    "Asks a policy about one target and prints the verdict, the rule with file and line, and for a refusal the "
    "smallest lines that would open it and all else that they would open. Without --address the addresses are not "
    "judged, without a TLS option the hello "
    "is not. With --audit-dir a request that was answered is asked again, of the policy then in force or of --policy."
    "\vExample:\n"
    "  sallyport explain --policy policies/invoice-env.yaml pypi.org\n"
    "  sallyport explain --policy policies/invoice-env.yaml --address 10.20.3.7 mcp.internal.example.com:443\n"
    "  sallyport explain --policy policies/tightest.yaml --via http example.com:80\n"
    "  sallyport explain --config policies/gateway.yaml --environment research www.example.org\n"
    "  sallyport explain --audit-dir audit 15e37af35ca1cf5ff5ef4fbcd7de3745\n\n"
    "Exit status: 0 allowed, 1 denied, 2 could not be decided, 64 wrong usage.";

static const char *const door_words[] = {
    [DOOR_CONNECT] = "connect", [DOOR_HTTP] = "http",   [DOOR_SOCKS5] = "socks5",
    [DOOR_TLS] = "tls",         [DOOR_PLAIN] = "plain",
};

const char *explain_door(enum door door)
{
    return door_words[door];
}

bool explain_is_http(enum door door)
{
    return door == DOOR_HTTP || door == DOOR_PLAIN;
}

static void set_door(struct explain *e, const char *word, struct argp_state *state)
{
    for (size_t i = 0; i < sizeof door_words / sizeof door_words[0]; i++) {
        if (strcmp(word, door_words[i]) == 0) {
            e->door = (enum door)i;
            return;
        }
    }
    argp_error(state, "--via takes connect, http, socks5, tls or plain");
}

void explain_set_method(struct explain *e, const char *word)
{
    static const struct {
        const char *name;
        enum method method;
    } rows[] = {
#define X(name) {#name, METHOD_##name},
        METHOD_TABLE(X)
#undef X
    };
    e->asks_method = true;
    e->method = METHOD_UNKNOWN;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(word, rows[i].name) == 0)
            e->method = rows[i].method;
}

static void add_address(struct explain *e, const char *text, struct argp_state *state)
{
    if (e->address_count == ADMITTED_MAX)
        argp_error(state, "more than %d addresses: no more of an answer are looked at", ADMITTED_MAX);
    else if (ipaddr_parse(span_text(text), &e->addresses[e->address_count]) != ERR_NONE)
        argp_error(state, "'%s' is not an address in canonical form", text);
    else
        e->address_count++;
}

static void add_own(struct explain *e, const char *text, struct argp_state *state)
{
    struct target own;
    if (e->own_count == EXPLAIN_OWN_MAX)
        argp_error(state, "--own may stand %d times", EXPLAIN_OWN_MAX);
    else if (target_parse_authority(span_text(text), &own) != ERR_NONE || own.kind != TARGET_ADDRESS)
        argp_error(state, "'%s' is not an address and port", text);
    else
        e->own[e->own_count++] = (struct own_socket){own.addr, own.port};
}

static void set_sni(struct explain *e, const char *text, struct argp_state *state)
{
    if (hostname_parse(span_text(text), &e->hello.name) != ERR_NONE)
        argp_error(state, "'%s' is not a host name", text);
    e->asks_hello = e->has_sni = true;
    e->hello.sni = SNI_PRESENT;
}

static error_t parse_tls(int key, char *arg, struct argp_state *state, struct explain *e)
{
    if (key == OPT_SNI)
        set_sni(e, arg, state);
    else if (key == OPT_NO_SNI)
        e->asks_hello = e->no_sni = true;
    else if (key == OPT_ECH)
        e->asks_hello = e->hello.ech = true;
    else if (key == OPT_NO_TLS || key == OPT_SILENT)
        e->asks_hello = true;
    else
        return ARGP_ERR_UNKNOWN;
    if (key == OPT_NO_TLS || key == OPT_SILENT)
        e->first = key == OPT_NO_TLS ? FIRST_NOT_TLS : FIRST_SILENCE;
    return 0;
}

static void check_use(const struct explain *e, struct argp_state *state)
{
    if (e->host == NULL)
        argp_error(state, "name a HOST or HOST:PORT");
    if (e->policy_path == NULL && e->audit_dir == NULL && e->config_path == NULL)
        argp_error(state, "--policy FILE or --config FILE is required");
    if (e->config_path != NULL && (e->policy_path != NULL || e->egress_path != NULL || e->catalogue_path != NULL))
        argp_error(state, "with --config the policy and the catalogue are those that it names");
    if (e->has_sni && e->no_sni)
        argp_error(state, "--sni and --no-sni exclude each other");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct explain *e = state->input;
    switch (key) {
    case OPT_POLICY:
        e->policy_path = arg;
        return 0;
    case OPT_EGRESS:
        e->egress_path = arg;
        return 0;
    case OPT_CONFIG:
        e->config_path = arg;
        return 0;
    case OPT_ENVIRONMENT:
        e->environment = arg;
        return 0;
    case OPT_CATALOGUE:
        e->catalogue_path = arg;
        return 0;
    case OPT_VIA:
        set_door(e, arg, state);
        return 0;
    case OPT_METHOD:
        explain_set_method(e, arg);
        return 0;
    case OPT_ADDRESS:
        add_address(e, arg, state);
        return 0;
    case OPT_AUDIT_DIR:
        e->audit_dir = arg;
        return 0;
    case OPT_OWN:
        add_own(e, arg, state);
        return 0;
    case OPT_JSON:
        e->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (e->host != NULL)
            argp_error(state, "one HOST or HOST:PORT at a time");
        e->host = arg;
        return 0;
    case ARGP_KEY_END:
        check_use(e, state);
        return 0;
    default:
        return parse_tls(key, arg, state, e);
    }
}

void explain_args(int argc, char **argv, struct explain *out)
{
    static const struct argp argp = {options, parse, "HOST[:PORT]|REQUEST-ID", doc, NULL, NULL, NULL};
    argp_err_exit_status = EXIT_USAGE;
    options_read(&argp, argc, argv, 0, out);
}
