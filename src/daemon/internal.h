/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal: what the daemon's files share.
 *
 *   daemon.c     the order of starting and ending
 *   entrances.c  the listeners of the process
 *   worker.c     one thread with its loop, listeners, resolver and tunnels
 *   settings.c   the command line as a configuration
 *   identity.c   which environment a client belongs to, with roster.c
 *   reload.c     from files to a book that is in force
 *   control.c    signals
 *   admin.c      the admin socket
 *   place.c      directories, accounts, limits of the process
 */
#ifndef DAEMON_INTERNAL_H
#define DAEMON_INTERNAL_H

#include "daemon/daemon.h"

#include "audit/log.h"
#include "net/listener.h"
#include "policy/book.h"
#include "policy/config.h"
#include "tunnel/tunnels.h"

#include <pthread.h>

#define TENANTS_MAX 65536 /* names of environments in the life of a process */
#define PATH_TEXT   4096

/* ---- place.c ---- */
struct place {
    char audit_dir[PATH_TEXT], signer_dir[PATH_TEXT], admin_path[PATH_TEXT];
    uint64_t descriptors; /* that the process may open */
};
/* Decides directories, becomes the unprivileged account if started as root, makes what is missing. ERR_* with `why`. */
MUST_CHECK enum err place_take(const struct config *config, struct place *out, char *why, size_t why_cap);

/* ---- settings.c ---- */
/* The options stay borrowed. */
MUST_CHECK enum err settings_from_options(const struct daemon_options *options, struct config **out);
void settings_free(struct config *config); /* NULL is allowed */

/* ---- identity.c ---- */
struct identity;
MUST_CHECK enum err identity_new(struct identity **out);
void identity_free(struct identity *identity);
/*
 * Decides who belongs to whom while this book is in force, and attaches that to it; its policies stand in the order of
 * the environments of `config`. `open` is the configuration whose listeners are open. The tenants of its environments
 * exist from here on; they are never removed while the process lives. ERR_INVALID with findings. Main.
 */
MUST_CHECK enum err identity_prepare(struct identity *identity, const struct config *open, const struct config *config,
                                     struct book *book, struct diag *diag);
struct tunnel_hooks identity_hooks(struct identity *identity);

/* ---- worker.c ---- */
struct daemon;
struct worker;

/* A listener of the process as one worker has it. */
struct doorway {
    struct worker *worker;
    const struct tunnel_listener *listener;
    struct listener *accepting; /* NULL: closed, or another worker's */
    int fd;                     /* until it accepts; -1 */
};

struct worker {
    struct daemon *daemon;
    unsigned number;
    pthread_t thread;
    bool started;
    struct loop *loop;
    struct resolver *resolver;
    struct relay_pool *pool;
    struct desk *desk;
    struct tunnel_net net;
    struct tunnels *tunnels;
    struct doorway *doorways; /* one a listener of the process */
    size_t doorway_count;
};

MUST_CHECK enum err worker_make(struct daemon *daemon, unsigned number, struct worker *out);
MUST_CHECK enum err worker_start(struct worker *worker, struct book *book);
void worker_swap(struct worker *worker, struct book *book);
void worker_drain(struct worker *worker, uint64_t deadline_ms);
void worker_cut(struct worker *worker);
void worker_join(struct worker *worker);
void worker_free(struct worker *worker);

/* ---- entrances.c ---- */
/* Once the workers are made. What is wrong was logged. */
MUST_CHECK enum err entrances_open(struct daemon *daemon);
void entrances_remove(const struct daemon *daemon); /* socket files */

/* ---- reload.c ---- */
/* Loads the policy and makes a book of the next generation. At start and by SIGHUP. On failure the findings were
 * logged, and the refusal recorded if the log runs. */
MUST_CHECK enum err reload_book(struct daemon *daemon, const char *who, struct book **out);
/* Keeps the texts of its policies and records that they are in force; before they are, unless the gate is closed. */
void reload_record(struct daemon *daemon, const char *who, const struct book *book);

/* ---- control.c ---- */
MUST_CHECK enum err control_open(struct daemon *daemon);
void control_close(struct daemon *daemon);

/* ---- admin.c ---- */
MUST_CHECK enum err admin_open(struct daemon *daemon);
void admin_close(struct daemon *daemon);

/* ---- daemon.c ---- */
/* A listener of the process. */
struct entrance {
    struct tunnel_listener listener;
    char name[160];
};

enum daemon_state { DAEMON_STARTING, DAEMON_RUNNING, DAEMON_DRAINING, DAEMON_CUTTING };

struct daemon {
    const struct daemon_options *options;
    struct config *config; /* as at the start */
    struct place place;
    enum daemon_state state;
    struct loop *loop; /* main's */
    struct signer *signer;
    struct audit_log *log;
    struct desk *desk; /* main's */
    struct identity *identity;
    struct book *book;
    uint64_t generation;
    struct tunnel_process process;
    struct entrance *entrances; /* one a listener of the configuration */
    size_t entrance_count;
    struct own_socket *own;
    size_t own_count;
    struct worker *workers;
    unsigned worker_count, workers_ended;
    struct control *control;
    struct admin *admin;
    int exit_status;
};
/* True if the new book is in force. */
bool daemon_reload(struct daemon *daemon, const char *who);
void daemon_stop(struct daemon *daemon);
void daemon_worker_ended(struct daemon *daemon); /* any thread */

/* Seals an event of main's and waits until it is durable, for two seconds at most; false if it is not. */
bool daemon_record(struct daemon *daemon, const struct record_event *event);

#endif
