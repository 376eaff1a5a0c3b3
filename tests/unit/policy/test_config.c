/* SPDX-License-Identifier: Apache-2.0 */
/* A gateway's configuration: what loads and what it says, what does not and where, and the manual's table of keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cases.h"

#include "policy/config.h"
#include "policy/keys.h"

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONE     "environments: [{file: a.yaml}]\n"
#define PORT    "listeners: [{listen: 127.0.0.1:3128}]\n"
#define MINIMAL PORT ONE

static struct config *good(const char *text)
{
    struct diag diag;
    struct config *config = NULL;
    diag_init(&diag);
    enum err err = config_load_text("etc/gw.yaml", span_text(text), false, &diag, &config);
    for (size_t i = 0; err != ERR_NONE && i < diag.count; i++)
        print_error("%u:%u %s\n", diag.items[i].line, diag.items[i].column, diag.items[i].message);
    assert_int_equal(err, ERR_NONE);
    assert_int_equal(diag.errors, 0);
    diag_clear(&diag);
    return config;
}

/* ---- what loads ---- */

static void test_minimal(void **state)
{
    (void)state;
    struct config *c = good(MINIMAL);
    assert_string_equal(c->file, "etc/gw.yaml");
    assert_int_equal(c->listener_count, 1);
    assert_int_equal(c->listeners[0].port, 3128);
    assert_int_equal(c->listeners[0].addr.family, 4);
    assert_false(c->listeners[0].is_unix);
    assert_false(c->listeners[0].by_source);
    assert_null(c->listeners[0].environment);
    assert_int_equal(c->environment_count, 1);
    assert_string_equal(c->environments[0].sources.path, "etc/a.yaml");
    assert_null(c->environments[0].sources.text);
    assert_null(c->environments[0].sources.egress_path);
    assert_int_equal(c->environments[0].prefix_count, 0);
    assert_null(c->audit_dir);
    assert_null(c->signer_dir);
    assert_null(c->privacy_dir);
    assert_int_equal(c->redact_count, 0);
    assert_null(c->admin_path);
    assert_null(c->user);
    assert_int_equal(c->workers, 0);
    assert_int_equal(c->dns_count, 0);
    assert_int_equal(c->drain_ms, 300000);
    assert_false(c->strict_files);
    assert_false(c->audit.publish);
    assert_null(c->audit.witness_file);
    assert_int_equal(c->above.denied_count, 0);
    assert_int_equal(c->limits.idle, 3600000);
    config_free(c);
}

static void test_everything(void **state)
{
    (void)state;
    struct config *c =
        good("listeners:\n"
             "  - {listen: \"[::1]:8080\", by: source}\n"
             "  - {listen: unix:s/p.sock, environment: env-b, mode: \"0600\", owner: root, group: \"12\"}\n"
             "  - {listen: unix:/abs/p.sock}\n"
             "environments:\n"
             "  - {file: /abs/a.yaml, egress_file: e.yaml, sources: [10.1.0.0/16, 10.2.0.1]}\n"
             "  - file: b.yaml\n"
             "denied_hosts: [evil.test, '*.Evil.test']\n"
             "limits: {idle: 5m, tunnels: 7}\n"
             "audit: {dir: log, signer_dir: /key, privacy_dir: /hidden, redact: [acme_live_, invite/],\n"
             "  witness: {require: publish, file: w}}\n"
             "admin: unix:adm.sock\n"
             "workers: 3\n"
             "dns: [127.0.0.53:53, \"[2001:db8::1]:5353\"]\n"
             "drain: 90s\n"
             "user: proxy\n"
             "strict_files: true\n");
    assert_int_equal(c->listener_count, 3);
    assert_int_equal(c->listeners[0].addr.family, 6);
    assert_true(c->listeners[0].by_source);
    assert_int_equal(c->listeners[0].line, 2);
    assert_true(c->listeners[1].is_unix);
    assert_string_equal(c->listeners[1].path, "etc/s/p.sock");
    assert_string_equal(c->listeners[1].environment, "env-b");
    assert_int_equal(c->listeners[1].mode, 0600);
    assert_string_equal(c->listeners[1].owner, "root");
    assert_string_equal(c->listeners[1].group, "12");
    assert_string_equal(c->listeners[2].path, "/abs/p.sock");
    assert_int_equal(c->listeners[2].mode, 0660);
    assert_string_equal(c->environments[0].sources.path, "/abs/a.yaml");
    assert_string_equal(c->environments[0].sources.egress_path, "etc/e.yaml");
    assert_true(c->environments[0].sources.strict_files);
    assert_ptr_equal(c->environments[0].sources.above, &c->above);
    assert_int_equal(c->environments[0].prefix_count, 2);
    assert_int_equal(c->environments[0].prefixes[1].bits, 32);
    assert_int_equal(c->environments[1].line, 7);
    assert_int_equal(c->above.denied_count, 2);
    assert_int_equal(c->above.denied[1].line, 8);
    assert_int_equal(c->limits.idle, 300000);
    assert_int_equal(c->limits.tunnels, 7);
    assert_int_equal(c->limits.head_timeout, 10000);
    assert_string_equal(c->audit_dir, "etc/log");
    assert_string_equal(c->signer_dir, "/key");
    assert_string_equal(c->privacy_dir, "/hidden");
    assert_true(c->audit.publish);
    assert_string_equal(c->audit.witness_file, "etc/w");
    assert_int_equal(c->redact_count, 2);
    assert_true(span_is(c->redact[0], "acme_live_") && span_is(c->redact[1], "invite/"));
    assert_string_equal(c->admin_path, "etc/adm.sock");
    assert_int_equal(c->workers, 3);
    assert_int_equal(c->dns_count, 2);
    assert_int_equal(c->dns[1].port, 5353);
    assert_int_equal(c->drain_ms, 90000);
    assert_string_equal(c->user, "proxy");
    assert_true(c->strict_files);
    config_free(c);
}

