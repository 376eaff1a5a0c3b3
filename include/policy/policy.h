/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: one environment's rules, compiled from its YAML into an immutable object that answers three questions. The
 * room is pure after load: no clock, no socket, no allocation, no global in any policy_ask_*(); the same question to
 * the same policy always gets the same answer, whatever door it came through.
 *
 * Life: policy_load() makes one with a reference; policy_ref()/policy_unref() are atomic and may be called from any
 * thread. The id is the lower-case hexadecimal SHA-256 of its canonical sources.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "base/outbuf.h"
#include "policy/change.h"
#include "policy/decision.h"
#include "policy/diag.h"
#include "policy/limits.h"
#include "policy/narrow.h"
#include "wire/admitted.h"
#include "wire/hello.h"
#include "wire/request.h"
#include "wire/target.h"

#define POLICY_ID_TEXT 64

struct policy;

/* ---- loading ---- */

/* A part of another file that stands for a file of its own: `text` begins at the start of a line. */
struct policy_text {
    const char *name; /* of the file, for messages and for paths beside it */
    struct span text;
    uint32_t first_line;
};

/* A name or `*.` pattern that no environment can allow, and the line that says so. */
struct policy_denied {
    struct span text;
    const char *file;
    uint32_t line, column;
};

/* What an organisation puts above each of its environments. */
struct policy_above {
    const struct limits *limits; /* where an environment sets none of its own; NULL: the table's defaults */
    const struct policy_denied *denied;
    size_t denied_count;
    struct policy *ceiling;  /* what it does not open no environment may open; NULL: none */
    uint64_t ceiling_limits; /* bit N: it sets the row N of the limits; the others of its limits mean nothing */
};

/* One of a policy's own tests, and how it went. */
struct policy_tested {
    const char *file;
    uint32_t line;
    struct span target, via, expect;
    bool passes;
    struct decision decision;
};
typedef void policy_tested_fn(void *arg, const struct policy_tested *tested);

struct policy_file;
/* A file was read, whatever becomes of the load; `file` is borrowed for the call. */
typedef void policy_read_fn(void *arg, const struct policy_file *file);

/* A file as it was once. */
struct policy_then {
    const char *path;
    struct span text;
};

struct policy_sources {
    const char *path;                      /* the environment file */
    const char *egress_path;               /* a file that holds the egress block alone, or NULL */
    bool strict_files;                     /* group-writable files and directories are errors instead of lints */
    const struct policy_text *text;        /* instead of path; NULL: none */
    const struct policy_text *egress_text; /* instead of egress_path; NULL: none */
    const struct policy_above *above;      /* NULL: nothing */
    const char *catalogue_path;            /* of package managers' hosts; NULL: the built-in one */
    const struct policy_change *changes;   /* what it would be with these lines in it */
    size_t change_count;
    policy_tested_fn *tested; /* called for each of its tests; NULL: nothing */
    void *tested_arg;
    policy_read_fn *read; /* called for each file; NULL: nothing */
    void *read_arg;
    const struct policy_then
        *then; /* these stand for all lists, agents and the catalogue: none is opened; NULL: opened */
    size_t then_count;
    bool unasked; /* its own tests and its ceiling are not asked, and there are no lints */
};

/*
 * Reads and compiles. Opened files must be regular, owned by root or the effective user, not writable by others, and
 * so must each directory on the way (a sticky one passes). ERR_INVALID when the policy is wrong: every finding stands
 * in `diag` with file:line:column and the fix; ERR_IO when a file could not be read (said in diag too). Lints are added
 * to diag on success as well.
 */
MUST_CHECK enum err policy_load(const struct policy_sources *sources, struct diag *diag, struct policy **out);

/* The same from memory, for tests and fuzzing; `name` stands for the file in messages. `egress` may be empty. Files
 * that the text names are looked for relative to `name` as usual. */
MUST_CHECK enum err policy_load_text(const char *name, struct span text, struct span egress, struct diag *diag,
                                     struct policy **out);

struct policy *policy_ref(struct policy *policy); /* gives it back */
void policy_unref(struct policy *policy);         /* NULL is allowed */

const char *policy_id(const struct policy *policy);   /* POLICY_ID_TEXT digits */
struct span policy_name(const struct policy *policy); /* name: of the environment file */
bool policy_is_limited(const struct policy *policy);
/* When mode: observe ends, in milliseconds since 1970 (UTC); 0: it enforces. */
int64_t policy_observes_until_ms(const struct policy *policy);
const struct limits *policy_limits(const struct policy *policy);
struct span policy_denial_hint(const struct policy *policy); /* empty if none was given */
/* egress.environment_ids: the vendor's ids of this environment. */
size_t policy_environment_id_count(const struct policy *policy);
struct span policy_environment_id(const struct policy *policy, size_t index);
/* The texts that made it, environment file then egress file (empty if none): kept beside the audit log. */
struct span policy_source_text(const struct policy *policy, size_t index);

/* What a file was when it was read: another mark is another content. */
struct policy_mark {
    uint64_t device, inode, size;
    int64_t mtime_ns, ctime_ns;
    uint32_t owner; /* uid */
};

struct policy_file {
    const char *path;
    const char *kind;   /* environment, egress, list, agent, catalogue: a literal */
    uint8_t sha256[32]; /* of what was read; zeros where nobody asked for it */
    bool on_demand;     /* an agent definition: a change of it counts only when somebody asks for a reload */
    struct policy_mark mark;
};

