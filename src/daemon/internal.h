/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal: what the daemon's files share.
 *
 *   daemon.c     the order of starting and ending
 *   ready.c      the line that says where it serves
 *   entrances.c  the listeners of the process
 *   worker.c     one thread with its loop, listeners, resolver and tunnels
 *   settings.c   the command line as a configuration
 *   identity.c   which environment a client belongs to, with roster.c
 *   reload.c     from files to a book that is in force; reload_record.c what the log says of it; files.c
 *   autoload.c   reloads when a file changes; filewatch.c
 *   records.c    main's own records
 *   witnesses.c  who must sign the log's heads before they are given out
 *   control.c    signals
 *   admin.c      the admin socket
 *   session*.c   sessions, see session.h
 *   supervisor.c what the service manager gives and is told
 *   cage*.c      what the program takes from itself, see cage.h
 *   place.c      directories, accounts, limits of the process
 */
#ifndef DAEMON_INTERNAL_H
#define DAEMON_INTERNAL_H

#include "daemon/daemon.h"

#include "audit/log.h"
#include "base/json.h"
#include "files.h"
#include "net/listener.h"
#include "policy/book.h"
#include "policy/config.h"
#include "tunnel/tunnels.h"

#include <pthread.h>

#define TENANTS_MAX 65536 /* names of environments in the life of a process */
#define PATH_TEXT   4096

/* ---- place.c ---- */
struct place {
    char audit_dir[PATH_TEXT], signer_dir[PATH_TEXT], privacy_dir[PATH_TEXT], admin_path[PATH_TEXT];
    uint64_t descriptors;  /* that the process may open */
    uint64_t memory;       /* bytes that connections may make it hold */
    struct signer *signer; /* started before root is given up; NULL: not yet */
};
/* Decides directories, makes what is missing, starts the signer (`adopt`: see its header), becomes the unprivileged
 * account if started as root. ERR_* with `why`. */
MUST_CHECK enum err place_take(const struct config *config, bool adopt, struct place *out, char *why, size_t why_cap);

/* ---- memory.c ---- */
/* Bytes that connections may make the program hold where nobody said how many. */
uint64_t memory_default(void);

/* ---- settings.c ---- */
/* The file that the options name, or the options themselves (which stay borrowed). */
MUST_CHECK enum err settings_load(const struct daemon_options *options, struct diag *diag, struct config **out);
void settings_free(struct config *config); /* NULL is allowed */

/* ---- identity.c ---- */
struct identity;
struct totals;
MUST_CHECK enum err identity_new(struct identity **out);
void identity_free(struct identity *identity);
/* The door of an environment, for the audit log. `arg` is the identity; any thread; NULL: there is none of that
 * name. */
struct env_gate *identity_gate(void *arg, struct span name);
/*
 * Decides who belongs to whom while this book is in force, and attaches that to it; its policies stand in the order of
 * the environments of `config`. `open` is the configuration whose listeners are open. The tenants of its environments
 * exist from here on; they are never removed while the process lives. ERR_INVALID with findings. Main.
 */
MUST_CHECK enum err identity_prepare(struct identity *identity, const struct config *open, const struct config *config,
                                     struct book *book, struct diag *diag);
/* Denies an environment as a whole ("*": all of them, also those of a later book), or lifts that. Workers see it at
 * once; open tunnels are to be judged again. Main, as the next two. */
MUST_CHECK enum err identity_deny(struct identity *identity, const char *name, bool deny);
bool identity_is_denied(const struct identity *identity, struct span environment);
void identity_denied_into(const struct identity *identity, struct outbuf *out); /* a name a line */
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
    struct session *sessions; /* that it serves */
    size_t session_count;     /* open ones, as main counts them */
    bool draining;
};

MUST_CHECK enum err worker_make(struct daemon *daemon, unsigned number, struct worker *out);
MUST_CHECK enum err worker_start(struct worker *worker, struct book *book);
void worker_swap(struct worker *worker, struct book *book);
void worker_drain(struct worker *worker, uint64_t deadline_ms);
void worker_cut(struct worker *worker);
void worker_join(struct worker *worker);
/* Gives back what it owns but its loop; every thread has ended. What its last tunnels left is sealed here. */
void worker_stop(struct worker *worker);
/* Its loop; the log has ended. */
void worker_free(struct worker *worker);
accept_fn worker_on_accept; /* of a struct doorway */

/* ---- entrances.c ---- */
/* Once the workers are made. What is wrong was logged. */
MUST_CHECK enum err entrances_open(struct daemon *daemon);
/* Once the admin socket is open too: nothing that the service manager opened may be left over. */
MUST_CHECK enum err entrances_check_inherited(void);
void entrances_remove(const struct daemon *daemon); /* socket files */

/* ---- witnesses.c ---- */
int witnesses_load(struct daemon *daemon); /* 0, or the exit status; what is wrong was logged */

/* ---- records.c ---- */
struct records;
/* The log is open and has not started. */
MUST_CHECK enum err records_open(struct daemon *daemon, size_t ring_bytes);
void records_close(struct daemon *daemon);
/* Seals an event of main's; also while the gate is closed. */
void records_add(struct daemon *daemon, const struct record_event *event);
void records_say_read(const struct daemon *daemon); /* when a start had to read the whole log */
void records_add_log_key(struct daemon *daemon);    /* of a log that was just made */
/* Waits until all of them are durable, for two seconds at most; false if they are not. */
bool records_wait(struct daemon *daemon);