/* ---- blocks that stand in the file ---- */

static struct policy *environment(const struct config *config, size_t index)
{
    struct diag diag;
    struct policy *policy = NULL;
    diag_init(&diag);
    enum err err = policy_load(&config->environments[index].sources, &diag, &policy);
    for (size_t i = 0; err != ERR_NONE && i < diag.count; i++)
        print_error("%s:%u:%u %s\n", diag.items[i].file, diag.items[i].line, diag.items[i].column,
                    diag.items[i].message);
    assert_int_equal(err, ERR_NONE);
    diag_clear(&diag);
    return policy;
}

static void ask(const struct policy *policy, const char *target, const char *reason, const char *rule, uint32_t line)
{
    struct target to = case_target(target);
    struct question question = {.door = DOOR_CONNECT, .method = METHOD_CONNECT, .target = &to};
    struct decision decision;
    struct rule words;
    policy_ask_target(policy, &question, &decision);
    policy_rule(policy, decision.rule, &words);
    assert_string_equal(decision.verdict == VERDICT_ALLOW ? "allowed" : reason_row(decision.reason)->name, reason);
    assert_string_equal(words.id, rule);
    assert_int_equal(words.line, line);
    if (line > 0)
        assert_string_equal(words.file, "etc/gw.yaml");
}

#define INLINE                                                                                                         \
    PORT "environments:\n"                                                                                             \
         "  - environment:\n"                                                                                          \
         "      name: caf\xc3\xa9 # a comment\n"                                                                       \
         "      config:\n"                                                                                             \
         "        networking:\n"                                                                                       \
         "          type: limited\n"                                                                                   \
         "          allowed_hosts:\n"                                                                                  \
         "            - a.test\n"                                                                                      \
         "            - evil.test\n"                                                                                   \
         "    sources: [10.0.0.0/8]\n"                                                                                 \
         "  # between\n"                                                                                               \
         "  - {environment: {name: \"b\xc3\xa9\", config: {networking: {type: limited, allowed_hosts: [b.test]}}},"    \
         " egress: {limits: {idle: 9s}, denied_hosts: [b.test]}}\n"                                                    \
         "denied_hosts:\n"                                                                                             \
         "  - evil.test\n"                                                                                             \
         "limits: {lifetime: 1h, idle: 2h}\n"

