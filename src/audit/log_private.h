/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log from inside. Everything here belongs to the writer thread once it runs, and to main before that and after;
 * what other threads read is atomic or under `status_lock`.
 */
#ifndef AUDIT_LOG_PRIVATE_H
#define AUDIT_LOG_PRIVATE_H

#include "audit/cosign.h"
#include "audit/log.h"
#include "hashes.h"
#include "io.h"
#include "leaf.h"
#include "ledger.h"
#include "note.h"
#include "segments.h"
#include "snapshot.h"
#include "withheld.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define DESKS_MAX          256
#define BATCH_BYTES        (1u << 20)
#define BATCH_STEPS        (BATCH_BYTES / 256u) /* a record of a flow is longer */
#define NS_PER_MS          1000000u
#define NS_PER_S           1000000000u
#define LAZY_NS            (50u * NS_PER_MS)
#define STALL_NS           (2u * NS_PER_S)
#define CHECKPOINT_NS      NS_PER_S
#define CHECKPOINT_WAIT_MS 250u               /* for the signer, where nothing else is to be done */
#define IDLE_NS            (60ull * NS_PER_S) /* heartbeat, and a checkpoint without anything new */
#define UNSIGNED_MAX_NS    (10ull * NS_PER_S) /* unless the options say otherwise */
#define LAST_SIGN_NS       (3ull * NS_PER_S)  /* how long the end waits for the last signature */
#define RETRY_NS           NS_PER_S
#define SEGMENT_AGE_NS     (3600ull * NS_PER_S)

/* Why the gate is closed; the first that is not over keeps it closed. */
enum trouble {
    TROUBLE_NONE,
    TROUBLE_SEGMENT,  /* the segment is poisoned: a new one is needed */
    TROUBLE_REPLACED, /* somebody removed or replaced the segment: it is put back */
    TROUBLE_SPACE,    /* the next segment has no room */
    TROUBLE_REMOTE,   /* the copy elsewhere is too far behind */
    TROUBLE_SIGNER,   /* nothing was signed for too long, or the signer refuses */
};

struct desk_slot {
    struct desk *desk;
    desk_wake_fn *notify;
    void *arg;
};

struct segment_file {
    int fd; /* -1: none that may be written */
    int read_fd;
    uint64_t first, bytes, opened_ns;
    uint64_t device, inode;
};

/* An attempt that was allowed, or its outcome, in the batch that is written. */
struct flow_step {
    uint8_t id[FLOW_ID_BYTES];
    bool ends;
    uint64_t index;
};

struct batch_out {
    uint8_t *bytes;
    size_t len;
    uint32_t count;
    uint32_t urgent; /* of them: that somebody waits for */
    uint64_t oldest_ns;
    struct tree before; /* the tree without it */
    struct flow_step *steps;
    size_t step_count;
};

struct audit_log {
    char origin[AUDIT_ORIGIN_MAX + 1];
    char vkey[NOTE_VKEY_MAX];
    char log_json_hash[2 * DIGEST_BYTES + 1];
    struct note_key key;
    struct signer *signer;
    char rotate_who[64]; /* under status_lock */
    _Atomic bool rotate_asked;
    _Atomic uint64_t rotations; /* hand-overs since the start */
    bool rotating;              /* the entry is durable, the signer still has both keys */
    uint64_t rotation_index;
    struct note_key next_key;
    char next_vkey[NOTE_VKEY_MAX];
    bool signer_lost; /* it has ended, and on_signer_lost was called */
    void (*on_signer_lost)(void *arg);
    void *on_signer_lost_arg;
    void (*on_thread)(void);
    uint64_t unsigned_max_ns;
    uint64_t ship_max_lag_ms, remote_checked_ns; /* 0: the copy may be as far behind as it likes */
    int64_t opened_wall_ms;
    const struct audit_io *io;
    size_t desk_ring_bytes;
    uint64_t segment_bytes, reserve_bytes;
    int dir, segments_dir, hashes_dir, blobs_dir, quarantine_dir, keys_dir, index_dir, lock_fd, reserve_fd;
    int checkpoints_fd;
    uint64_t checkpoints_bytes;

