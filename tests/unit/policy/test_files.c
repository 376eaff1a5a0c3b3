/* SPDX-License-Identifier: Apache-2.0 */
/* Files: whom they belong to, what they may be, list files, agent files, the block in a file of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cases.h"

#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static const char good[] = "name: e\nconfig: {networking: {type: limited, allowed_hosts: [a.test]}}\n";

static const char *path_of(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const char *text)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/sallyport-policy-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[PATH_MAX];
    /* Everything lies in one directory or one level below it. */
    static const char *const names[] = {"e.yaml",
                                        "link",
                                        "chain",
                                        "fifo",
                                        "list",
                                        "list2",
                                        "agent.md",
                                        "agent.yaml",
                                        "egress.yaml",
                                        "open/e.yaml",
                                        "open/deep/e.yaml",
                                        "open/deep",
                                        "sticky/e.yaml"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(command, sizeof command, "%s/%s", dir, names[i]);
        if (unlink(command) != 0)
            rmdir(command);
    }
    rmdir(path_of("open/deep"));
    rmdir(path_of("open"));
    rmdir(path_of("sticky"));
    return rmdir(dir);
}

static enum err load_with(const char *name, const char *egress, bool strict, struct diag *diag, struct policy **out)
{
    const struct policy_sources sources = {
        .path = path_of(name), .egress_path = egress == NULL ? NULL : path_of(egress), .strict_files = strict};
    diag_init(diag);
    *out = NULL;
    return policy_load(&sources, diag, out);
}

/* Loads or not, with this code among the findings ("": none wanted). */
static void expect(const char *name, bool strict, enum err wanted, const char *code)
{
    struct diag diag;
    struct policy *policy;
    enum err err = load_with(name, NULL, strict, &diag, &policy);
    bool found = code[0] == '\0';
    for (size_t i = 0; i < diag.count; i++)
        found |= strcmp(diag.items[i].code, code) == 0;
    if (err != wanted || !found)
        fail_msg("%s: %s (%s), wanted %s with %s", name, err_text(err), diag.count > 0 ? diag.items[0].message : "",
                 err_text(wanted), code);
    diag_clear(&diag);
    policy_unref(policy);
}

static void test_kinds(void **state)
{
    (void)state;
    put("e.yaml", good);
    expect("e.yaml", true, ERR_NONE, "");
    expect("nothing.yaml", false, ERR_IO, "unreadable");
    assert_int_equal(symlink("e.yaml", path_of("link")), 0);
    assert_int_equal(symlink(path_of("link"), path_of("chain")), 0);
    expect("link", true, ERR_NONE, "");
    expect("chain", true, ERR_NONE, "");
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    expect("fifo", false, ERR_INVALID, "not_a_file");
    expect("", false, ERR_INVALID, "not_a_file");
    unlink(path_of("link"));
    assert_int_equal(symlink("/dev/null", path_of("link")), 0);
    expect("link", false, ERR_INVALID, "not_a_file");
    expect("chain", false, ERR_INVALID, "not_a_file");
    unlink(path_of("link"));
    assert_int_equal(symlink("chain", path_of("link")), 0);
    expect("chain", false, ERR_IO, "unreadable"); /* round and round */
    unlink(path_of("link"));
    unlink(path_of("chain"));
    unlink(path_of("fifo"));
}

static void test_modes(void **state)
{
    (void)state;
    put("e.yaml", good);
    assert_int_equal(chmod(path_of("e.yaml"), 0646), 0);
    expect("e.yaml", false, ERR_INVALID, "not_trusted");
    assert_int_equal(chmod(path_of("e.yaml"), 0664), 0);
    expect("e.yaml", false, ERR_NONE, "not_trusted"); /* a lint */
    expect("e.yaml", true, ERR_INVALID, "not_trusted");
    /* a link to a file that others can write is no better */
    assert_int_equal(symlink("e.yaml", path_of("link")), 0);
    assert_int_equal(chmod(path_of("e.yaml"), 0666), 0);
    expect("link", false, ERR_INVALID, "not_trusted");
    unlink(path_of("link"));
    if (geteuid() == 0) {
        assert_int_equal(chmod(path_of("e.yaml"), 0644), 0);
        assert_int_equal(chown(path_of("e.yaml"), 12345, 12345), 0);
        expect("e.yaml", false, ERR_INVALID, "not_trusted");
    }
    unlink(path_of("e.yaml"));
}