static void test_inline(void **state)
{
    (void)state;
    struct config *c = good(INLINE);
    struct policy *a = environment(c, 0), *b = environment(c, 1);
    assert_true(span_is(policy_name(a), "caf\xc3\xa9"));
    assert_true(span_is(policy_name(b), "b\xc3\xa9"));
    ask(a, "a.test:443", "allowed", "allowed_hosts[0]", 9);
    ask(a, "evil.test:443", "host_denied", "denied_hosts[0]", 15);
    ask(b, "b.test:443", "host_denied", "egress.denied_hosts[0]", 13);
    assert_int_equal(policy_limits(a)->lifetime, 3600000);
    assert_int_equal(policy_limits(a)->idle, 7200000);
    assert_int_equal(policy_limits(b)->idle, 9000);
    assert_int_equal(policy_limits(b)->lifetime, 3600000);
    struct span text = policy_source_text(a, 0);
    assert_memory_equal(text.data, "      name: caf", 15);
    assert_null(memmem(text.data, text.len, "sources", 7));
    assert_null(memmem(policy_source_text(b, 1).data, policy_source_text(b, 1).len, "evil", 4));
    size_t files;
    policy_files(a, &files);
    assert_int_equal(files, 0);
    policy_unref(a);
    policy_unref(b);
    config_free(c);
}

/* A block means the same wherever it stands in its file; another default or another denial is another policy. */
static void test_ids(void **state)
{
    (void)state;
    static const char *const texts[] = {
        INLINE,
        "# one line more\n" INLINE,
        INLINE "workers: 2\n",
        INLINE "user: x # limits\n",
    };
    struct config *c = good(texts[0]);
    struct policy *first = environment(c, 0);
    for (size_t i = 1; i < sizeof texts / sizeof texts[0]; i++) {
        struct config *other = good(texts[i]);
        struct policy *same = environment(other, 0);
        assert_string_equal(policy_id(first), policy_id(same));
        policy_unref(same);
        config_free(other);
    }
    static const char *const changes[][2] = {
        {"idle: 2h",    "idle: 3h"   },
        {"- evil.test", "- more.test"},
        {"- a.test",    "- c.test"   },
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char text[2048];
        snprintf(text, sizeof text, "%s", INLINE);
        memcpy(strstr(text, changes[i][0]), changes[i][1], strlen(changes[i][1]));
        struct config *other = good(text);
        struct policy *changed = environment(other, 0);
        assert_string_not_equal(policy_id(first), policy_id(changed));
        policy_unref(changed);
        config_free(other);
    }
    policy_unref(first);
    config_free(c);
}

/* A fault inside a block is found where it stands in the configuration. */
static void test_fault_inside(void **state)
{
    (void)state;
    struct config *c = good(PORT "environments:\n"
                                 "  - environment: {name: a, config: {networking: {type: limited}}}\n"
                                 "    egress:\n"
                                 "      limits:\n"
                                 "        \xc3\xa9: 1\n"
                                 "        idle: 5\n");
    struct diag diag;
    struct policy *policy = NULL;
    diag_init(&diag);
    assert_int_equal(policy_load(&c->environments[0].sources, &diag, &policy), ERR_INVALID);
    assert_int_equal(diag.errors, 2);
    assert_string_equal(diag.items[0].file, "etc/gw.yaml");
    assert_int_equal(diag.items[0].line, 6);
    assert_int_equal(diag.items[0].column, 9);
    assert_int_equal(diag.items[1].line, 7);
    assert_int_equal(diag.items[1].column, 15);
    diag_clear(&diag);
    config_free(c);
}

