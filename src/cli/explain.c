/* SPDX-License-Identifier: Apache-2.0 */
/* explain: one decision, the line that made it, and what would change it. */
#include "cli/verbs.h"

#include "base/clock.h"
#include "explain_config.h"
#include "explain_layers.h"
#include "explain_log.h"
#include "explain_open.h"
#include "findings.h"
#include "policy/catalogue.h"

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

#define EXIT_UNDECIDED 2
#define OWN_MAX        16

struct explain {
    const char *policy_path, *egress_path, *catalogue_path, *config_path, *environment, *host, *audit_dir;
    const struct catalogue *catalogue;
    const struct policy_sources *sources; /* of the policy that is asked */
    const char *request;                  /* the id of one that the log holds */
    enum door door;
    enum method method;
    struct ipaddr addresses[ADMITTED_MAX];
    size_t address_count;
    struct own_socket own[OWN_MAX];
    size_t own_count;
    bool asks_hello, asks_method, has_sni, no_sni, json;
    enum first_bytes first;
    struct hello hello;
};

/* What was decided, stage by stage; the first refusal ends it. */
struct answer {
    struct decision decision;
    const struct ipaddr *address; /* that decided a refusal */
    bool address_asked, hello_asked;
};

static const struct argp_option options[] = {
    {"policy",                                                    OPT_POLICY, "FILE", 0, "environment file (required without --audit-dir)", 0},
    {"egress",                                                     OPT_EGRESS, "FILE", 0, "the egress block in a file of its own", 0},
    {"config",          OPT_CONFIG, "FILE", 0, "a gateway's configuration instead of an environment file", 0},
    {"environment",                                                           OPT_ENVIRONMENT, "NAME", 0, "which of its environments", 0},
    {"catalogue",OPT_CATALOGUE, "FILE", 0, "an operator's own catalogue of package managers' hosts", 0},
    {"via",                                                          OPT_VIA, "DOOR", 0, "connect, http or socks5 (connect)", 0},
    {"method",                                                          OPT_METHOD, "METHOD", 0, "method of a plain HTTP request (GET)", 0},
    {"address",                                                    OPT_ADDRESS, "ADDR", 0, "what the name resolves to, may be repeated; nothing is resolved", 0},
    {"sni",                                                     OPT_SNI, "NAME", 0, "the TLS hello names this host", 0},
    {"no-sni", OPT_NO_SNI, 0, 0, "the TLS hello names none", 0},
    {"ech",                                                           OPT_ECH, 0, 0, "the TLS hello carries encrypted client hello", 0},
    {"no-tls",OPT_NO_TLS, 0, 0, "the tunnel does not begin with TLS", 0},
    {"silent",                                                          OPT_SILENT, 0, 0, "the client sends nothing until the hello deadline", 0},
    {"own",                                                          OPT_OWN, "ADDR:PORT", 0, "the proxy itself listens there, may be repeated", 0},
    {"audit-dir",                                                 OPT_AUDIT_DIR, "DIR", 0, "HOST is a request id: what this log says of it, asked again", 0},
    {"json",                                                     OPT_JSON, 0, 0, "as one JSON object", 0},
    {0  },
};

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

static void set_method(struct explain *e, const char *word)
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
    if (e->own_count == OWN_MAX)
        argp_error(state, "--own may stand %d times", OWN_MAX);
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
        set_method(e, arg);
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

/* ---- asking ---- */

static bool is_http(enum door door)
{
    return door == DOOR_HTTP || door == DOOR_PLAIN;
}

/* As a client would write it; an IPv6 address may go without brackets when there is no port. */
static enum err read_target(const struct explain *e, struct target *out)
{
    uint16_t port = is_http(e->door) ? 80 : 443;
    bool has_port = false;
    struct ipaddr addr;
    if (ipaddr_parse(span_text(e->host), &addr) == ERR_NONE && addr.family == 6) {
        *out = (struct target){.kind = TARGET_ADDRESS, .port = port, .addr = addr};
        return ERR_NONE;
    }
    return target_parse_host(span_text(e->host), port, out, &has_port);
}

