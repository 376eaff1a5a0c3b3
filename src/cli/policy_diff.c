/* SPDX-License-Identifier: Apache-2.0 */
#include "policy_diff.h"

#include "base/assert.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/*
 * Names are decided by exact entries and by suffixes. So all names fall into classes that decide alike: each name that
 * is mentioned, for each mentioned suffix a name below it that nobody mentions, and one name that has nothing to do
 * with any of them. One question of each class, for each mentioned port and one that is not, by both doors, tells every
 * difference. Only regular expressions and lists of names in files escape this.
 */
#define FRESH_LABEL "a-name-that-no-policy-has"
#define FRESH_PORT  59999
#define OTHER_NAME  FRESH_LABEL ".invalid"

struct words {
    char **at;
    size_t count, cap;
};

struct side {
    struct words lines; /* "section<TAB>text" */
};

struct diff {
    struct side sides[2];
    struct words hosts;
    uint16_t ports[512];
    size_t port_count;
    policy_difference_fn *fn;
    void *arg;
};

static void words_add(struct words *words, const char *text, size_t len)
{
    if (words->count == words->cap) {
        words->cap = words->cap == 0 ? 64 : 2 * words->cap;
        words->at = realloc(words->at, words->cap * sizeof(char *));
        ASSERT(words->at != NULL);
    }
    words->at[words->count] = strndup(text, len);
    ASSERT(words->at[words->count] != NULL);
    words->count++;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void words_sort(struct words *words)
{
    size_t kept = 0;
    if (words->count > 1)
        qsort(words->at, words->count, sizeof(char *), by_text);
    for (size_t i = 0; i < words->count; i++) {
        if (kept > 0 && strcmp(words->at[kept - 1], words->at[i]) == 0)
            free(words->at[i]);
        else
            words->at[kept++] = words->at[i];
    }
    words->count = kept;
}

static void words_clear(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->at[i]);
    free(words->at);
    *words = (struct words){0};
}

/* ---- what is mentioned ---- */

static void add_port(struct diff *d, uint16_t port)
{
    for (size_t i = 0; i < d->port_count; i++)
        if (d->ports[i] == port)
            return;
    if (d->port_count < sizeof d->ports / sizeof d->ports[0])
        d->ports[d->port_count++] = port;
}

static void add_ports(struct diff *d, const char *text)
{
    for (const char *at = text; *at != '\0';) {
        size_t len = strspn(at, "0123456789");
        bool alone = at == text || strchr(" ,-", at[-1]) != NULL; /* the 5 of SOCKS5 is no port */
        uint64_t port = 0;
        if (len > 0 && alone && text_u64(span_make(at, len), 65535, &port) == ERR_NONE && port > 0)
            add_port(d, (uint16_t)port);
        at += len > 0 ? len : 1;
    }
}

static bool is_one_of(const char *section, const char *const *sections)
{
    for (; *sections != NULL; sections++)
        if (strcmp(section, *sections) == 0)
            return true;
    return false;
}

static void add_host(struct diff *d, const char *text)
{
    size_t len = strcspn(text, " ");
    if (strncmp(text, "https://", 8) == 0) {
        text += 8;
        len -= 8;
    }
    words_add(&d->hosts, text, len);
    /* The apex of a pattern is another class than what lies below it. */
    if (len > 2 && text[0] == '*')
        words_add(&d->hosts, text + 2, len - 2);
}

struct telling {
    struct diff *d;
    struct side *side;
};

static void take_line(void *arg, const struct policy_line *line)
{
    static const char *const hosts[] = {"allowed_hosts",
                                        "egress.hosts",
                                        "egress.mcp_servers",
                                        "package_managers",
                                        "egress.denied_hosts",
                                        "builtin.names",
                                        NULL};
    static const char *const ports[] = {"allowed_hosts",
                                        "egress.hosts",
                                        "egress.mcp_servers",
                                        "egress.ports.connect",
                                        "egress.ports.http",
                                        "egress.blocked_ports",
                                        NULL};
    struct telling *t = arg;
    char whole[600];
    int len = snprintf(whole, sizeof whole, "%s\t%s", line->section, line->text);
    words_add(&t->side->lines, whole, len > 0 ? strlen(whole) : 0);
    if (is_one_of(line->section, hosts))
        add_host(t->d, line->text);
    if (is_one_of(line->section, ports))
        add_ports(t->d, line->text + strcspn(line->text, " "));
    if (strncmp(line->section, "egress.ports", 12) == 0 || strcmp(line->section, "egress.blocked_ports") == 0)
        add_ports(t->d, line->text);
}

/* ---- asking ---- */

static bool make_target(const char *host, uint16_t port, struct target *out)
{
    char text[300];
    bool wild = host[0] == '*' && host[1] == '.';
    snprintf(text, sizeof text, "%s%s", wild ? FRESH_LABEL "." : "", wild ? host + 2 : host);
    *out = (struct target){.port = port};
    if (ipaddr_parse(span_text(text), &out->addr) == ERR_NONE)
        out->kind = TARGET_ADDRESS;
    else if (hostname_parse(span_text(text), &out->name) == ERR_NONE)
        out->kind = TARGET_NAME;
    return out->kind != TARGET_NONE;
}

