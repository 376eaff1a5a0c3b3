/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/redact_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOVEMBER INT64_C(1795255195690) /* 2026-11-21T09:59:55Z */
#define DAY      INT64_C(86400000)

struct place {
    char dir[64];
    char why[256];
    struct redact_key key;
    bool made;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "/tmp/redact-key-XXXXXX");
    if (p == NULL || mkdtemp(p->dir) == NULL)
        return -1;
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", p->dir);
    int status = system(command);
    free(p);
    return status;
}

static enum err take(struct place *p, int64_t now_ms)
{
    return redact_key_take(p->dir, now_ms, &p->key, &p->made, p->why, sizeof p->why);
}

static void path_of(const struct place *p, const char *name, char out[static 128])
{
    snprintf(out, 128, "%s/%s.key", p->dir, name);
}

static void makes_one_and_keeps_it(void **state)
{
    struct place *p = *state;
    char path[128];
    struct stat st;
    assert_int_equal(take(p, NOVEMBER), ERR_NONE);
    assert_true(p->made);
    assert_string_equal(p->key.name, "20261121T095955Z");
    struct redact_key first = p->key;
    path_of(p, first.name, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 65);
    assert_int_equal(take(p, NOVEMBER + 9 * DAY), ERR_NONE); /* the last of the month */
    assert_false(p->made);
    assert_memory_equal(&p->key, &first, sizeof first);
}

static void a_new_month_has_a_new_key(void **state)
{
    struct place *p = *state;
    assert_int_equal(take(p, NOVEMBER), ERR_NONE);
    struct redact_key first = p->key;
    assert_int_equal(take(p, NOVEMBER + 10 * DAY), ERR_NONE);
    assert_true(p->made);
    assert_string_equal(p->key.name, "20261201T095955Z");
    assert_string_not_equal(p->key.id, first.id);
    assert_memory_not_equal(p->key.bytes, first.bytes, DIGEST_BYTES);
    /* Back in November: the newest key stays. */
    struct redact_key second = p->key;
    assert_int_equal(take(p, NOVEMBER), ERR_NONE);
    assert_false(p->made);
    assert_string_equal(p->key.id, second.id);
    struct redact_key all[2];
    size_t count = 0;
    assert_int_equal(redact_key_all(p->dir, all, 2, &count, p->why, sizeof p->why), ERR_NONE);
    assert_int_equal(count, 2);
    assert_memory_equal(&all[0], &first, sizeof first);
    assert_memory_equal(&all[1], &second, sizeof second);
    assert_int_equal(redact_key_all(p->dir, all, 1, &count, p->why, sizeof p->why), ERR_NONE);
    assert_int_equal(count, 1);
    assert_string_equal(all[0].id, second.id);
}

static void one_that_was_removed_is_replaced(void **state)
{
    struct place *p = *state;
    char path[128];
    assert_int_equal(take(p, NOVEMBER), ERR_NONE);
    struct redact_key first = p->key;
    path_of(p, first.name, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(take(p, NOVEMBER + 1000), ERR_NONE);
    assert_true(p->made);
    assert_string_not_equal(p->key.id, first.id);
}

static void others_must_not_read_it(void **state)
{
    struct place *p = *state;
    char path[128];
    assert_int_equal(take(p, NOVEMBER), ERR_NONE);
    path_of(p, p->key.name, path);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(take(p, NOVEMBER), ERR_DENIED);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(p->dir, 0750), 0);
    assert_int_equal(take(p, NOVEMBER), ERR_DENIED);
    assert_int_equal(chmod(p->dir, 0700), 0);
    assert_int_equal(take(p, NOVEMBER), ERR_NONE);
}

static void what_is_no_key_is_refused(void **state)
{
    struct place *p = *state;
    static const char *const texts[] = {"", "00\n", "zz", "\n"};
    char path[128];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        path_of(p, "20261121T095955Z", path);
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(texts[i], file) >= 0);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(chmod(path, 0600), 0);
        assert_int_equal(take(p, NOVEMBER), ERR_CORRUPT);
        assert_non_null(strstr(p->why, "20261121T095955Z.key"));
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_int_equal(take(p, NOVEMBER), ERR_DENIED);
    assert_int_equal(redact_key_take("/nonexistent", NOVEMBER, &p->key, &p->made, p->why, sizeof p->why),
                     ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(makes_one_and_keeps_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_month_has_a_new_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_was_removed_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(others_must_not_read_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_key_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