static void ask(const struct explain *e, const struct policy *policy, const struct question *question,
                struct answer *out)
{
    policy_ask_target(policy, question, &out->decision);
    bool is_address = question->target->kind == TARGET_ADDRESS;
    if (out->decision.verdict == VERDICT_ALLOW && (e->address_count > 0 || is_address)) {
        struct admitted admitted;
        size_t index = 0;
        const struct ipaddr *answers = is_address ? &question->target->addr : e->addresses;
        size_t count = is_address ? 1 : e->address_count;
        struct rule_ref by_name = out->decision.rule;
        out->address_asked = true;
        policy_ask_address(policy, question, answers, count, &admitted, &out->decision, &index);
        if (out->decision.verdict == VERDICT_DENY)
            out->address = &answers[index];
        else if (out->decision.rule.kind == RULE_DEFAULT)
            out->decision.rule = by_name; /* public addresses need no rule: the name's is the one to show */
    }
    if (out->decision.verdict == VERDICT_ALLOW && e->asks_hello && !is_http(e->door)) {
        struct rule_ref before = out->decision.rule;
        out->hello_asked = true;
        policy_ask_hello(policy, question, e->first, &e->hello, &out->decision);
        if (out->decision.verdict == VERDICT_ALLOW)
            out->decision.rule = before;
    }
}

/* ---- words ---- */

static void print_rule(const struct rule *rule)
{
    printf("  rule      %s", rule->id);
    if (rule->text.len > 0)
        printf("  %.*s", (int)rule->text.len, (const char *)rule->text.data);
    putchar('\n');
    if (rule->file != NULL)
        printf("  line      %s:%u\n", rule->file, rule->line);
    if (rule->group.len > 0)
        printf("  group     %.*s, version %.*s\n", (int)rule->group.len, (const char *)rule->group.data,
               (int)rule->version.len, (const char *)rule->version.data);
}

static void print_address(const struct answer *a)
{
    char text[IPADDR_TEXT_MAX];
    if (a->address == NULL)
        return;
    ipaddr_format(a->address, text);
    printf("  address   %s, %s\n", text, policy_address_class(a->address));
}

static void print_answer(const struct explain *e, const struct target *target, const struct policy *policy,
                         const struct answer *a)
{
    char text[TARGET_TEXT_MAX];
    struct rule rule;
    const struct reason_row *row = reason_row(a->decision.reason);
    if (target->kind == TARGET_NONE)
        snprintf(text, sizeof text, "this target");
    else
        target_format(target, text);
    printf("%s  %s by %s\n", a->decision.verdict == VERDICT_ALLOW ? "ALLOWED" : "DENIED", text, door_words[e->door]);
    printf("  reason    %s: %s\n", row->name, row->sentence);
    if (a->decision.observed != REASON_NONE)
        printf("  observed  enforcing would refuse it: %s: %s\n", reason_row(a->decision.observed)->name,
               reason_row(a->decision.observed)->sentence);
    printf("  stage     %s\n", stage_text(a->decision.stage));
    policy_rule(policy, a->decision.rule, &rule);
    print_rule(&rule);
    print_address(a);
    if (a->decision.verdict == VERDICT_ALLOW)
        printf("  judged    name and port%s%s\n", a->address_asked ? ", addresses" : "; addresses with --address",
               a->hello_asked ? ", TLS hello" : "");
}

