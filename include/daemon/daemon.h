/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon: the running program. It starts the audit log, the workers and their listeners, says when it is ready,
 * reloads, drains and ends. Main thread.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "net/resolver.h"
#include "policy/config.h"
#include "wire/ipaddr.h"

#define DAEMON_LISTEN_MAX 64
#define DAEMON_DNS_MAX    8

struct daemon_listen {
    bool is_unix;
    struct ipaddr addr;
    uint16_t port;             /* 0: a free one */
    const char *path;          /* of a Unix socket */
    unsigned mode;             /* of a Unix socket; 0: 0660 */
    const char *owner, *group; /* of a Unix socket, names or numbers; NULL: as it is */
};

struct daemon_options {
    const char *config_path; /* a gateway's configuration, instead of all that follows but ready_fd; or NULL */
    const char *policy_path;
    const char *egress_path;    /* NULL: none */
    const char *catalogue_path; /* of package managers' hosts; NULL: the built-in one */
    bool strict_files;
    bool fixed;               /* what was loaded at the start stays: no reload, whoever asks and whatever changes */
    const char *audit_dir;    /* NULL: under the state directory */
    const char *signer_dir;   /* NULL: beside the audit directory */
    const char *privacy_dir;  /* likewise */
    bool adopt;               /* the signer has lost its memory: go on from what the log says, and record it */
    const char *admin_path;   /* NULL: under the runtime directory */
    const char *sessions_dir; /* where each session gets a directory; NULL: sessions beside the admin socket */
    const char *user;         /* started as root: the account to become; NULL: sallyport, else nobody */
    struct daemon_listen listen[DAEMON_LISTEN_MAX];
    size_t listen_count; /* 0: 127.0.0.1:3128 */
    struct resolver_server dns[DAEMON_DNS_MAX];
    size_t dns_count; /* 0: those of the system */
    unsigned workers; /* 0: one a core */
    uint64_t drain_ms;
    int ready_fd; /* -1: none */
};

/* Reads what a service manager says in the environment (systemd's LISTEN_FDS, NOTIFY_SOCKET, WATCHDOG_USEC): before
 * it is cleared. A listener whose address one of its sockets has takes that socket. */
void supervisor_read_environment(void);

/* Does a configuration fit together with the policies of its environments, which stand in their order? ERR_INVALID with
 * findings: listeners whose environment does not exist, sources that two share. */
MUST_CHECK enum err daemon_check_config(const struct config *config, struct policy *const *policies, struct diag *diag);

/* Runs until drained. Gives the exit status: 0 drained and ended, 1 failed, 2, 3, 4 the audit log refused to start
 * (tampering, locked, rollback), 78 wrong configuration. */
int daemon_run(const struct daemon_options *options);

#endif
