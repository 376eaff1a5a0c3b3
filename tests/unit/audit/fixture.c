/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void fixture_make(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    snprintf(f->base, sizeof f->base, "%s/audit.XXXXXX", tmp == NULL || strlen(tmp) > 64 ? "/tmp" : tmp);
    assert_non_null(mkdtemp(f->base));
    snprintf(f->dir, sizeof f->dir, "%s/audit", f->base);
    snprintf(f->signer_dir, sizeof f->signer_dir, "%s/signer", f->base);
    assert_int_equal(pipe(f->wake), 0);
}

void fixture_remove(struct fixture *f)
{
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", f->base);
    assert_int_equal(system(command), 0);
    close(f->wake[0]);
    close(f->wake[1]);
}

static void notify(void *arg)
{
    struct fixture *f = arg;
    assert_int_equal(write(f->wake[1], "x", 1), 1);
}

enum audit_start fixture_open(struct fixture *f)
{
    f->message[0] = '\0';
    enum err err = signer_open(f->signer_dir, FIXTURE_ORIGIN, &f->signer, f->message, sizeof f->message);
    if (err != ERR_NONE)
        fail_msg("signer: %s (%s)", f->message, err_text(err));
    struct audit_log_options options = {
        .dir = f->dir,
        .origin = FIXTURE_ORIGIN,
        .signer = f->signer,
        .desk_ring_bytes = 65536,
        .segment_bytes = f->segment_bytes == 0 ? 1u << 20 : f->segment_bytes,
        .reserve_bytes = 65536,
        .snapshot_entries = f->snapshot_entries,
        .unsigned_max_ms = f->unsigned_max_ms,
    };
    enum audit_start result = audit_log_open(&options, &f->log, f->message, sizeof f->message);
    if (result == AUDIT_START_OK) {
        assert_int_equal(audit_log_desk(f->log, notify, f, &f->desk), ERR_NONE);
    } else {
        signer_close(f->signer);
        f->signer = NULL;
    }
    return result;
}

void fixture_start(struct fixture *f)
{
    enum audit_start result = fixture_open(f);
    if (result != AUDIT_START_OK)
        fail_msg("open: %s (%d)", f->message, (int)result);
    assert_int_equal(audit_log_start(f->log), ERR_NONE);
}

void fixture_stop(struct fixture *f)
{
    assert_int_equal(audit_log_stop(f->log), ERR_NONE);
    signer_close(f->signer);
    f->log = NULL;
}

void fixture_crash(struct fixture *f)
{
    if (f->log->running) { /* one that was opened alone has no writer */
        atomic_store(&f->log->stop, true);
        writer_wake(f->log);
        pthread_join(f->log->thread, NULL);
        f->log->running = false;
    }
    /* audit_log_stop() of a log that does not run only frees. */
    assert_int_equal(audit_log_stop(f->log), ERR_NONE);
    signer_close(f->signer);
    f->log = NULL;
}

void fixture_wait(struct fixture *f, uint64_t ticket)
{
    desk_set_waiting(f->desk, true);
    for (unsigned rounds = 0; desk_durable(f->desk) < ticket; rounds++) {
        struct pollfd ready = {.fd = f->wake[0], .events = POLLIN};
        char byte;
        if (rounds > 2000 || poll(&ready, 1, 10000) != 1)
            fail_msg("the record did not become durable");
        assert_int_equal(read(f->wake[0], &byte, 1), 1);
    }
    desk_set_waiting(f->desk, false);
}

uint64_t fixture_seal(struct fixture *f, enum record_kind kind, uint64_t flow, const char *env)
{
    struct target target = sample_target("files.test");
    struct record_flow record = sample_flow(kind, flow, env, &target);
    assert_true(desk_credit_take(f->desk, DESK_RECORD_BYTES));
    uint64_t ticket = desk_seal_flow(f->desk, &record, kind == RECORD_ATTEMPT ? RECORD_URGENT : RECORD_LAZY);
    return ticket;
}

void fixture_feed(struct fixture *f, uint64_t first_flow, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const char *env = i % 3 == 0 ? "env-b" : "env-a";
        fixture_wait(f, fixture_seal(f, RECORD_ATTEMPT, first_flow + i, env));
        fixture_seal(f, RECORD_OUTCOME, first_flow + i, env);
    }
    fixture_wait(f, fixture_seal(f, RECORD_ATTEMPT, first_flow + n, "env-a"));
    fixture_wait(f, fixture_seal(f, RECORD_OUTCOME, first_flow + n, "env-a"));
}

void fixture_shell(const struct fixture *f, const char *command)
{
    char text[512];
    /* The format is a literal of the tests. */
    snprintf(text, sizeof text, "cd '%s' && %s", f->dir, command);
    if (system(text) != 0)
        fail_msg("failed: %s", text);
}