static void json_answer(const struct explain *e, const struct target *target, const struct policy *policy,
                        const struct answer *a, const struct opening_case *c, const struct opening *opening)
{
    static uint8_t buffer[128 * 1024];
    char text[TARGET_TEXT_MAX];
    struct outbuf out = outbuf_make(buffer, sizeof buffer);
    struct json j = json_make(&out);
    struct rule rule;
    policy_rule(policy, a->decision.rule, &rule);
    json_open(&j, '{');
    if (e->request != NULL)
        json_key_text(&j, "request_id", e->request);
    json_key_text(&j, "verdict", a->decision.verdict == VERDICT_ALLOW ? "allow" : "deny");
    json_key_text(&j, "reason", reason_row(a->decision.reason)->name);
    if (a->decision.observed != REASON_NONE)
        json_key_text(&j, "observed", reason_row(a->decision.observed)->name);
    json_key_text(&j, "stage", stage_text(a->decision.stage));
    json_key_text(&j, "via", door_words[e->door]);
    if (target->kind != TARGET_NONE) {
        target_format_host(target, text);
        json_key_text(&j, "host", text);
        json_key_u64(&j, "port", target->port);
    }
    if (a->address != NULL) {
        char address[IPADDR_TEXT_MAX];
        ipaddr_format(a->address, address);
        json_key_text(&j, "address", address);
        json_key_text(&j, "address_class", policy_address_class(a->address));
    }
    json_key_span(&j, "environment", policy_name(policy));
    json_key_text(&j, "policy_id", policy_id(policy));
    json_key_text(&j, "rule", rule.id);
    json_key_span(&j, "rule_text", rule.text);
    if (rule.file != NULL) {
        json_key_text(&j, "file", rule.file);
        json_key_u64(&j, "line", rule.line);
    }
    if (rule.group.len > 0)
        json_key_span(&j, "group", rule.group);
    if (rule.version.len > 0)
        json_key_span(&j, "version", rule.version);
    json_key_bool(&j, "address_judged", a->address_asked);
    json_key_bool(&j, "hello_judged", a->hello_asked);
    layers_json(&(struct layers_case){policy, e->sources->above != NULL ? e->sources->above->ceiling : NULL,
                                      c->question, &a->decision, a->address_asked, a->hello_asked},
                &j);
    opening_json(c, opening, &j);
    json_close(&j, '}');
    json_flush(&j, stdout);
    putchar('\n');
}

struct again {
    const struct explain *e;
    const struct question *question;
};

static void ask_again(const void *arg, const struct policy *policy, struct decision *out,
                      const struct ipaddr **out_address)
{
    const struct again *again = arg;
    struct answer a = {0};
    ask(again->e, policy, again->question, &a);
    *out = a.decision;
    *out_address = a.address;
}

static int answer(const struct explain *e, const struct policy *policy)
{
    static struct opening opening;
    struct target target = {0};
    struct answer a = {
        .decision = {.reason = REASON_TARGET, .stage = STAGE_SYNTAX, .rule = {RULE_SYNTAX, 0}}
    };
    struct question question = {
        .door = e->door,
        .method = e->method,
        .target = &target,
        .own = e->own,
        .own_count = e->own_count,
        .observes = clock_wall_ns() / 1000000 < policy_observes_until_ms(policy),
    };
    struct again again = {e, &question};
    struct opening_case c = {e->sources, policy, &question, e->catalogue, ask_again, &again};
    if (read_target(e, &target) == ERR_NONE) {
        ask(e, policy, &question, &a);
        opening_find(&c, &a.decision, a.address, &opening);
    } else {
        target = (struct target){0};
    }
    if (e->json) {
        json_answer(e, &target, policy, &a, &c, &opening);
    } else {
        print_answer(e, &target, policy, &a);
        layers_print(&(struct layers_case){policy, e->sources->above != NULL ? e->sources->above->ceiling : NULL,
                                           &question, &a.decision, a.address_asked, a.hello_asked});
        opening_print(&c, &opening);
    }
    opening_free(&opening);
    return a.decision.verdict == VERDICT_ALLOW ? 0 : 1;
}

/* A hello option that says nothing of the name means the honest one. */
static void complete(struct explain *e)
{
    struct target target;
    if (!e->asks_method)
        e->method = is_http(e->door) ? METHOD_GET : METHOD_CONNECT;
    if (!e->has_sni && !e->no_sni && read_target(e, &target) == ERR_NONE && target.kind == TARGET_NAME) {
        e->hello.sni = SNI_PRESENT;
        e->hello.name = target.name;
    }
}

