/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that runs out at every place of a load; and that answering takes none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cases.h"

#include <cmocka.h>
#include <stdlib.h>

/* The linker sends our own calls here (--wrap); those inside shared libraries stay. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

static bool counting;
static unsigned calls, fail_at; /* 0: never */

static bool fails(void)
{
    return counting && ++calls == fail_at;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}

static const char text[] =
    "name: e\nconfig:\n  networking: {type: limited, allowed_hosts: [a.test, \"*.b.test\", 11.22.33.44], "
    "allow_mcp_servers: true, allow_package_managers: true}\n"
    "egress:\n"
    "  hosts: [{host: c.test, ports: [1, 2], addresses: [10.0.0.0/8], methods: [GET]}]\n"
    "  mcp_servers: [{type: url, name: m, url: \"https://m.test:8443/\"}, {type: url, name: o, url: "
    "\"https://m.test/\"}]\n"
    "  host_patterns: {allow: ['x+\\.test'], deny: ['y+\\.test']}\n"
    "  denied_hosts: [d.test]\n"
    "  blocked_ports: [25]\n"
    "  private_networks: [10.0.0.0/8]\n"
    "  denial_hint: ask\n"
    "  tests: [{target: \"a.test:443\", expect: allow}]\n";

static enum err load(struct policy **out)
{
    struct diag diag;
    diag_init(&diag);
    enum err err = policy_load_text("case.yaml", span_text(text), span_text(""), &diag, out);
    diag_clear(&diag);
    return err;
}

/* A load that lacks memory once fails as such and leaves nothing behind (the sanitizers look); it never gives a policy
 * that lacks a part. The store of findings alone may be missing, since lints never stop a load. */
static void test_every_place(void **state)
{
    (void)state;
    struct policy *policy = case_load(text);
    char id[POLICY_ID_TEXT + 1];
    memcpy(id, policy_id(policy), sizeof id);
    policy_unref(policy);
    unsigned failed = 0;
    for (unsigned place = 1;; place++) {
        policy = NULL;
        calls = 0;
        fail_at = place;
        counting = true;
        enum err err = load(&policy);
        counting = false;
        bool reached = calls >= place;
        assert_true((err == ERR_NONE) == (policy != NULL));
        if (err == ERR_NONE)
            assert_string_equal(policy_id(policy), id);
        else
            assert_int_equal(err, ERR_NO_MEMORY);
        failed += err != ERR_NONE;
        policy_unref(policy);
        if (!reached)
            break;
    }
    assert_true(failed > 10);
}

static void test_answers_take_none(void **state)
{
    (void)state;
    struct policy *policy = NULL;
    assert_int_equal(load(&policy), ERR_NONE);
    static const char *const targets[] = {"a.test:443",    "q.b.test:443",    "xxx.test:443", "yyy.test:443",
                                          "none.test:443", "11.22.33.44:443", "m.test:8443",  "pypi.org:443"};
    calls = 0;
    fail_at = 0;
    counting = true;
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct target target = case_target(targets[i]);
        struct question question = {.door = DOOR_CONNECT, .method = METHOD_CONNECT, .target = &target};
        struct ipaddr address = {
            .family = 4, .bytes = {11, 22, 33, 44}
        };
        struct admitted admitted;
        struct decision decision;
        struct hello hello = {.sni = SNI_NONE};
        policy_ask_target(policy, &question, &decision);
        policy_ask_address(policy, &question, &address, 1, &admitted, &decision, NULL);
        policy_ask_hello(policy, &question, FIRST_HELLO, &hello, &decision);
    }
    counting = false;
    assert_int_equal(calls, 0);
    policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_place),
        cmocka_unit_test(test_answers_take_none),
    };
    return cmocka_run_group_tests_name("policy: memory", tests, NULL, NULL);
}