    uint8_t boot[16];
    struct digest *digest;
    struct tree tree;
    struct hashes *hashes;
    struct leaf_context leaf;
    uint8_t escaped[7168]; /* the name of an environment as it stands in a leaf; longer than any that a ring can hold */
    struct ledger ledger;  /* its environments go on; its open flows are for the first entries, then for snapshots */
    bool flows_unknown;    /* there was no memory for one of them: no more snapshots */
    uint64_t rotated_at;   /* the last key_rotated entry and the key that it names; empty: none */
    char rotated_to[NOTE_VKEY_MAX];
    uint64_t snapshot_every, snapshot_looked;
    bool snapshot_stands; /* the newest one's entry, at snapshot_size, is durable */
    uint64_t snapshot_size;
    unsigned snapshot_number; /* the file that is written next */
    uint64_t read_from;       /* the first entry that this start read again */
    char read_why[80];        /* why none of the snapshots served; empty: one did, or there is none */
    struct segment_file segment;
    struct batch_out batch;
    struct tree_head signed_head;
    struct tree_head published;            /* the last of checkpoints.log */
    const struct cosign_policy *witnesses; /* whose quorum must have signed what is given out; NULL: nobody's */
    struct withheld withheld;
    uint64_t withheld_looked_ns;
    struct stat cosigned_seen;

    char torn_file[80]; /* what recovery cut; empty: nothing */
    uint64_t torn_bytes, rebuilt_hashes;
    uint8_t torn_hash[DIGEST_BYTES];

    struct desk_slot desks[DESKS_MAX];
    size_t desk_count;
    int wake_fd;
    pthread_t thread;
    bool running;
    _Atomic bool stop;

    enum trouble trouble;
    bool closed_recorded; /* the gate_closed entry is durable */
    int64_t closed_wall_ns;
    uint64_t closed_mono_ns, retry_ns;
    bool want_rotated;
    bool replaced;     /* the last commit failed because the segment is not ours any more */
    uint64_t stall_ns; /* of a commit that took too long; recorded by the next one */
    int64_t clock_step_ms;

    struct env_gate *(*env_gate)(void *arg, struct span name);
    void *env_gate_arg;
    unsigned mark; /* of watermark.c: how many of them the disk has passed */

    size_t (*totals)(void *arg, struct event_fact *out, size_t max);
    void *totals_arg;
    uint64_t room_checked_ns, marked_ns, manifest_ns, manifest_every_ns;
    uint64_t last_commit_ns, window_ns, window_count, rate;
    uint32_t last_commit_count;
    uint32_t window_urgent, most_urgent; /* the most in one commit: of this window, of the last and this one */
    uint64_t last_checkpoint_ns, unsigned_since_ns, last_heartbeat_ns;
    int64_t wall_minus_mono_ns;

    _Atomic uint64_t entries, signed_size, published_size, commits, refused;
    _Atomic int64_t withheld_since_ms; /* 0: nothing is withheld */
    _Atomic unsigned disk_percent;
    pthread_mutex_t status_lock;
    char gate_why[160];
};

