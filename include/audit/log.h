/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit log: the directory, its writer thread, and the gate. See docs/audit-format.md for every file.
 *
 * Order, never changed: append → fdatasync → release whoever waits → sign → checkpoints.log → fdatasync → rename
 * `checkpoint`. Where witnesses must sign first, the head waits for them in `withheld`, and nobody else does. A failed
 * write or fdatasync closes the gate; nothing is released that is not durable.
 */
#ifndef AUDIT_LOG_H
#define AUDIT_LOG_H

#include "audit/cosign.h"
#include "audit/desk.h"
#include "audit/signer.h"

struct audit_log;

struct audit_log_options {
    const char *dir;
    const char *origin;     /* NULL: localhost/egress-audit/<hash of machine id>/<shard> */
    struct signer *signer;  /* borrowed */
    size_t desk_ring_bytes; /* of each desk; a power of two */
    uint64_t segment_bytes; /* 0: 256 MiB */
    uint64_t reserve_bytes; /* ballast and room kept free; 0: 16 MiB */
    /* For how long records are taken while nothing can be signed; then the gate closes. 0: 10 s */
    uint64_t unsigned_max_ms;
    /* How often the last number of each environment is listed. 0: each hour */
    uint64_t manifest_ms;
    /* How many entries there are between two snapshots, from which the next start reads. 0: 65,536 */
    uint64_t snapshot_entries;
    /* Facts for heartbeats and for log_stopped: what the program counted. At most `max`; keys are literals. Writer
     * thread, or main's while the log stops; NULL: none. */
    size_t (*totals)(void *arg, struct event_fact *out, size_t max);
    void *totals_arg;
    /* The door of one environment, that is shut alone when the disk fills up and it wrote more than its share. Writer
     * thread; NULL: it has none. */
    struct env_gate *(*env_gate)(void *arg, struct span name);
    void *env_gate_arg;
    /* How far a copy elsewhere (audit/ship.h) may be behind; then the gate closes. 0: there need be none */
    uint64_t ship_max_lag_ms;
    /* A head is given out, in `checkpoint` and checkpoints.log, only when the quorum of these has signed it, or a
     * larger one; until then it is withheld. NULL: at once; borrowed. */
    const struct cosign_policy *witnesses;
    /* The signer's process has ended: the gate is closed and stays so. Writer thread, once; NULL: none. */
    void (*on_signer_lost)(void *arg);
    void *on_signer_lost_arg;
    /* The first thing that the writer thread does; NULL: nothing. */
    void (*on_thread)(void);
};

enum audit_start {
    AUDIT_START_OK,
    AUDIT_START_FAILED,   /* exit 1 */
    AUDIT_START_TAMPERED, /* exit 2 */
    AUDIT_START_LOCKED,   /* exit 3 */
    AUDIT_START_ROLLBACK, /* exit 4 */
};

#define AUDIT_ORIGIN_MAX 200 /* without the NUL */

/*
 * The origin that a log in `dir` has, or the default for a new one: localhost/egress-audit/<hash of machine id>/1. The
 * signer must be opened with the same.
 */
MUST_CHECK enum err audit_log_default_origin(const char *dir, char out[static AUDIT_ORIGIN_MAX + 1]);

/*
 * Opens or makes the directory, takes the lock, recovers (cuts a torn tail into quarantine/, refuses a log that was
 * changed), and leaves the log ready for desks. On failure `message` says what and where, with the holder of a lock.
 * Main thread.
 */
enum audit_start audit_log_open(const struct audit_log_options *options, struct audit_log **out, char *message,
                                size_t message_cap);

/* A desk for the calling set-up; `notify` is called on the writer thread after a commit while desk_set_waiting().
 * Before audit_log_start() alone. */
MUST_CHECK enum err audit_log_desk(struct audit_log *log, desk_wake_fn *notify, void *arg, struct desk **out);

/* Starts the writer thread; the first entry is log_started (with open flows of a crash), durable on return. */
MUST_CHECK enum err audit_log_start(struct audit_log *log);

/* Writes what the desks hold and a last log_stopped, signs, joins the thread and closes. Producers must have ended.
 * ERR_IO: something could not be made durable. */
MUST_CHECK enum err audit_log_stop(struct audit_log *log);

/* Both live as long as the log. The key is for a start alone: a hand-over, on the writer's thread, writes it anew. */
const char *audit_log_origin(const struct audit_log *log);
const char *audit_log_vkey(const struct audit_log *log); /* the verifier key line */

/* `wanted` for a log that is to be made in `dir`, or that has this origin already. ERR_EXISTS: it has another, which
 * `out` is left with if it held it; ERR_INVALID: that is no origin. */
MUST_CHECK enum err audit_log_name(const char *dir, const char *wanted, char out[static AUDIT_ORIGIN_MAX + 1]);

/* Hands the log over to another key: a new one, or `given.key` of the signer's directory. `who` asked for it: one line,
 * cut at 63 bytes, that the key_rotated entry repeats. Any thread but the writer's.
 * ERR_AGAIN: not done in that time; it goes on, or the signer refused. */
MUST_CHECK enum err audit_log_rotate_key(struct audit_log *log, const char *who, unsigned wait_ms, char *out_vkey,
                                         size_t cap);

struct audit_log_status {
    uint64_t entries; /* durable */
    uint64_t signed_size;
    uint64_t published_size;   /* the head that is given out: smaller while one is withheld */
    int64_t withheld_since_ms; /* 0: none is */
    uint64_t commits;
    uint64_t refused;      /* attempts refused at the gate since start */
    unsigned disk_percent; /* how full the log's disk is; 0: not looked at yet */
    bool gate_closed;
    char gate_why[160]; /* empty while open */
    uint64_t read_from; /* the first entry that this start read again */
    char read_why[80];  /* why no snapshot served; empty: one did, or there is none */
};
/* Any thread. */
void audit_log_status(const struct audit_log *log, struct audit_log_status *out);

/* Keeps a text under blobs/<sha256> (fsynced, file and directory) before an entry names it; gives its hash. Main. */
MUST_CHECK enum err audit_log_blob(struct audit_log *log, struct span text, char out_hex[static 65]);

#endif
