/* SPDX-License-Identifier: Apache-2.0 */
/* The verb session: lines for the admin socket of a running proxy. */
#include "cli/verbs.h"
#include "options.h"

#include "base/text.h"
#include "control.h"
#include "session_summary.h"

#include <argp.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BODY_MAX   16384
#define GROUP_TEXT 16

enum {
    OPT_ENVIRONMENT = 1000,
    OPT_SESSION,
    OPT_WORK,
    OPT_AGENT,
    OPT_AGENT_NAME,
    OPT_GROUP,
    OPT_HOSTS,
    OPT_NO_PACKAGES,
    OPT_NO_MCP,
    OPT_TTL,
    OPT_LABEL,
    OPT_LIMIT,
    OPT_NOW,
    OPT_JSON,
    OPT_MARKDOWN,
    OPT_SUMMARY,
};

/* clang-format off */
static const struct argp_option options[] = {
    {"admin",               'a',             "unix:PATH", 0,
     "admin socket (admin.sock under the runtime directory)", 0},
    {"environment",         OPT_ENVIRONMENT, "NAME",      0, "environment, by its name or by one of its ids", 0},
    {"session",             OPT_SESSION,     "ID",        0,
     "id of the session: letters, digits, - _ and ., 64 at most", 0},
    {"work",                OPT_WORK,        "ID",        0, "id of the piece of work, for the records", 0},
    {"agent",               OPT_AGENT,       "FILE",      0,
     "definition of the agent: of the MCP endpoints nothing but its own and its roster's", 0},
    {"agent-name",          OPT_AGENT_NAME,  "NAME",      0,
     "name of the agent, for the records (name: of the definition)", 0},
    {"group",               OPT_GROUP,       "GROUP",     0,
     "group of the sandbox, a name or a number; must be one of the proxy's own groups", 0},
    {"allow-hosts",         OPT_HOSTS,       "A,B",       0,
     "nothing but these hosts, of those that the environment allows", 0},
    {"no-package-managers", OPT_NO_PACKAGES, 0,           0, "package groups allow nothing", 0},
    {"no-mcp-servers",      OPT_NO_MCP,      0,           0, "MCP endpoints allow nothing", 0},
    {"ttl",                 OPT_TTL,         "TIME",      0, "close it after this time, like 30m or 8h", 0},
    {"label",               OPT_LABEL,       "K=V",       0, "kept in the records, may be repeated", 0},
    {"limit",               OPT_LIMIT,       "K=V",       0,
     "one of egress.limits, smaller than the environment has it, like bytes_up=20MiB; may be repeated", 0},
    {"now",                 OPT_NOW,         0,           0, "close: cut what is open", 0},
    {"summary",             OPT_SUMMARY,     0,           0, "show: what it did so far, from the audit log", 0},
    {"markdown",            OPT_MARKDOWN,    0,           0, "the summary as Markdown, for a pull request", 0},
    {"json",                OPT_JSON,        0,           0,
     "the summary as JSON; other answers are JSON in any case", 0},
    {0},
};
/* clang-format on */

static const char doc[] =
    "Opens, narrows and closes sessions of a running proxy. A session has a directory with one socket in it: mount "
    "that "
    "directory, and nothing else, into the sandbox. A session can do less than its environment, never more."
    "\vVerbs:\n"
    "  open       --environment and --session are needed; prints its socket\n"
    "  set        changes --allow-hosts, --no-package-managers, --no-mcp-servers, --agent, --limit,\n"
    "             --ttl, adds --label\n"
    "  phase run  closes the package groups of a session for good\n"
    "  close      no new connections; --now cuts its tunnels. Prints what the session did\n"
    "  deny-all   of --session, of --environment (its listeners and sessions), or of all: cuts tunnels, refuses\n"
    "             everything, also after a restart\n"
    "  lift       takes a deny-all of the same words back\n"
    "  list, show JSON; show --summary or --markdown: what the session did so far\n\n"
    "Example:\n"
    "  sallyport session open --environment invoices --session s-17 --ttl 8h --allow-hosts "
    "api.example.com,*.example.org\n"
    "  sallyport session phase run --session s-17\n"
    "  sallyport session close --session s-17 --now --markdown\n\n"
    "A summary is read from the audit log, so that its directory must be readable: begun at the opening, for at most "
    "ten "
    "seconds, with at most a thousand hosts; what is cut short is said.\n"
    "Exit status: 0 done (a close also when its summary cannot be read, which is said), 1 refused or failed, 64 wrong "
    "usage.";

