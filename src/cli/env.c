/* SPDX-License-Identifier: Apache-2.0 */
#include "env.h"
#include "options.h"

#include "base/assert.h"
#include "cli/verbs.h"
#include "wire/target.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_MAX_BYTES (256 * 1024) /* every value at its longest, every byte escaped */

enum {
    OPT_CA = 1000,
    OPT_WRITE_FILES,
    OPT_EXPLAIN,
};

/* clang-format off */
static const struct argp_option options[] = {
    {"proxy",       'p',             "URL",    0,
     "the proxy, as programs in the sandbox see it (http://127.0.0.1:3128)", 0},
    {"format",      'f',             "FORMAT", 0, "shell, dotenv, docker, k8s or json (shell)", 0},
    {"ca",          OPT_CA,          "FILE",   0, "authority that programs shall trust besides; absolute path", 0},
    {"write-files", OPT_WRITE_FILES, "DIR",    0, "also writes the files for programs that variables do not reach", 0},
    {"explain",     OPT_EXPLAIN,     0,        0, "says of each variable who reads it and why it is there", 0},
    {0},
};
/* clang-format on */

static const char doc[] =
    "Prints the variables that make real programs use the proxy. Nothing of the environment of this command is read or "
    "printed."
    "\vExamples:\n"
    "  eval \"$(sallyport env)\"\n"
    "  sallyport env --format docker > proxy.env && docker run --env-file proxy.env IMAGE\n"
    "  sallyport env --format json --write-files /run/sallyport/client\n\n"
    "--ca is needed only where the proxy inspects TLS. Most of its variables replace the authorities of a program: "
    "with "
    "--write-files they name DIR/ca-bundle.pem, which holds the system's as well; without it FILE has to.\n\n"
    "Chromium sends the ECH extension with every connection, which policies refuse by default. Start it with "
    "--disable-features=EncryptedClientHello, or with the policy EncryptedClientHelloEnabled=false where it no longer "
    "knows the switch.\n\n"
    "Exit status: 0 done, 1 a file cannot be written, 64 wrong usage.";

struct env_options {
    struct target proxy;
    enum env_format format;
    const char *ca, *folder;
    bool explain;
};

static void take_proxy(struct argp_state *state, struct env_options *o, const char *arg)
{
    struct span path;
    struct target proxy;
    if (strncmp(arg, "https:", 6) == 0)
        argp_error(state, "--proxy wants an http:// URL: most programs cannot speak TLS to a proxy");
    if (strchr(arg, '@') != NULL)
        argp_error(state, "--proxy takes no user and password: the proxy knows its clients by their socket");
    if (target_parse_absolute(span_text(arg), &proxy, &path) != ERR_NONE || path.len > 1)
        argp_error(state, "--proxy wants http://HOST:PORT, not '%s'", arg);
    o->proxy = proxy;
}

/* Formats without quotes cannot say a new line, and files with them would need an escape for each grammar. */
static const char *take_path(struct argp_state *state, const char *option, const char *arg)
{
    bool good = arg[0] == '/' && strlen(arg) < ENV_PATH_MAX;
    for (const char *c = arg; *c != '\0'; c++)
        good = good && (unsigned char)*c >= 0x20 && *c != 0x7f && *c != '"' && *c != '\\';
    if (!good)
        argp_error(state, "%s wants an absolute path without control characters, double quotes and backslashes",
                   option);
    return arg;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct env_options *o = state->input;
    switch (key) {
    case 'p':
        take_proxy(state, o, arg);
        break;
    case 'f':
        if (!env_format_parse(arg, &o->format))
            argp_error(state, "--format is one of shell, dotenv, docker, k8s, json, not '%s'", arg);
        break;
    case OPT_CA:
        o->ca = take_path(state, "--ca", arg);
        break;
    case OPT_WRITE_FILES:
        o->folder = take_path(state, "--write-files", arg);
        break;
    case OPT_EXPLAIN:
        o->explain = true;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected '%s'", arg);
        break;
    case ARGP_KEY_INIT:
        take_proxy(state, o, "http://127.0.0.1:3128");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

struct facts_text {
    char url[TARGET_TEXT_MAX + 8], host[TARGET_TEXT_MAX], port[8], bundle[ENV_PATH_MAX + 32];
};

static struct client_env_facts make_facts(const struct env_options *o, struct facts_text *text)
{
    char authority[TARGET_TEXT_MAX];
    target_format(&o->proxy, authority);
    snprintf(text->url, sizeof text->url, "http://%s", authority);
    target_format_host(&o->proxy, text->host);
    snprintf(text->port, sizeof text->port, "%u", (unsigned)o->proxy.port);
    struct client_env_facts facts = {
        .url = span_text(text->url), .host = span_text(text->host), .port = span_text(text->port)};
    if (o->ca == NULL)
        return facts;
    if (o->folder != NULL)
        snprintf(text->bundle, sizeof text->bundle, "%s/ca-bundle.pem", o->folder);
    facts.ca = span_text(o->ca);
    facts.bundle = o->folder != NULL ? span_text(text->bundle) : facts.ca;
    return facts;
}

static bool write_files(const struct env_options *o, const struct client_env_facts *facts,
                        const struct facts_text *text)
{
    return env_write_files(o->folder, facts) && (o->ca == NULL || env_write_bundle(text->bundle, o->ca));
}

int verb_env(int argc, char **argv)
{
    static const struct argp argp = {options, parse, NULL, doc, NULL, NULL, NULL};
    static char buffer[TEXT_MAX_BYTES];
    struct env_options o = {.format = ENV_SHELL};
    struct facts_text text;
    options_read(&argp, argc, argv, 0, &o);
    struct client_env_facts facts = make_facts(&o, &text);
    if (o.folder != NULL && !write_files(&o, &facts, &text))
        return 1;
    struct outbuf out = outbuf_make(buffer, sizeof buffer);
    if (o.explain)
        env_explain(&out, &facts);
    else
        env_print(&out, o.format, &facts);
    ASSERT(!out.overflow);
    fwrite(buffer, 1, out.len, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}
