/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: one sandbox's own socket, and what it may do less than its environment. Main opens, changes and closes;
 * one worker accepts and judges. A session belongs to that worker until nothing there knows it any more.
 *
 *   sessions.c        the list of main: their directories, their time, what is open again after a restart
 *   session.c         one of them: open, set, close
 *   session_record.c  what the audit log says of it
 *   session_spec.c    what is said of a session, as lines; the same lines are its file in the state directory
 *   session_agent.c   the definition of an agent, for its MCP endpoints
 *   session_place.c   its directory, its socket, its file
 *   session_use.c     what it has used up, across a restart
 *   session_worker.c  what its worker does
 *   session_admin.c   the requests of the admin socket
 */
#ifndef DAEMON_SESSION_H
#define DAEMON_SESSION_H

#include "internal.h"

#define SESSION_ID_MAX   64
#define SESSION_NAME_MAX 127
#define SESSION_HOSTS    8192
#define SESSION_LABELS   1024
#define SESSION_MCP      3072
#define SESSION_PATH     1024
#define SESSION_BODY_MAX 16384
#define SESSIONS_MAX     65536
#define SESSION_INDEX    UINT32_MAX /* of the listeners of sessions */

/* Everything that is said of a session. Text fields are empty if nothing was said. */
struct session_spec {
    char session[SESSION_ID_MAX + 1];
    char environment[SESSION_NAME_MAX + 1]; /* name or, when it is opened, an id of the environment */
    char work[SESSION_ID_MAX + 1], agent[SESSION_ID_MAX + 1];
    char group[SESSION_ID_MAX + 1];
    char labels[SESSION_LABELS];     /* "k=v k=v" */
    char hosts[SESSION_HOSTS];       /* with commas between them */
    struct limits limits;            /* its own; 0: none was given */
    char agent_file[SESSION_PATH];   /* the definition that says which MCP endpoints; empty: those of the environment */
    char agent_sha256[65];           /* of its text when it was read */
    char mcp_endpoints[SESSION_MCP]; /* that it declared, host:port with commas between them */
    bool agent_said;                 /* agent_file was named just now and is to be read */
    bool has_hosts, no_package_managers, no_mcp_servers, run_phase, deny_all;
    uint64_t ttl_ms;                            /* 0: none was given */
    uint64_t opened_index;                      /* of the log: none of its records stands before it */
    uint64_t opened_s, ends_s;                  /* wall clock; ends_s 0: with nothing but close */
    uint64_t used_up, used_down, quarantined_s; /* as its file has them, see session_use.c */
    bool now;                                   /* of a close */
};

struct session {
    struct session *next; /* of main, open ones and those that wait to be freed */
    struct daemon *daemon;
    struct session_spec spec;
    struct worker *worker;
    char dir[PATH_TEXT], path[PATH_TEXT], name[PATH_TEXT + 8], state_path[PATH_TEXT];
    /* What it is, for its life; `spec` is main's alone. */
    char id[SESSION_ID_MAX + 1], work[SESSION_ID_MAX + 1], agent[SESSION_ID_MAX + 1];
    char environment[SESSION_NAME_MAX + 1];
    bool use_unsaved; /* main's: what it has used is more than its file says */
    bool open;        /* main's */
    bool asking;      /* the worker was asked whether it still knows it */
    /* the worker's from here on */
    struct session *worker_next;
    struct tunnel_listener listener;
    struct doorway doorway;
    struct narrowing *narrowing;
    struct why why;
    struct session_use use;
    uint64_t generation; /* of the book in which its environment stands at `at`; 0: look again */
    size_t at;
    struct limits limits; /* of that environment, narrowed */
};

struct sessions {
    struct session *first;
    size_t open;
    struct timer tick;
    bool ticking;
    size_t use_from; /* where the next round of saving begins */
    char dir[PATH_TEXT], state_dir[PATH_TEXT];
};

/* ---- session_spec.c ---- */
/* Adds lines "key=value" to a spec; false with `why`. `from_file`: the keys that only this program writes are known. */
bool session_spec_read(struct session_spec *spec, char *text, bool from_file, char *why, size_t why_cap);
void session_spec_write(const struct session_spec *spec, struct outbuf *out);
/* Its own limits as "key=value key=value", NUL-terminated. */
#define SESSION_LIMITS_TEXT 800
void session_limits_text(const struct limits *limits, char out[static SESSION_LIMITS_TEXT]);
/* False with `why`: one of them is more than the environment has. */
bool session_limits_fit(const struct limits *own, const struct limits *environment, char *why, size_t why_cap);
MUST_CHECK enum err session_narrowing(const struct session_spec *spec, struct narrowing **out, char *why,
                                      size_t why_cap);

bool session_is_id(const char *text);

/* ---- session_agent.c ---- */
/* Reads the definition if it was named; false with `why`. */
bool session_agent_read(struct daemon *daemon, struct session_spec *spec, char *why, size_t why_cap);

/* ---- session_place.c ---- */
/* Makes the directory, gives it to the group and listens in it. */
MUST_CHECK enum err session_place_open(struct session *session, int *out_fd, char *why, size_t why_cap);
void session_place_remove(const struct session *session);
bool session_place_save(struct session *session);

/* ---- session_use.c ---- */
/* Main. What it has used so far, into its spec; and back when it is open again. */
void session_use_note(struct session *session);
void session_use_restore(struct session *session);
/* Writes the files of those that have used more than they say: some of them, or `all`. */
void sessions_use_save(struct sessions *sessions, bool all);

/* ---- session_worker.c ---- */
/* Main. Each is done by the worker in the order of the calls. */
void session_post_open(struct session *session, int fd, struct narrowing *narrowing); /* takes over both */
void session_post_narrow(struct session *session, struct narrowing *narrowing);
void session_post_close(struct session *session, bool now);
void session_post_ask(struct session *session); /* answered by session_on_gone() in main */
void session_on_gone(struct session *session, bool gone);

/* ---- session_record.c ---- */
/* Seals an entry: `who` did it, `what` is its sentence. Main. */
void session_record(const struct session *session, enum event_kind kind, const char *who, const char *what);

/* ---- sessions.c ---- */
struct session *sessions_find(const struct daemon *daemon, const char *id); /* an open one, borrowed; NULL: none */
uint64_t sessions_now_s(void);                                              /* wall clock */
/* Begins to look at the list once a second, unless that is done already. */
void sessions_tick(struct daemon *daemon);
/* "dir/name"; false: it is too long. */
bool sessions_path(const char *dir, const char *name, char out[static PATH_TEXT]);

/* ---- session.c ---- */
/* Binds its socket and hands it to a worker; nothing is recorded. `spec` is whole and its environment is a name. */
MUST_CHECK enum err session_start(struct daemon *daemon, const struct session_spec *spec, struct session **out,
                                  char *why, size_t why_cap);
void session_free(struct session *session); /* it is in no list any more */
MUST_CHECK enum err session_open(struct daemon *daemon, const struct session_spec *spec, const char *who,
                                 struct session **out, char *why, size_t why_cap);
/* `what` says it in the record. */
MUST_CHECK enum err session_change(struct session *session, const struct session_spec *spec, const char *who,
                                   const char *what, char *why, size_t why_cap);
void session_close(struct session *session, bool now, const char *who, const char *what);

#endif