/* ---- what does not load ---- */

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *text, *code;
        uint32_t line, column;
    } rows[] = {
  /* clang-format off */
        {"", "empty", 0, 0},
        {"[]\n", "wrong_type", 1, 1},
        {ONE, "missing_key", 1, 1},
        {PORT, "missing_key", 1, 1},
        {MINIMAL "listener: []\n", "unknown_key", 3, 1},
        {MINIMAL "egress: {}\n", "unknown_key", 3, 1},
        {MINIMAL "workers: &a 1\n", "anchor", 3, 10},
        {MINIMAL "workers: *a\n", "alias", 3, 10},
        {MINIMAL ONE, "duplicate_key", 3, 1},
        {"listeners: []\n" ONE, "listeners", 1, 12},
        {"listeners: null\n" ONE, "null", 1, 12},
        {"listeners: {listen: 127.0.0.1:1}\n" ONE, "wrong_type", 1, 12},
        {"listeners: [{}]\n" ONE, "missing_key", 1, 13},
        {"listeners: [{listen: 127.0.0.1}]\n" ONE, "listen", 1, 22},
        {"listeners: [{listen: 127.0.0.1:65536}]\n" ONE, "listen", 1, 22},
        {"listeners: [{listen: 127.1:80}]\n" ONE, "listen", 1, 22},
        {"listeners: [{listen: 0127.0.0.1:80}]\n" ONE, "listen", 1, 22},
        {"listeners: [{listen: localhost:80}]\n" ONE, "listen", 1, 22},
        {"listeners: [{listen: \"::1:80\"}]\n" ONE, "listen", 1, 22},
        {"listeners: [{listen: \"[127.0.0.1]:80\"}]\n" ONE, "listen", 1, 22},
        {"listeners: [{listen: \"unix:\"}]\n" ONE, "listen", 1, 22},
        {"listeners: [{listen: \"unix:a\\0b\"}]\n" ONE, "control_character", 1, 22},
        {"listeners: [{listen: 127.0.0.1:1, by: port}]\n" ONE, "wrong_type", 1, 39},
        {"listeners: [{listen: 127.0.0.1:1, by: source, environment: a}]\n" ONE, "listener", 1, 39},
        {"listeners: [{listen: unix:a, by: source}]\n" ONE, "listener", 1, 34},
        {"listeners: [{listen: unix:a, mode: 0660}]\n" ONE, "wrong_type", 1, 36},
        {"listeners: [{listen: unix:a, mode: \"0888\"}]\n" ONE, "mode", 1, 36},
        {"listeners: [{listen: unix:a, mode: \"0777\"}]\n" ONE, "mode", 1, 36},
        {"listeners: [{listen: unix:a, mode: \"0066\"}]\n" ONE, "mode", 1, 36},
        {"listeners: [{listen: unix:a, mode: \"04660\"}]\n" ONE, "mode", 1, 36},
        {"listeners: [{listen: 127.0.0.1:1, mode: \"0660\"}]\n" ONE, "listener", 1, 41},
        {"listeners: [{listen: 127.0.0.1:1, group: g}]\n" ONE, "listener", 1, 42},
        {"listeners: [{listen: 127.0.0.1:1, environment: \"\"}]\n" ONE, "empty", 1, 48},
        {"listeners: [{listen: 127.0.0.1:1}, {listen: 127.0.0.1:1}]\n" ONE, "duplicate", 1, 36},
        {"listeners: [{listen: unix:a}, {listen: unix:a}]\n" ONE, "duplicate", 1, 31},
        {PORT "environments: []\n", "environments", 2, 15},
        {PORT "environments: [{}]\n", "missing_key", 2, 16},
        {PORT "environments: [{file: \"\"}]\n", "path", 2, 23},
        {PORT "environments: [{file: a, environment: {}}]\n", "two_blocks", 2, 23},
        {PORT "environments: [{file: a, egress: {}, egress_file: b}]\n", "two_blocks", 2, 51},
        {PORT "environments: [{environment: a}]\n", "wrong_type", 2, 30},
        {PORT "environments: [{file: a, sources: [10.0.0.1/8]}]\n", "prefix", 2, 36},
        {PORT "environments: [{file: a, sources: [ten]}]\n", "prefix", 2, 36},
        {PORT "environments: [{file: a, sources: 10.0.0.0/8}]\n", "wrong_type", 2, 35},
        {PORT "environments: [{file: a, name: b}]\n", "unknown_key", 2, 26},
        {MINIMAL "workers: 0\n", "out_of_range", 3, 10},
        {MINIMAL "workers: 257\n", "out_of_range", 3, 10},
        {MINIMAL "workers: \"2\"\n", "out_of_range", 3, 10},
        {MINIMAL "drain: 30\n", "wrong_type", 3, 8},
        {MINIMAL "drain: [30s]\n", "wrong_type", 3, 8},
        {MINIMAL "dns: 127.0.0.1:53\n", "wrong_type", 3, 6},
        {MINIMAL "dns: [127.0.0.1]\n", "dns", 3, 7},
        {MINIMAL "dns: [127.0.0.1:0]\n", "dns", 3, 7},
        {MINIMAL "dns: [127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3, 127.0.0.1:4, 127.0.0.1:5, 127.0.0.1:6, 127.0.0.1:7, "
                 "127.0.0.1:8, 127.0.0.1:9]\n", "too_many", 3, 6},
        {MINIMAL "admin: /run/a.sock\n", "admin", 3, 8},
        {MINIMAL "admin: \"unix:\"\n", "admin", 3, 8},
        {MINIMAL "audit: log\n", "wrong_type", 3, 8},
        {MINIMAL "audit: {witness: {require: publish}}\n", "witness", 3, 28},
        {MINIMAL "audit: {witness: {require: publish, file: ''}}\n", "path", 3, 43},
        {MINIMAL "audit: {witness: {require: always}}\n", "wrong_type", 3, 28},
        {MINIMAL "audit: {witness: {quorum: 1}}\n", "unknown_key", 3, 19},
        {MINIMAL "audit: {directory: log}\n", "unknown_key", 3, 9},
        {MINIMAL "user: \"\"\n", "empty", 3, 7},
        {MINIMAL "strict_files: yes\n", "wrong_type", 3, 15},
        {MINIMAL "limits: {idle: 5}\n", "wrong_type", 3, 16},
        {MINIMAL "limits: {idle: 0s}\n", "wrong_type", 3, 16},
        {MINIMAL "limits: {idel: 5m}\n", "unknown_key", 3, 10},
        {MINIMAL "limits: {drain: 5m}\n", "unknown_key", 3, 10},
        {MINIMAL "denied_hosts: [10.0.0.1]\n", "host", 3, 16},
        {MINIMAL "denied_hosts: [\"a b\"]\n", "host", 3, 16},
        {MINIMAL "denied_hosts: evil.test\n", "wrong_type", 3, 15},
  /* clang-format on */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct diag diag;
        struct config *config = NULL;
        diag_init(&diag);
        enum err err = config_load_text("gw.yaml", span_text(rows[i].text), false, &diag, &config);
        bool found = false;
        for (size_t j = 0; j < diag.count; j++)
            found |= strcmp(diag.items[j].code, rows[i].code) == 0 && diag.items[j].line == rows[i].line &&
                     diag.items[j].column == rows[i].column && strcmp(diag.items[j].file, "gw.yaml") == 0;
        if (err != ERR_INVALID || !found)
            print_error("row %zu: %s\n", i, rows[i].text);
        for (size_t j = 0; !found && j < diag.count; j++)
            print_error("  %u:%u %s %s\n", diag.items[j].line, diag.items[j].column, diag.items[j].code,
                        diag.items[j].message);
        assert_int_equal(err, ERR_INVALID);
        assert_true(found);
        assert_null(config);
        diag_clear(&diag);
    }
}