static void test_directories(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path_of("open"), 0700), 0);
    assert_int_equal(mkdir(path_of("open/deep"), 0755), 0);
    put("open/deep/e.yaml", good);
    expect("open/deep/e.yaml", true, ERR_NONE, "");
    assert_int_equal(chmod(path_of("open"), 0777), 0);
    expect("open/deep/e.yaml", false, ERR_INVALID, "not_trusted");
    /* by a link from a good place as well */
    assert_int_equal(symlink("open/deep/e.yaml", path_of("link")), 0);
    expect("link", false, ERR_INVALID, "not_trusted");
    assert_int_equal(chmod(path_of("open"), 01777), 0);
    expect("open/deep/e.yaml", true, ERR_NONE, "");
    expect("link", true, ERR_NONE, "");
    assert_int_equal(chmod(path_of("open"), 0770), 0);
    expect("open/deep/e.yaml", false, ERR_NONE, "not_trusted");
    expect("open/deep/e.yaml", true, ERR_INVALID, "not_trusted");
    if (geteuid() == 0) {
        assert_int_equal(chmod(path_of("open"), 0755), 0);
        assert_int_equal(chown(path_of("open"), 12345, 12345), 0);
        expect("open/deep/e.yaml", false, ERR_INVALID, "not_trusted");
    }
    unlink(path_of("link"));
}

/* ---- list files ---- */

static void ask(const struct policy *policy, const char *host, enum reason reason, const char *file, uint32_t line)
{
    struct target target = case_target(host);
    struct question question = {.door = DOOR_CONNECT, .method = METHOD_CONNECT, .target = &target};
    struct decision decision;
    struct rule rule;
    policy_ask_target(policy, &question, &decision);
    policy_rule(policy, decision.rule, &rule);
    if (decision.reason != reason)
        fail_msg("%s: %s, wanted %s", host, reason_row(decision.reason)->name, reason_row(reason)->name);
    if (file == NULL)
        return;
    assert_non_null(rule.file);
    assert_string_equal(rule.file, path_of(file));
    assert_int_equal(rule.line, line);
}

static void test_lists(void **state)
{
    (void)state;
    struct diag diag;
    struct policy *policy;
    put("list", "# names\n\nOne.Test\r\n*.wild.test\nb\xc3\xbc"
                "cher.test\ntwo.test");
    put("list2", "bad.wild.test\n*.com\none.test\n");
    put("e.yaml", "name: e\nconfig: {networking: {type: limited, allowed_hosts: [a.test, one.test]}}\n"
                  "egress: {allowed_host_files: [list], blocklist: [./list2]}\n");
    assert_int_equal(load_with("e.yaml", NULL, true, &diag, &policy), ERR_NONE);
    diag_clear(&diag);
    ask(policy, "two.test:443", REASON_ALLOWED, "list", 6);
    ask(policy, "x.y.wild.test:443", REASON_ALLOWED, "list", 4);
    ask(policy, "wild.test:443", REASON_HOST, NULL, 0);
    ask(policy, "xn--bcher-kva.test:443", REASON_ALLOWED, "list", 5);
    ask(policy, "bad.wild.test:443", REASON_DENIED, NULL, 0);
    ask(policy, "one.test:443", REASON_DENIED, NULL, 0); /* in both: denied */
    ask(policy, "shop.com:443", REASON_DENIED, NULL, 0); /* a denial may be as wide as it likes */
    ask(policy, "two.test:22", REASON_PORT, NULL, 0);
    policy_unref(policy);
    put("list", "a.test\n*.co.uk\n11.22.33.44\nb c\n");
    assert_int_equal(load_with("e.yaml", NULL, true, &diag, &policy), ERR_INVALID);
    assert_int_equal(diag.errors, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(diag.items[i].file, path_of("list"));
        assert_int_equal(diag.items[i].line, i + 2);
    }
    diag_clear(&diag);
    unlink(path_of("list"));
    expect("e.yaml", false, ERR_INVALID, "unreadable");
    put("list", "a.test\n");
    assert_int_equal(chmod(path_of("list"), 0666), 0);
    expect("e.yaml", false, ERR_INVALID, "not_trusted");
}

/* The id is that of the sources, the list files among them, and nothing else. */
static void test_id(void **state)
{
    (void)state;
    struct diag diag;
    struct policy *policy;
    char first[POLICY_ID_TEXT + 1];
    put("list", "a.test\n");
    assert_int_equal(chmod(path_of("list"), 0644), 0);
    put("list2", "b.test\n");
    assert_int_equal(load_with("e.yaml", NULL, true, &diag, &policy), ERR_NONE);
    memcpy(first, policy_id(policy), sizeof first);
    assert_int_equal(strlen(first), POLICY_ID_TEXT);
    policy_unref(policy);
    diag_clear(&diag);
    assert_int_equal(load_with("e.yaml", NULL, true, &diag, &policy), ERR_NONE);
    assert_string_equal(policy_id(policy), first);
    policy_unref(policy);
    diag_clear(&diag);
    put("list2", "c.test\n");
    assert_int_equal(load_with("e.yaml", NULL, true, &diag, &policy), ERR_NONE);
    assert_string_not_equal(policy_id(policy), first);
    policy_unref(policy);
    diag_clear(&diag);
}