/* The files that it was read from; those of struct policy_text are their owner's. */
const struct policy_file *policy_files(const struct policy *policy, size_t *out_count);
/* The mark of what lies at this path now; ERR_IO if nothing can be said. */
MUST_CHECK enum err policy_mark_of(const char *path, struct policy_mark *out);
bool policy_mark_equal(const struct policy_mark *a, const struct policy_mark *b);

/* Versions of the libraries that this room runs with, and of the data that it carries. */
const char *policy_yaml_version(void);
const char *policy_pcre2_version(void);
const char *policy_idn2_version(void);
const char *policy_psl_version(void);

/* ---- asking ---- */

enum door { DOOR_CONNECT, DOOR_HTTP, DOOR_SOCKS5, DOOR_TLS, DOOR_PLAIN };
const char *door_text(enum door door); /* "connect", "http", "socks5", "tls", "plain" */

/* An address and port on which this process itself listens. */
struct own_socket {
    struct ipaddr addr;
    uint16_t port;
};

/* What is asked. Everything is const and borrowed for the call. */
struct question {
    enum door door;
    enum method method; /* METHOD_CONNECT where the door has none */
    const struct target *target;
    uint64_t generation;          /* of the book in force; copied into the decision */
    const struct own_socket *own; /* for the address stage */
    size_t own_count;
    const struct narrowing *narrowing; /* of the session that asks; NULL: none */
    bool observes; /* the environment's mode is observe, and its last day has not ended: the caller has the clock */
};

/* Method, port, and name or literal. */
void policy_ask_target(const struct policy *policy, const struct question *question, struct decision *out);

/*
 * Judges what the resolver gave (or the literal itself, count 1). Only for a target that policy_ask_target() allowed;
 * the target stage is evaluated again inside, so that nothing can be admitted that it refuses. At most ADMITTED_MAX
 * answers are looked at; one forbidden address refuses all. With VERDICT_DENY, *out is empty.
 * out_index (may be NULL): which answer decided a refusal.
 */
void policy_ask_address(const struct policy *policy, const struct question *question, const struct ipaddr *answers,
                        size_t count, struct admitted *out, struct decision *out_decision, size_t *out_index);

/* What came instead of a hello. */
enum first_bytes { FIRST_HELLO, FIRST_NOT_TLS, FIRST_SILENCE };

/* TLS rules for this target. `hello` is read with FIRST_HELLO alone. FIRST_SILENCE is asked when the hello deadline
 * passed without a byte: allowed only where non_tls is. */
void policy_ask_hello(const struct policy *policy, const struct question *question, enum first_bytes first,
                      const struct hello *hello, struct decision *out);

/* ---- words ---- */

struct rule {
    char id[96];         /* "allowed_hosts[0]", "egress.hosts[2]", "package_managers.node[1]", "default" */
    struct span text;    /* the entry as written, or empty */
    const char *file;    /* borrowed from the policy; NULL for built-in rules */
    uint32_t line;       /* 0 for built-in rules */
    struct span group;   /* of the catalogue, or empty */
    struct span version; /* of the catalogue, or empty */
};

/* Describes the rule of a decision that this policy made. */
void policy_rule(const struct policy *policy, struct rule_ref ref, struct rule *out);

/* The class of a forbidden address ("link-local", "private (RFC 1918)", ...) for explain and the record. */
const char *policy_address_class(const struct ipaddr *addr);

/* One line of the effective policy, in the order in which a person reads: mode, allows, ports, addresses, TLS,
 * limits. */
struct policy_line {
    const char *section; /* "allowed_hosts", "egress.ports", "limits", ... */
    char text[512];      /* "*.example.com  443 (CONNECT, SOCKS5), 80 (HTTP)" */
    struct rule rule;    /* where it comes from */
};
typedef void policy_line_fn(void *arg, const struct policy_line *line);
/* Calls `fn` for each line, which is borrowed for the call. */
void policy_describe(const struct policy *policy, policy_line_fn *fn, void *arg);

/* What each layer of the target stage says by itself, whatever the others say; in the order of their weight. */
enum layer_says { LAYER_SILENT, LAYER_ALLOWS, LAYER_DENIES };
struct policy_layer {
    const char *name; /* "denied_hosts", "egress.hosts", "allowed_hosts", ... */
    enum layer_says says;
    enum reason reason; /* of a denial */
    struct rule rule;   /* its line; id empty when it is silent */
};
typedef void policy_layer_fn(void *arg, const struct policy_layer *layer);
void policy_layers(const struct policy *policy, const struct question *question, policy_layer_fn *fn, void *arg);

struct catalogue;

/*
 * For a refusal at the target, address or hello stage: the smallest lines of YAML that would open it, or a sentence
 * that says why nothing can. `address` (may be NULL) is the one that was refused; `catalogue` (NULL: groups are not
 * spoken of) is the one that the policy was loaded with. *out_change is the same as a value, CHANGE_NONE with a
 * sentence.
 */
void policy_opening(const struct policy *policy, const struct question *question, const struct decision *decision,
                    const struct ipaddr *address, const struct catalogue *catalogue, struct outbuf *out,
                    struct policy_change *out_change);

#endif
