/* SPDX-License-Identifier: Apache-2.0 */
/* A policy as it was once: its lists come from the texts that were kept, and from no file. */
#include "cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NAME "/nowhere/e.yaml"

static const char yaml[] = "name: e\nconfig: {networking: {type: limited}}\n"
                           "egress: {allowed_host_files: [list, empty]}\n";

struct seen {
    unsigned count;
    char paths[256];
};

static void see(void *arg, const struct policy_file *file)
{
    struct seen *seen = arg;
    size_t len = strlen(seen->paths);
    seen->count++;
    snprintf(seen->paths + len, sizeof seen->paths - len, "%s:%s ", file->kind, file->path);
}

static enum err load(const struct policy_then *then, size_t count, struct diag *diag, struct policy **out,
                     struct seen *seen)
{
    const struct policy_text whole = {.name = NAME, .text = span_text(yaml), .first_line = 1};
    const struct policy_sources sources = {
        .text = &whole, .then = then, .then_count = count, .read = see, .read_arg = seen};
    *diag = (struct diag){0};
    *seen = (struct seen){0};
    *out = NULL;
    return policy_load(&sources, diag, out);
}

static enum reason reason_of(const struct policy *policy, const char *name)
{
    struct target target = case_target(name);
    struct question question = {.door = DOOR_CONNECT, .method = METHOD_CONNECT, .target = &target};
    struct decision decision;
    policy_ask_target(policy, &question, &decision);
    return decision.reason;
}

static void texts_stand_for_files(void **state)
{
    (void)state;
    const struct policy_then then[] = {
        {"/nowhere/list",  span_text("a.test\n*.b.test\n")},
        {"/nowhere/empty", {0}                            },
    };
    struct diag diag;
    struct policy *policy;
    struct seen seen;
    assert_int_equal(load(then, 2, &diag, &policy, &seen), ERR_NONE);
    diag_clear(&diag);
    assert_int_equal(reason_of(policy, "a.test:443"), REASON_ALLOWED);
    assert_int_equal(reason_of(policy, "x.b.test:443"), REASON_ALLOWED);
    assert_int_equal(reason_of(policy, "c.test:443"), REASON_HOST);
    assert_string_equal(seen.paths, "list:/nowhere/list list:/nowhere/empty ");
    policy_unref(policy);
}

static void a_text_that_was_not_kept_is_said(void **state)
{
    (void)state;
    const struct policy_then then[] = {
        {"/nowhere/list",  span_text("a.test\n")},
        {"/nowhere/other", span_text("b.test\n")},
    };
    struct diag diag;
    struct policy *policy;
    struct seen seen;
    assert_int_equal(load(then, 2, &diag, &policy, &seen), ERR_INVALID);
    assert_null(policy);
    assert_int_equal(diag.errors, 1);
    assert_string_equal(diag.items[0].code, "not_kept");
    assert_string_equal(diag.items[0].file, NAME);
    assert_int_equal(diag.items[0].line, 3);
    assert_non_null(strstr(diag.items[0].message, "'/nowhere/empty'"));
    diag_clear(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_stand_for_files),
        cmocka_unit_test(a_text_that_was_not_kept_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