/* logdir.c: the directory and its small files. */
enum audit_start logdir_open(struct audit_log *log, const struct audit_log_options *options, char *message, size_t cap);
void logdir_close(struct audit_log *log);
enum audit_start start_refused(enum audit_start result, char *message, size_t cap, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* recover.c */
enum audit_start recover(struct audit_log *log, char *message, size_t cap);

/* segment_file.c */
/* A new segment at the end of the tree takes the place of the present one. */
MUST_CHECK enum err segment_file_begin(struct audit_log *log);
MUST_CHECK enum err segment_file_continue(struct audit_log *log, uint64_t first, uint64_t bytes);
/* The entries of a segment that was removed or replaced are put back under its name. */
MUST_CHECK enum err segment_file_restore(struct audit_log *log);
void segment_file_abandon(struct audit_log *log);
void segment_file_close(struct audit_log *log);
/* The room that is kept free beside what is reserved: below it the disk counts as full. */
bool segment_file_has_room(const struct audit_log *log);
bool segment_file_is_ours(const struct audit_log *log);

/* batch.c */
bool batch_has_room(const struct audit_log *log);
void batch_add(struct audit_log *log, const struct sealed *sealed);
void batch_add_event(struct audit_log *log, const struct record_event *event);
/* Writes, syncs, releases. On failure everything is as before the batch and `why` says what happened. */
MUST_CHECK enum err batch_commit(struct audit_log *log, char *why, size_t cap);
/* After a failure of batch_commit(): which trouble it is. */
enum trouble batch_trouble(const struct audit_log *log);

/* checkpoint.c */
/* Waits at most so long for the signer; ERR_AGAIN: it is asked, and the next call publishes what it has signed. */
MUST_CHECK enum err checkpoint_write(struct audit_log *log, unsigned wait_ms);
/* Of the whole tree, whatever was asked for before; waits. */
MUST_CHECK enum err checkpoint_whole(struct audit_log *log);
/* The two halves of giving a head out: it is in checkpoints.log, then it is `checkpoint`. */
MUST_CHECK enum err checkpoint_append(struct audit_log *log, const struct tree_head *head, struct span note);
MUST_CHECK enum err checkpoint_show(struct audit_log *log, struct span note);

/* withhold.c: heads that wait for witnesses. */
MUST_CHECK enum err withhold(struct audit_log *log, const struct tree_head *head, struct span note);
/* All of them are given out: nobody is waited for any more. */
MUST_CHECK enum err withhold_release(struct audit_log *log);
/* With nothing in hand: what witnesses have signed meanwhile is given out. */
void withhold_look(struct audit_log *log, uint64_t now);
void withhold_say(struct audit_log *log);
/* With the key of now, or the one that keys/rotations has for its size. */
bool withhold_signed(const struct audit_log *log, const struct checkpoint *c);
/* What is withheld at a start, behind what was published; *newest, of checkpoints.log, becomes the newest of both. */
enum audit_start withhold_recover(struct audit_log *log, struct tree_head *newest, char *message, size_t cap);
void withhold_facts(const struct audit_log *log, struct record_event *event);

/* rotate.c */
void rotate_begin(struct audit_log *log);
MUST_CHECK enum err rotate_prepare_sign(struct audit_log *log);
MUST_CHECK enum err rotate_finish(struct audit_log *log);
/* The last key_rotated entry names a key that the signer does not sign with yet; false: nor is it the one that waits. */
bool rotate_resume(struct audit_log *log, uint64_t index, struct span new_vkey);

/* manifest.c: with nothing in hand */
MUST_CHECK enum err manifest_write(struct audit_log *log);

/* snapshot.c: when there are `least` entries since the last one; ERR_IO: the gate was closed */
MUST_CHECK enum err snapshot_take(struct audit_log *log, uint64_t least);

/* watermark.c: once a second, between batches */
void watermark_look(struct audit_log *log, uint64_t now);
/* At the end: how many were refused of each environment that is gated alone. False: the batch is full, and there are more. */
bool watermark_end(struct audit_log *log);

/* gate.c */
void gate_close(struct audit_log *log, enum trouble trouble, const char *why);
void gate_try_open(struct audit_log *log);
/* Attempts refused so far at the gate, those among them that no entry has told of yet. */
uint64_t gate_refused(struct audit_log *log);
void gate_add_stall(struct audit_log *log);

/* remote.c: the copy elsewhere, and whether it is near enough. */
void remote_check(struct audit_log *log, uint64_t now);
bool remote_is_near(const struct audit_log *log);
void remote_facts(const struct audit_log *log, struct record_event *event);

/* events.c: entries that the log writes about itself. */
MUST_CHECK enum err events_started(struct audit_log *log);
void events_stopped(struct audit_log *log);
void events_heartbeat(struct audit_log *log);
void events_pending(struct audit_log *log); /* rotated, clock step, stall */

/* writer.c */
void *writer_main(void *arg);
void writer_wake(void *arg);
MUST_CHECK enum err writer_drain(struct audit_log *log);

/* For tests: the calls through which the log reaches its disk. Before audit_log_start(). */
void audit_log_use_io(struct audit_log *log, const struct audit_io *io);

#endif