/* ---- a request of the log ---- */

static void take_logged(struct explain *e, const struct logged *logged)
{
    e->request = e->host;
    e->host = logged->target;
    for (size_t i = 0; i < sizeof door_words / sizeof door_words[0]; i++)
        if (strcmp(logged->door, door_words[i]) == 0)
            e->door = (enum door)i;
    if (logged->method[0] != '\0' && is_http(e->door))
        set_method(e, logged->method);
    memcpy(e->addresses, logged->answers, sizeof e->addresses);
    e->address_count = logged->answer_count;
    e->asks_hello = logged->has_hello;
    e->first = logged->first;
    e->hello.ech = logged->ech;
    e->no_sni = hostname_parse(span_text(logged->sni), &e->hello.name) != ERR_NONE;
    e->has_sni = !e->no_sni;
    e->hello.sni = e->no_sni ? SNI_NONE : SNI_PRESENT;
    if (!e->json)
        printf("RECORDED  %s by %s at stage %s, policy %.16s…\n", logged->reason, logged->rule, logged->stage,
               logged->policy_id);
}

static enum err open_logged(struct explain *e, struct logged *logged, struct diag *diag, struct policy_texts *texts,
                            struct policy **out)
{
    enum err err = logged_find(e->audit_dir, e->host, logged);
    if (err != ERR_NONE) {
        fprintf(stderr, "sallyport: no request '%s' in %s: %s\n", e->host, e->audit_dir, err_text(err));
        return err;
    }
    take_logged(e, logged);
    if (e->policy_path != NULL)
        return ERR_NONE; /* asked of another policy */
    err = logged_policy(e->audit_dir, logged, diag, texts, out);
    e->sources = &texts->sources;
    if (err != ERR_NONE)
        fprintf(stderr, "sallyport: the policy %s cannot be had: %s\n", logged->policy_id, err_text(err));
    else if (strcmp(policy_id(*out), logged->policy_id) != 0)
        fputs("sallyport: the texts that were kept make another policy than that of then\n", stderr);
    return err;
}

int verb_explain(int argc, char **argv)
{
    static const struct argp argp = {options, parse, "HOST[:PORT]|REQUEST-ID", doc, NULL, NULL, NULL};
    struct explain e = {.first = FIRST_HELLO};
    struct logged logged;
    struct policy_texts texts = {0};
    struct policy_sources sources;
    struct config *config = NULL;
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &e);
    struct diag diag;
    struct policy *policy = NULL;
    int status = EXIT_UNDECIDED;
    diag_init(&diag);
    enum err err = e.audit_dir != NULL ? open_logged(&e, &logged, &diag, &texts, &policy) : ERR_NONE;
    complete(&e);
    if (err == ERR_NONE && policy == NULL && e.config_path != NULL) {
        err = explain_config(e.config_path, e.environment, &diag, &config, &e.sources, &policy);
        e.catalogue_path = config != NULL ? config->catalogue_path : NULL;
    } else if (err == ERR_NONE && policy == NULL) {
        sources = (struct policy_sources){
            .path = e.policy_path, .egress_path = e.egress_path, .catalogue_path = e.catalogue_path};
        e.sources = &sources;
        err = policy_load(&sources, &diag, &policy);
    }
    struct catalogue *catalogue = NULL;
    if (err == ERR_NONE)
        err = e.sources == &texts.sources ? policy_then_catalogue(&texts, &diag, &catalogue)
                                          : catalogue_load(e.catalogue_path, false, &diag, &catalogue);
    e.catalogue = catalogue;
    if (err == ERR_NONE)
        status = answer(&e, policy);
    else
        findings_print(&diag, stderr);
    policy_unref(policy);
    catalogue_free(catalogue);
    policy_texts_free(&texts);
    config_free(config);
    diag_clear(&diag);
    return status;
}
