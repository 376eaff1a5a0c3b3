/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec: what the files of the verb share.
 *
 *   exec.c           the order of things: proxy, sandbox, signals, end
 *   exec_place.c     the directories of one run, and what the command must not see
 *   exec_proxy.c     the proxy as a child of ours
 *   exec_sandbox.c   namespaces and powers, then the relay
 *   exec_mounts.c    what the command sees of the file system
 *   exec_filter.c    system calls that would lead around the namespaces
 *   exec_feed.c      the log, read while it grows: a line a host, and the figures
 *   exec_summary.c   what is said at the end
 */
#ifndef CLI_EXEC_H
#define CLI_EXEC_H

#include "daemon/daemon.h"
#include "policy/policy.h"

#include <signal.h>
#include <stdio.h>
#include <sys/types.h>

#define EXEC_PATH_MAX   4096
#define EXEC_HIDDEN_MAX 64
#define EXEC_PINNED_MAX 32

struct exec {
    const char *policy_path, *egress_path, *audit_dir;
    struct resolver_server dns[DAEMON_DNS_MAX];
    size_t dns_count;
    bool quiet;
    char **command;

    struct policy *policy;        /* as it was before the command could change the file */
    char home[EXEC_PATH_MAX / 4]; /* of this run */
    char policy_text[EXEC_PATH_MAX], egress_text[EXEC_PATH_MAX]; /* absolute */
    char audit[EXEC_PATH_MAX], signer[EXEC_PATH_MAX];            /* absolute */
    char door[EXEC_PATH_MAX / 4]; /* the directory with the socket, the command's one way out */
    char key[512];                /* by which the log is verified */
    char hidden[EXEC_HIDDEN_MAX][EXEC_PATH_MAX];
    size_t hidden_count;
    char pinned[EXEC_PINNED_MAX][EXEC_PATH_MAX]; /* directories that the command could otherwise move away */
    size_t pinned_count;
    sigset_t mask_before;
    pid_t proxy, sandbox;                       /* 0: not running */
    int proxy_ready, sandbox_ready, sandbox_go; /* descriptors; 0: closed */
};

/* ---- exec_place.c ---- */
/* Makes the directories of this run. False with a message. */
bool exec_place(struct exec *e);
/* Lists what the command must not see; the policy is loaded. False with a message. */
bool exec_hide(struct exec *e);
/* Takes away what is of no use after the run. */
void exec_unplace(const struct exec *e);

/* ---- exec_proxy.c ---- */
/* The policy where none was given: nothing leaves. False with a message. */
bool exec_write_tightest(struct exec *e);
/* It starts beside what else is to be prepared. False with a message. */
bool exec_proxy_start(struct exec *e);
/* Returns when it is ready. Gives 0, or the exit status with a message. */
int exec_proxy_wait(struct exec *e);

/* ---- exec_sandbox.c ---- */
/* It is made, and waits. False with a message. */
bool exec_sandbox_make(struct exec *e);
/* Returns when the relay listens and the command is about to start. False with a message. */
bool exec_sandbox_go(struct exec *e);
/* It does not go; or it went already. */
void exec_sandbox_stay(struct exec *e);

/* ---- exec_mounts.c: in the sandbox ---- */
bool exec_mounts(const struct exec *e, const char *cwd);
/* "sallyport exec: WHAT: why"; gives false. */
bool exec_failed(const char *what);

/* ---- exec_filter.c: in the sandbox ---- */
bool exec_filter(void);

/* ---- exec_feed.c ---- */
#define FEED_HOSTS 1024

struct feed_host {
    char target[320]; /* empty: free */
    enum door door;
    enum reason reason;
    uint64_t count;
    struct ipaddr answers[ADMITTED_MAX]; /* where addresses were refused */
    size_t answer_count;
};

struct exec_feed {
    struct audit_reader *reader;
    bool quiet;
    struct feed_host hosts[FEED_HOSTS];
    size_t used;
    uint64_t beyond; /* records of hosts for which there was no room */
    uint64_t bytes_out, bytes_in, entries;
};

bool feed_open(struct exec_feed *feed, const char *dir, bool quiet);
/* Reads what is new and says what is new in it. */
void feed_read(struct exec_feed *feed);
void feed_close(struct exec_feed *feed);
/* Refused by policy, and not by the state of the network. */
bool feed_is_denial(enum reason reason);
/* Bytes of strangers: what could move a cursor is shown, not sent. */
void feed_put_safe(FILE *out, const char *text);

/* ---- exec_summary.c ---- */
void summary_print(const struct exec_feed *feed, const struct exec *e);

#endif