/* ---- the manual ---- */

static char *read_manual(void)
{
    FILE *file = fopen("docs/gateway.md", "r");
    assert_non_null(file);
    char *text = calloc(1, 1 << 17);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 17) - 1, file) > 0);
    fclose(file);
    return text;
}

/* Its table has exactly the rows of ours, in their order. */
static void test_manual(void **state)
{
    (void)state;
    char *manual = read_manual();
    const char *at = strstr(manual, "| key | type | default | meaning |\n|---|---|---|---|\n");
    assert_non_null(at);
    at = strchr(strchr(at, '\n') + 1, '\n') + 1;
    size_t count;
    const struct key_row *rows = config_keys_rows(&count);
    for (size_t i = 0; i < count; i++) {
        char line[1024];
        bool choice = rows[i].values[0] != '\0';
        const char *tick = choice ? "`" : "";
        snprintf(line, sizeof line, "| `%s` | %s%s%s | %s | %s |\n", rows[i].path, tick,
                 choice ? rows[i].values : key_type_text(rows[i].type), tick,
                 rows[i].dflt[0] != '\0' ? rows[i].dflt : "required", rows[i].sentence);
        if (strncmp(at, line, strlen(line)) != 0)
            print_error("wanted: %s   have: %.*s\n", line, (int)strcspn(at, "\n"), at);
        assert_int_equal(strncmp(at, line, strlen(line)), 0);
        at += strlen(line);
    }
    assert_true(at[0] != '|');
    free(manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minimal), cmocka_unit_test(test_everything),   cmocka_unit_test(test_inline),
        cmocka_unit_test(test_ids),     cmocka_unit_test(test_fault_inside), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_manual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
