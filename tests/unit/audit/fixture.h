/* SPDX-License-Identifier: Apache-2.0 */
/* A log in a directory of its own under the temporary directory, opened, fed and closed by the tests of this room. */
#ifndef TEST_AUDIT_FIXTURE_H
#define TEST_AUDIT_FIXTURE_H

#include "log_private.h"
#include "sample.h"

#define FIXTURE_ORIGIN "log.test/audit/1"

struct fixture {
    char base[96];
    char dir[128];
    char signer_dir[128];
    struct signer *signer;
    struct audit_log *log;
    struct desk *desk;
    int wake[2]; /* a pipe: one byte for each notify */
    uint64_t segment_bytes, snapshot_entries, unsigned_max_ms;
    char message[256];
};

void fixture_make(struct fixture *f);
void fixture_remove(struct fixture *f);

/* Opens; with AUDIT_START_OK the log has a desk and is not started yet. */
enum audit_start fixture_open(struct fixture *f);
void fixture_start(struct fixture *f);
/* Stops or, with `crash`, leaves everything as a killed process would: no last entry, no signature. */
void fixture_stop(struct fixture *f);
void fixture_crash(struct fixture *f);

/* Seals one record on credit of its own; waits until it is durable. */
uint64_t fixture_seal(struct fixture *f, enum record_kind kind, uint64_t flow, const char *env);
void fixture_wait(struct fixture *f, uint64_t ticket);
/* n pairs of attempt and outcome. */
void fixture_feed(struct fixture *f, uint64_t first_flow, unsigned n);

/* Runs `command` with %s for the directory. */
void fixture_shell(const struct fixture *f, const char *command);

#endif