/* ---- agents ---- */

static void test_agents(void **state)
{
    (void)state;
    struct diag diag;
    struct policy *policy;
    put("e.yaml", "name: e\nconfig: {networking: {type: limited, allow_mcp_servers: true}}\n"
                  "egress: {agents: [agent.md, agent.yaml]}\n");
    put("agent.md", "---\r\nname: x\nmcp_servers:\n  - {type: url, name: a, url: \"https://md.test/x\"}\n"
                    "  - {type: stdio, name: b, command: foo}\n---\nText with: colons, and --- dashes.\n");
    put("agent.yaml",
        "name: y\nmodel: m\ntools:\n  - {type: mcp, server_label: l, server_url: \"https://old.test:8443/\"}\n"
        "  - {type: bash}\nmcp_servers:\n  - {name: c, url: \"http://plain.test\"}\nsystem: |\n  Hello\n");
    assert_int_equal(load_with("e.yaml", NULL, true, &diag, &policy), ERR_NONE);
    ask(policy, "md.test:443", REASON_ALLOWED, "agent.md", 4);
    ask(policy, "old.test:8443", REASON_ALLOWED, "agent.yaml", 4);
    ask(policy, "plain.test:80", REASON_ALLOWED, "agent.yaml", 7);
    ask(policy, "plain.test:443", REASON_PORT, NULL, 0);
    policy_unref(policy);
    diag_clear(&diag);
    put("agent.md", "No front matter.\n");
    expect("e.yaml", false, ERR_INVALID, "agent");
    put("agent.md", "---\nmcp_servers: [{type: url, name: a, url: \"ftp://x\"}]\n---\n");
    expect("e.yaml", false, ERR_INVALID, "mcp_url");
    put("agent.md", "---\nx: &a 1\n---\n");
    expect("e.yaml", false, ERR_INVALID, "anchor");
}

/* ---- the block in a file of its own ---- */

static void test_egress_file(void **state)
{
    (void)state;
    struct diag diag;
    struct policy *policy;
    put("e.yaml", good);
    put("list", "listed.test\n");
    put("egress.yaml", "hosts: [{host: b.test}]\nallowed_host_files: [list]\n");
    assert_int_equal(load_with("e.yaml", "egress.yaml", true, &diag, &policy), ERR_NONE);
    diag_clear(&diag);
    ask(policy, "a.test:443", REASON_ALLOWED, "e.yaml", 2);
    ask(policy, "b.test:443", REASON_ALLOWED, "egress.yaml", 1);
    ask(policy, "listed.test:443", REASON_ALLOWED, "list", 1);
    assert_int_equal(policy_source_text(policy, 0).len, strlen(good));
    assert_true(policy_source_text(policy, 1).len > 0);
    assert_int_equal(policy_source_text(policy, 2).len, 0);
    policy_unref(policy);
    put("egress.yaml", "egress:\n  hosts: [{host: c.test}]\n");
    assert_int_equal(load_with("e.yaml", "egress.yaml", true, &diag, &policy), ERR_NONE);
    diag_clear(&diag);
    ask(policy, "c.test:443", REASON_ALLOWED, "egress.yaml", 2);
    policy_unref(policy);
    put("egress.yaml", "hots: []\n");
    assert_int_equal(load_with("e.yaml", "egress.yaml", true, &diag, &policy), ERR_INVALID);
    assert_string_equal(diag.items[0].file, path_of("egress.yaml"));
    assert_string_equal(diag.items[0].code, "unknown_key");
    diag_clear(&diag);
    put("egress.yaml", "hosts: []\n");
    put("e.yaml", "name: e\nconfig: {networking: {type: limited}}\negress: {hosts: []}\n");
    assert_int_equal(load_with("e.yaml", "egress.yaml", true, &diag, &policy), ERR_INVALID);
    assert_string_equal(diag.items[0].code, "two_blocks");
    assert_int_equal(diag.items[0].line, 3);
    diag_clear(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),       cmocka_unit_test(test_modes), cmocka_unit_test(test_directories),
        cmocka_unit_test(test_lists),       cmocka_unit_test(test_id),    cmocka_unit_test(test_agents),
        cmocka_unit_test(test_egress_file),
    };
    umask(022);
    return cmocka_run_group_tests_name("policy: files", tests, set_up, tear_down);
}
