/* SPDX-License-Identifier: Apache-2.0 */
/* What the program says about itself: log lines and failed asserts, read back through a pipe. Clocks stand here too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int saved_stderr;
static int pipe_read;

static void capture_begin(void)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    pipe_read = ends[0];
}

/* What was written, as a C string; gives the length. */
static size_t capture_end(char *out, size_t cap)
{
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    ssize_t got = read(pipe_read, out, cap - 1);
    close(pipe_read);
    size_t len = got < 0 ? 0 : (size_t)got;
    out[len] = '\0';
    return len;
}

static void plain_lines(void **state)
{
    (void)state;
    char text[4 * LOG_LINE_MAX];
    capture_begin();
    log_set_json(false);
    errno = EAGAIN;
    log_info("policy loaded", "generation=%d file=%s", 7, "a\nERROR forged\x1b[2J\xc2\x85");
    int after = errno;
    log_debug("not shown", "x=%d", 1);
    capture_end(text, sizeof text);
    assert_int_equal(after, EAGAIN);
    assert_string_equal(text, "info policy loaded generation=7 file=a\\x0aERROR forged\\x1b[2J\\xc2\\x85\n");
}

static void json_lines(void **state)
{
    (void)state;
    char text[4 * LOG_LINE_MAX];
    capture_begin();
    log_set_json(true);
    log_warn("queue is long", "name=%s", "a\"b\n");
    log_set_json(false);
    capture_end(text, sizeof text);
    assert_string_equal(text, "{\"level\":\"warn\",\"fact\":\"queue is long\",\"details\":\"name=a\\\"b\\u000a\"}\n");
}

static void long_lines_are_cut_whole(void **state)
{
    (void)state;
    static char big[8192];
    memset(big, 0x01, sizeof big - 1);
    char text[4 * LOG_LINE_MAX];
    capture_begin();
    log_error("big", "%s", big);
    size_t len = capture_end(text, sizeof text);
    assert_true(len <= LOG_LINE_MAX);
    assert_int_equal(text[len - 1], '\n');
    assert_true(strncmp(text + len - 5, "\\x01", 4) == 0); /* no half escape */

    capture_begin();
    log_set_json(true);
    log_error("big", "%s", big);
    log_set_json(false);
    len = capture_end(text, sizeof text);
    assert_true(len <= LOG_LINE_MAX && len > 1000);
    assert_string_equal(text + len - 3, "\"}\n");
}

static void levels(void **state)
{
    (void)state;
    char text[4 * LOG_LINE_MAX];
    capture_begin();
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("no", "%s", "");
    log_error("yes", "%s", "");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("also", "%s", "");
    log_set_level(LOG_LEVEL_INFO);
    capture_end(text, sizeof text);
    assert_string_equal(text, "error yes\ndebug also\n");
}

static void a_failed_assert_ends_the_process(void **state)
{
    (void)state;
    char text[1024];
    capture_begin();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        ASSERT(1 + 1 == 2);
        ASSERT(1 + 1 == 3);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    capture_end(text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "test_voice.c:"));
    assert_non_null(strstr(text, "assertion failed: 1 + 1 == 3\n"));
    assert_null(strstr(text, "1 + 1 == 2"));
}

static void clocks(void **state)
{
    (void)state;
    uint64_t before = clock_mono_ns();
    assert_true(before > 0);
    assert_true(clock_mono_ns() >= before);
    assert_true(clock_wall_ns() > 1600000000ll * 1000000000ll); /* after 2020 */
}

static void err_names(void **state)
{
    (void)state;
    assert_string_equal(err_text(ERR_NONE), "none");
    assert_string_equal(err_text(ERR_BUSY), "busy");
    assert_string_equal(err_text((enum err)999), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(long_lines_are_cut_whole),
        cmocka_unit_test(levels),
        cmocka_unit_test(a_failed_assert_ends_the_process),
        cmocka_unit_test(clocks),
        cmocka_unit_test(err_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