/* ---- privacy.c ---- */
/* Once the workers are made and before they start. What is wrong was logged. */
MUST_CHECK enum err privacy_open(struct daemon *daemon);
void privacy_start(struct daemon *daemon); /* the log takes records */
void privacy_look(struct daemon *daemon);  /* takes another key if there is one to be taken */
void privacy_close(struct daemon *daemon); /* the workers are gone */

/* ---- reload.c, with reload.h ---- */
/* Who asks for a load, and why. */
struct load_cause {
    char who[128];
    char reason[256]; /* empty: none was given */
    char commit[65];  /* of the sources, as they are versioned; empty: none was given */
    bool automatic;   /* nobody asked: a file changed */
};

/* ---- autoload.c ---- */
/* Watches what is in force and reloads when it changes; from DAEMON_RUNNING on. */
MUST_CHECK enum err autoload_open(struct daemon *daemon);
void autoload_close(struct daemon *daemon);
/* After each load, in force or not: watches what is in force now and what the load had tried to read. */
void autoload_arm(struct daemon *daemon, const struct files *tried);

/* ---- control.c ---- */
MUST_CHECK enum err control_open(struct daemon *daemon);
void control_close(struct daemon *daemon);

/* ---- supervisor.c ---- */
/* A socket of this address that was opened for us, -1 if there is none. It outlives us: its file stays. */
int supervisor_take_unix(const char *path);
int supervisor_take_tcp(const struct ipaddr *addr, uint16_t port);
size_t supervisor_untaken(void); /* that no listener has asked for */
void supervisor_say(const char *text);
void supervisor_watch(struct loop *loop);
void supervisor_unwatch(void);

/* ---- sessions.c, with session.h ---- */
struct session;
struct sessions;
struct evhttp_request;
MUST_CHECK enum err sessions_open(struct daemon *daemon);
/* Those of the state directory, once the workers run. */
void sessions_restore(struct daemon *daemon);
void sessions_close(struct daemon *daemon); /* once the workers are gone */
/* The directories below which each session has its own. */
MUST_CHECK enum err sessions_make_dirs(const struct daemon *daemon, char *why, size_t why_cap);
/* False: not a path of sessions. */
bool sessions_request(struct evhttp_request *request, struct daemon *daemon, const char *path, uint32_t uid);
/* Its worker. REASON_NONE with the index of its environment in the book. */
enum reason session_identify(struct session *session, const struct book *book, size_t *out_at);
void session_who(struct session *session, struct tunnel_who *out);
/* Those of the environment that session_identify() found, as the session narrows them. */
const struct limits *session_limits(const struct session *session);
void sessions_worker_stop(struct worker *worker); /* no new clients */

/* ---- session_agent.c ---- */
/* False with a finding: a definition of an agent that the policy names lies where a sandbox may reach it. */
bool sessions_are_apart(const struct daemon *daemon, const struct policy *policy, struct diag *diag);

/* ---- deny.c ---- */
/* Before the workers run. ERR_* if what was denied before cannot be known. */
MUST_CHECK enum err deny_restore(struct daemon *daemon);
/* `name` empty: all environments. False with `why`. */
bool deny_change(struct daemon *daemon, const char *name, bool deny, const char *who, char *why, size_t why_cap);

/* ---- ready.c ---- */
/* Says in one line of JSON, on the descriptor that the options name, and in the log that clients are served from now
 * on. Closes the descriptor. */
void ready_say(const struct daemon *daemon);

/* ---- admin.c ---- */
MUST_CHECK enum err admin_open(struct daemon *daemon);
void admin_close(struct daemon *daemon);

/* ---- daemon.c ---- */
/* A listener of the process. */
struct entrance {
    struct tunnel_listener listener;
    char name[160];
    bool inherited; /* from the service manager */
};

enum daemon_state { DAEMON_STARTING, DAEMON_RUNNING, DAEMON_DRAINING, DAEMON_CUTTING };

struct totals;
struct daemon {
    const struct daemon_options *options;
    struct config *config;     /* as at the start: what a reload does not change is read from here */
    struct config *config_now; /* in force; may be the same */
    struct files files;        /* that it was made of */
    struct place place;
    enum daemon_state state;
    struct loop *loop; /* main's */
    struct audit_log *log;
    struct cosign_policy *witnesses; /* whose quorum heads of the log wait for; NULL: nobody's */
    struct message signer_lost;      /* from the writer's thread, at most once */
    struct records *records;
    struct identity *identity;
    struct totals *totals;
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
    struct autoload *autoload;
    struct admin *admin;
    struct sessions *sessions;
    struct privacy *privacy;
    int exit_status;
};
/* Loads everything anew. True if it is in force. */
bool daemon_reload(struct daemon *daemon, const struct load_cause *cause);
void daemon_stop(struct daemon *daemon);
/* "environments": the name and id of each; and how much room that takes at most. */
void daemon_environments_into(struct json *j, const struct daemon *daemon);
size_t daemon_environments_bytes(const struct daemon *daemon);
void daemon_worker_ended(struct daemon *daemon); /* any thread */

#endif