struct session_options {
    const char *admin;
    const char *words[3];
    size_t word_count;
    bool has_session, now, json, markdown, summary;
    char body[BODY_MAX];
    size_t len;
};

static void add_line(struct argp_state *state, const char *key, const char *value)
{
    struct session_options *o = state->input;
    if (strpbrk(value, "\r\n") != NULL)
        argp_error(state, "a value is one line");
    int n = snprintf(o->body + o->len, sizeof o->body - o->len, "%s=%s\n", key, value);
    if (n < 0 || (size_t)n >= sizeof o->body - o->len)
        argp_error(state, "more is said than fits %d bytes", BODY_MAX);
    o->len += (size_t)n;
}

static char *absolute(struct argp_state *state, const char *path, char out[static PATH_MAX])
{
    char here[PATH_MAX] = "";
    if (path[0] != '/' && getcwd(here, sizeof here) == NULL)
        argp_error(state, "the working directory has no name: give --agent an absolute path");
    int n = snprintf(out, PATH_MAX, "%s%s%s", here, path[0] == '/' ? "" : "/", path);
    if (n < 0 || n >= PATH_MAX)
        argp_error(state, "--agent: the path is too long");
    return out;
}

/* The proxy takes numbers alone: see daemon/session_place.c. */
static char *group_number(struct argp_state *state, char *text, char out[static GROUP_TEXT])
{
    uint64_t number;
    if (text_u64(span_text(text), UINT32_MAX - 1, &number) == ERR_NONE)
        return text;
    const struct group *group = getgrnam(text);
    if (group == NULL)
        argp_error(state, "--group: there is no group %s", text);
    else
        snprintf(out, GROUP_TEXT, "%u", (unsigned)group->gr_gid);
    return out;
}

