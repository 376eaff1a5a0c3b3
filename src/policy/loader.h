/* SPDX-License-Identifier: Apache-2.0 */
/* loader: from a checked tree to a policy; what its files share. */
#ifndef POLICY_LOADER_H
#define POLICY_LOADER_H

#include "base/digest.h"
#include "data.h"
#include "file.h"
#include "inside.h"
#include "node.h"
#include "schema.h"

#define LIST_FILE_BYTES_MAX (64u * 1024u * 1024u)

struct loader {
    struct policy *policy;
    struct arena trees; /* of the YAML texts; gone when the load ends */
    struct diag *diag;
    struct digest *sources;             /* runs over everything that makes the policy what it is */
    const char *env_file, *egress_file; /* the second is the first when the block stands in it */
    const char *file;                   /* of the block under way */
    bool strict_files;
    const struct policy_sources *given;
    const struct policy_above *above; /* NULL: nothing */
    uint32_t env_line, egress_line;   /* the first line of each text */
    struct node *root, *networking, *egress, *packages;
    const struct builtin_data *builtin;
    const char *catalogue_path;  /* NULL: the built-in one */
    struct catalogue *catalogue; /* read when it is needed */
    uint32_t endpoints;          /* of MCP servers, so far */
    const char *endpoint_list;   /* where the next ones come from */
    uint32_t endpoint_number;
    bool memory; /* an allocation failed */
};

/* An error, or a lint, at a value; the value is marked bad by an error. Gives the finding for diag_fix(). */
struct finding *load_error(struct loader *l, struct node *node, const char *code, const char *message, ...)
    __attribute__((format(printf, 4, 5)));
struct finding *load_lint(struct loader *l, const struct node *node, const char *code, const char *message, ...)
    __attribute__((format(printf, 4, 5)));
struct finding *error_at(struct loader *l, const struct place *place, const char *code, const char *message, ...)
    __attribute__((format(printf, 4, 5)));
struct finding *lint_at(struct loader *l, const struct place *place, const char *code, const char *message, ...)
    __attribute__((format(printf, 4, 5)));

/* Where a value stands, its text copied into the policy. */
struct place load_place(struct loader *l, const struct node *node);

/* Part of the policy's id. A file that the policy names is told by its hash: it may be large, and is hashed once. */
void load_source(struct loader *l, const char *kind, struct span bytes);

/* load_file.c: as file_read(), or the text of then where the sources have it. `at` may be NULL. */
MUST_CHECK enum err load_file_open(struct loader *l, const char *path, size_t max_bytes, const struct node *at,
                                   struct file_bytes *out);
/* The policy was read from this file too. `path` is the policy's own. Gives the text's SHA-256, which lives as long
 * as the policy. */
struct span load_file_read(struct loader *l, const char *path, const char *kind, const struct policy_mark *mark,
                           struct span text);

/* A value of a row of the limits; its default where it was found bad. */
uint64_t load_limit(const struct node *node, const struct limit_row *row);

bool load_bool(const struct node *map, const char *key, bool dflt);
#define SPAN_ARGS(s) (int)(s).len, (const char *)(s).data

/* ---- one file each ---- */

/* load_host.c: one entry as written */
enum host_kind { HOST_NAME, HOST_WILD, HOST_LITERAL };
struct host_text {
    enum host_kind kind;
    struct hostname name; /* of a pattern, what follows "*." */
    struct ipaddr addr;
};
enum host_flags { HOST_LITERALS = 1, HOST_URLS = 2, HOST_ALLOWS = 4, HOST_SHARED = 8 };
/* False with a finding at the node if it is no host. HOST_ALLOWS: wildcards over registries' and shared suffixes are
 * refused (HOST_SHARED: the latter are not). */
bool load_host(struct loader *l, struct node *node, unsigned flags, struct host_text *out);
/* The same without a node, for list files: NULL or what is wrong with it. */
const char *host_flaw(struct span text, const struct builtin_data *builtin, unsigned flags, struct host_text *out,
                      const char **out_fix);
bool load_name(struct loader *l, enum name_kind kind, const struct host_text *host, uint32_t value);
void load_literal(struct loader *l, const struct ipaddr *addr, enum name_kind kind, uint32_t value);

/* load_index.c: sorts and seals what was gathered, and finds what stands there twice */
void load_index(struct loader *l);

void load_hosts(struct loader *l); /* load_hosts.c: allowed_hosts, denied_hosts, egress.hosts */
void load_mcp(struct loader *l);   /* load_mcp.c: mcp_servers and agents */
void load_change(struct loader *l, const struct policy_change *change);   /* change.c: as if it stood in the tree */
void load_agents(struct loader *l, struct node *list);                    /* load_agents.c */
void load_endpoint(struct loader *l, struct node *url, const char *file); /* load_mcp.c */
void load_packages(struct loader *l);                                     /* load_packages.c */
/* catalogue.c: from memory; `file` NULL: the built-in one */
MUST_CHECK enum err catalogue_text(const char *file, struct span text, struct diag *diag, struct catalogue **out);
void load_lists(struct loader *l);     /* load_lists.c: list files */
void load_patterns(struct loader *l);  /* load_patterns.c */
void load_rules(struct loader *l);     /* load_rules.c: ports, methods, TLS, addresses */
void load_rest(struct loader *l);      /* load_rest.c: limits, hint, ids, mode */
void load_tests(struct loader *l);     /* load_tests.c: runs them */
void load_lints(struct loader *l);     /* lint.c */
void load_lint_keys(struct loader *l); /* lint_keys.c */
void load_ceiling(struct loader *l);   /* ceiling.c: holds it against what stands above */

/* load_rules.c, for host entries */
struct ports load_ports(struct loader *l, const struct node *list);
uint32_t load_methods(struct loader *l, const struct node *list);
struct tls_rules load_tls(const struct node *map);
const struct prefix *load_pins(struct loader *l, struct node *list, uint32_t *out_count);

#endif
