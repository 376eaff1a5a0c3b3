/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: what a gateway's configuration says, as plain values: where to listen, which environments there are, who
 * belongs to which, and what stands above all of them. `run --policy` fills the same struct from the command line.
 */
#ifndef POLICY_CONFIG_H
#define POLICY_CONFIG_H

#include "policy/policy.h"

struct config_listener {
    bool is_unix;
    struct ipaddr addr;
    uint16_t port;    /* 0: a free one */
    const char *path; /* of a Unix socket */
    unsigned mode;    /* of a Unix socket, with its owner and group: NULL leaves them as they are */
    const char *owner, *group;
    bool by_source;          /* its clients are told apart by their source address alone */
    const char *environment; /* whose clients come in here; NULL without by_source: those of the only environment */
    uint32_t line, column;   /* of the configuration file; 0: of the command line */
};

struct config_environment {
    struct policy_sources sources;
    const struct prefix *prefixes; /* source addresses that belong to it */
    size_t prefix_count;
    uint32_t line, column;
};

struct config_server {
    struct ipaddr addr;
    uint16_t port;
};

/* What the audit log may be told; the keys of `audit` that are no places. */
struct config_audit {
    uint64_t unsigned_ms, traffic_ms, traffic_bytes;
    uint64_t ship_max_lag_ms; /* 0: no gate on it */
    bool publish;             /* heads wait for the witnesses of this file */
    const char *witness_file; /* NULL: none */
};
#define CONFIG_AUDIT_UNSIGNED_MS   10000
#define CONFIG_AUDIT_TRAFFIC_MS    300000
#define CONFIG_AUDIT_TRAFFIC_BYTES 67108864

struct config {
    const char *file; /* NULL: from the command line */
    const struct config_listener *listeners;
    size_t listener_count;
    const struct config_environment *environments;
    size_t environment_count;
    const struct config_server *dns;
    size_t dns_count;           /* 0: those of the system */
    const char *catalogue_path; /* NULL: the built-in one */
    /* NULL: the usual place or account */
    const char *audit_dir, *audit_origin, *signer_dir, *privacy_dir, *admin_path, *user;
    const struct span *redact; /* words that hide parts of paths, see wire/redact.h */
    size_t redact_count;
    struct config_audit audit;
    unsigned workers;    /* 0: one a core */
    uint64_t memory_max; /* bytes that connections may hold; 0: half of what there is */
    uint64_t drain_ms;
    bool strict_files;
    struct policy_above above; /* environments point to it */
    struct limits limits;      /* of a client whose environment is not known yet, and where one sets none of its own */
    struct span text;          /* of the file */
    struct policy_mark mark;
    struct config_memory *memory; /* NULL: not made by config_load() */
};

#define CONFIG_LISTENERS_MAX    1024
#define CONFIG_ENVIRONMENTS_MAX 10000
#define CONFIG_DNS_MAX          8

/*
 * Reads a gateway's configuration under the rules of policy_load() for files and YAML. Environments are not opened yet.
 * `strict` holds even where the file says nothing. ERR_INVALID and ERR_IO with findings.
 */
MUST_CHECK enum err config_load(const char *path, bool strict, struct diag *diag, struct config **out);
/* The same from memory; `name` stands for the file. */
MUST_CHECK enum err config_load_text(const char *name, struct span text, bool strict, struct diag *diag,
                                     struct config **out);
/* As it was once: `then` stands for all files that its ceiling names, none is opened. */
MUST_CHECK enum err config_load_then(const char *name, struct span text, const struct policy_then *then,
                                     size_t then_count, struct diag *diag, struct config **out);
/* Does this file say what a configuration says (listeners, environments), and not what an environment does? What is
 * wrong with it is said by whoever loads it. */
bool config_looks_like_one(const char *path);
/* Everything in it goes too. */
void config_free(struct config *config); /* made by config_load(); NULL is allowed */

#endif