static const char *key_of(int key)
{
    switch (key) {
    case OPT_ENVIRONMENT:
        return "environment";
    case OPT_SESSION:
        return "session";
    case OPT_WORK:
        return "work";
    case OPT_AGENT:
        return "agent_file";
    case OPT_AGENT_NAME:
        return "agent";
    case OPT_GROUP:
        return "group";
    case OPT_HOSTS:
        return "allow_hosts";
    case OPT_NO_PACKAGES:
        return "no_package_managers";
    case OPT_NO_MCP:
        return "no_mcp_servers";
    case OPT_TTL:
        return "ttl";
    case OPT_LABEL:
        return "label";
    case OPT_LIMIT:
        return "limit";
    case OPT_NOW:
        return "now";
    default:
        return NULL;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct session_options *o = state->input;
    o->json |= key == OPT_JSON;
    o->markdown |= key == OPT_MARKDOWN;
    o->summary |= key == OPT_SUMMARY;
    o->now |= key == OPT_NOW;
    if (key == OPT_JSON || key == OPT_MARKDOWN || key == OPT_SUMMARY)
        return 0;
    if (key == 'a') {
        if (strncmp(arg, "unix:", 5) != 0 || arg[5] == '\0')
            argp_error(state, "--admin wants unix:PATH, not '%s'", arg);
        o->admin = arg + 5;
        return 0;
    }
    if (key == ARGP_KEY_ARG) {
        if (o->word_count == 2)
            argp_error(state, "unexpected '%s'", arg);
        o->words[o->word_count++] = arg;
        return 0;
    }
    if (key_of(key) == NULL)
        return ARGP_ERR_UNKNOWN;
    o->has_session = o->has_session || key == OPT_SESSION;
    char path[PATH_MAX], number[GROUP_TEXT] = "";
    if (key == OPT_GROUP)
        arg = group_number(state, arg, number);
    if (key == OPT_AGENT) /* the proxy has a working directory of its own */
        arg = absolute(state, arg, path);
    add_line(state, key_of(key), arg != NULL ? arg : "true");
    return 0;
}

static const struct {
    const char *word, *second; /* of the command line */
    const char *method, *path;
    bool needs_session;
} verbs[] = {
    {"open",     NULL,  "POST", "/sessions",           true },
    {"set",      NULL,  "POST", "/sessions/set",       true },
    {"phase",    "run", "POST", "/sessions/phase-run", true },
    {"show",     NULL,  "POST", "/sessions/show",      true },
    {"close",    NULL,  "POST", "/sessions/close",     true },
    {"deny-all", NULL,  "POST", "/sessions/deny-all",  false},
    {"lift",     NULL,  "POST", "/sessions/lift",      false},
    {"list",     NULL,  "GET",  "/sessions",           false},
};

static bool is_verb(size_t index, const struct session_options *o)
{
    if (o->word_count == 0 || strcmp(o->words[0], verbs[index].word) != 0)
        return false;
    if (verbs[index].second == NULL)
        return o->word_count == 1;
    return o->word_count == 2 && strcmp(o->words[1], verbs[index].second) == 0;
}

/* The proxy has answered: what the session did is read here. */
static int summarize(const struct session_options *o, bool is_close, const char *answer)
{
    json_t *session = json_loads(answer, 0, NULL), *summary = NULL;
    struct summary_of of = {
        .dir = json_string_value(json_object_get(session, "audit_dir")),
        .session = json_string_value(json_object_get(session, "session")),
        .environment = json_string_value(json_object_get(session, "environment")),
        .opened_index = (uint64_t)json_integer_value(json_object_get(session, "opened_index")),
        .until_closed = is_close,
        .until_quiet = is_close && o->now,
    };
    bool known = of.dir != NULL && of.session != NULL && of.environment != NULL;
    enum err err = known ? session_summary(&of, &summary) : ERR_INVALID;
    if (err != ERR_NONE) {
        fprintf(stderr, "sallyport session: no summary: the log in %s cannot be read: %s\n", known ? of.dir : "?",
                err_text(err));
        if (is_close)
            fputs(answer, stdout);
        json_decref(session);
        return is_close ? 0 : 1;
    }
    json_object_set_new(session, "summary", summary);
    if (o->markdown) {
        session_print_markdown(session, stdout);
    } else if (o->json) {
        json_dumpf(session, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        session_print_text(session, stdout);
    }
    json_decref(session);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int ask(const struct session_options *o, const char *admin, const char *method, const char *path)
{
    bool is_close = strcmp(path, "/sessions/close") == 0;
    bool is_show = strcmp(path, "/sessions/show") == 0;
    char *answer = NULL;
    if (!is_close && !(is_show && (o->summary || o->markdown)))
        return control_ask(admin, method, path, o->body) == 200 ? 0 : 1;
    int status = control_fetch(admin, method, path, o->body, &answer);
    int result = 1;
    if (status == 200)
        result = summarize(o, is_close, answer);
    else if (status != 0)
        fputs(answer, stderr);
    free(answer);
    return result;
}

int verb_session(int argc, char **argv)
{
    static const struct argp argp = {options, parse, "open|set|phase run|close|list|show|deny-all|lift", doc, NULL,
                                     NULL,    NULL};
    struct session_options *o = calloc(1, sizeof *o);
    char path[4096];
    if (o == NULL)
        return 1;
    options_read(&argp, argc, argv, 0, o);
    size_t verb = 0;
    while (verb < sizeof verbs / sizeof verbs[0] && !is_verb(verb, o))
        verb++;
    int status = EXIT_USAGE;
    if (verb == sizeof verbs / sizeof verbs[0])
        fputs("sallyport session: say one of open, set, phase run, close, list, show, deny-all, lift\n", stderr);
    else if (verbs[verb].needs_session && !o->has_session)
        fprintf(stderr, "sallyport session %s: --session is needed\n", verbs[verb].word);
    else if (o->admin != NULL || control_default_admin(path, sizeof path))
        status = ask(o, o->admin != NULL ? o->admin : path, verbs[verb].method, verbs[verb].path);
    free(o);
    return status;
}