static bool ask(const struct policy *policy, enum door door, const struct target *target, char *rule, size_t cap)
{
    struct question question = {
        .door = door,
        .method = door == DOOR_HTTP ? METHOD_GET : METHOD_CONNECT,
        .target = target,
    };
    struct decision decision;
    struct rule words;
    policy_ask_target(policy, &question, &decision);
    policy_rule(policy, decision.rule, &words);
    if (words.file != NULL)
        snprintf(rule, cap, "%s (%s:%u)", words.id, words.file, words.line);
    else
        snprintf(rule, cap, "%s", words.id);
    return decision.verdict == VERDICT_ALLOW;
}

static bool compare(const struct diff *d, const struct policy *const policies[2], const char *host, uint16_t port,
                    enum door door)
{
    struct target target;
    char rules[2][400];
    if (!make_target(host, port, &target))
        return false;
    bool was = ask(policies[0], door, &target, rules[0], sizeof rules[0]);
    bool is = ask(policies[1], door, &target, rules[1], sizeof rules[1]);
    if (was == is)
        return false;
    const struct policy_difference difference = {
        .opens = is,
        .host = strcmp(host, OTHER_NAME) == 0 ? NULL : host,
        .port = port == FRESH_PORT ? 0 : port,
        .door = door,
        .rule = is ? rules[1] : rules[0],
    };
    d->fn(d->arg, &difference);
    return true;
}

static bool compare_all(struct diff *d, const struct policy *const policies[2])
{
    bool differs = false;
    add_port(d, 443);
    add_port(d, 80);
    add_port(d, FRESH_PORT);
    words_add(&d->hosts, OTHER_NAME, strlen(OTHER_NAME));
    words_sort(&d->hosts);
    for (size_t i = 0; i < d->hosts.count; i++) {
        for (size_t j = 0; j < d->port_count; j++) {
            differs |= compare(d, policies, d->hosts.at[i], d->ports[j], DOOR_CONNECT);
            differs |= compare(d, policies, d->hosts.at[i], d->ports[j], DOOR_HTTP);
        }
    }
    return differs;
}

/* ---- lines ---- */

static bool is_undecided(const char *line)
{
    return strncmp(line, "egress.host_patterns", 20) == 0 || strncmp(line, "egress.allowed_host_files", 25) == 0 ||
           strncmp(line, "egress.blocklist", 16) == 0;
}

static void print_line(const char *sign, const char *line, FILE *out)
{
    size_t section = strcspn(line, "\t");
    fprintf(out, "%s %.*s: %s%s\n", sign, (int)section, line, line + section + (line[section] != '\0'),
            is_undecided(line) ? "  [undecided: what it matches is not compared]" : "");
}

static bool compare_lines(struct words *a, struct words *b, FILE *out)
{
    bool differs = false;
    words_sort(a);
    words_sort(b);
    for (size_t i = 0, j = 0; i < a->count || j < b->count;) {
        int order = i == a->count ? 1 : j == b->count ? -1 : strcmp(a->at[i], b->at[j]);
        if (order != 0)
            print_line(order < 0 ? "-" : "+", order < 0 ? a->at[i] : b->at[j], out);
        differs |= order != 0;
        i += order <= 0;
        j += order >= 0;
    }
    return differs;
}

static struct diff *describe(const struct policy *const policies[2], policy_difference_fn *fn, void *arg)
{
    struct diff *d = calloc(1, sizeof *d);
    ASSERT(d != NULL);
    d->fn = fn;
    d->arg = arg;
    for (size_t i = 0; i < 2; i++) {
        struct telling telling = {d, &d->sides[i]};
        policy_describe(policies[i], take_line, &telling);
    }
    return d;
}

static void forget(struct diff *d)
{
    words_clear(&d->hosts);
    words_clear(&d->sides[0].lines);
    words_clear(&d->sides[1].lines);
    free(d);
}

static void print_difference(void *arg, const struct policy_difference *one)
{
    char port[24] = "other ports";
    if (one->port != 0)
        snprintf(port, sizeof port, "%u", (unsigned)one->port);
    fprintf(arg, "%s %s  %s by %s  %s\n", one->opens ? "opens " : "closes",
            one->host == NULL ? "other names" : one->host, port, one->door == DOOR_HTTP ? "plain HTTP" : "CONNECT",
            one->rule);
}

bool policy_diff(const struct policy *before, const struct policy *after, FILE *out)
{
    const struct policy *const policies[2] = {before, after};
    struct diff *d = describe(policies, print_difference, out);
    bool differs = compare_all(d, policies);
    differs |= compare_lines(&d->sides[0].lines, &d->sides[1].lines, out);
    forget(d);
    return differs;
}

void policy_diff_each(const struct policy *before, const struct policy *after, policy_difference_fn *fn, void *arg)
{
    const struct policy *const policies[2] = {before, after};
    struct diff *d = describe(policies, fn, arg);
    compare_all(d, policies);
    forget(d);
}
