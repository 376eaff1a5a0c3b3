/* SPDX-License-Identifier: Apache-2.0 */
/* inside: what a policy is made of, for the files of this room. */
#ifndef POLICY_INSIDE_H
#define POLICY_INSIDE_H

#include "address.h"
#include "arena.h"
#include "names.h"
#include "pattern.h"
#include "policy/policy.h"
#include "ports.h"

#include <stdatomic.h>

/* Where an entry stands and how it is written. A built-in one has no file. */
struct place {
    const char *file;
    uint32_t line, column;
    struct span text;
};

/* Of each TLS rule: nothing said, the strict word (required, refuse), or the loose one (optional, outer, allow). */
enum tls_choice { TLS_UNSAID, TLS_STRICT, TLS_LOOSE };

struct tls_rules {
    enum tls_choice sni, ech, non_tls;
};

struct host_entry {
    struct place place;
    bool wild, literal;
    bool has_ports, has_methods, pinned;
    bool own_non_tls; /* non_tls stands in the entry itself */
    struct ports ports;
    const struct prefix *pins;
    uint32_t pin_count;
    uint32_t methods;     /* bits 1 << enum method; those of egress.methods when it has none */
    struct tls_rules tls; /* complete: what it leaves unsaid comes from egress.tls */
};

/* One host of one or more MCP endpoints. */
struct mcp_host {
    struct place place; /* of the first endpoint's URL */
    const char *list;   /* "egress.mcp_servers" or "egress.agents" */
    uint32_t number;    /* within it */
    struct target target;
    struct ports ports;
};

struct group_host {
    struct span group;
    struct span text;
    struct span version;
    const char *file; /* of an operator's own catalogue; NULL: built in */
    uint32_t line;
    uint32_t index; /* within its group */
    uint8_t tier;
    struct span why;
};

struct literal {
    struct ipaddr addr;
    enum name_kind kind; /* NAME_ENTRY, NAME_ALLOWED or NAME_MCP */
    uint32_t value;
};

struct list_file {
    struct place place; /* where the policy names it */
    const char *path;
    uint32_t names;
};

struct placed_pattern {
    struct place place;
    struct pattern *pattern;
};

struct placed_prefix {
    struct place place;
    struct prefix prefix;
};

struct placed_port {
    struct place place; /* without a file: of the default */
    uint16_t port;
};

/* A list in the policy's arena. */
#define LIST_OF(type)                                                                                                  \
    struct {                                                                                                           \
        type *at;                                                                                                      \
        uint32_t count;                                                                                                \
    }

struct policy {
    struct arena arena;
    char id[POLICY_ID_TEXT + 1];
    struct span name;
    struct span texts[2];
    LIST_OF(struct policy_file) read; /* its files */
    const char *files[2];
    bool limited;
    bool self_hosted;
    bool opens_mcp, opens_packages;
    struct place type_place, mcp_place, packages_place;

    int64_t observes_until_ms; /* 0: it enforces */
    struct place mode_place;
    struct limits limits;
    struct span denial_hint;
    LIST_OF(struct span) environment_ids;

    struct names names;
    LIST_OF(struct literal) literals; /* sorted by address */
    LIST_OF(struct host_entry) entries;
    LIST_OF(struct place) allowed;
    LIST_OF(struct mcp_host) mcp_hosts;     /* declared; opened by the toggle */
    LIST_OF(struct group_host) group_hosts; /* opened; those of the whole catalogue follow it when it is off */
    LIST_OF(struct place) denied;           /* its own, then those that stand above it */
    uint32_t denied_own;
    LIST_OF(struct span) builtin_names;
    LIST_OF(struct list_file) allow_files;
    LIST_OF(struct list_file) block_files;
    LIST_OF(struct placed_pattern) allow_patterns;
    LIST_OF(struct placed_pattern) deny_patterns;
    struct span catalogue_version, builtin_version;
    const char *catalogue_file; /* NULL: the built-in one */
    enum package_mode { PACKAGES_COMPAT, PACKAGES_READ_ONLY, PACKAGES_DECLARED } package_mode;
    struct place package_mode_place;

    struct ports connect_ports, http_ports;
    struct place connect_place, http_place;
    LIST_OF(struct placed_port) blocked; /* sorted by port */
    uint32_t methods;
    struct place methods_place;
    struct tls_rules tls;
    struct place tls_place;
    LIST_OF(struct placed_prefix) private_networks;
    struct placed_prefix nat64; /* family 0: none */
    struct place hint_place, limits_place;
    char apart[64]; /* from what is read at each question */
    atomic_uint references;
};

/* ---- what the policy knows about a target: the ground of every answer ---- */

struct standing {
    struct name_hit hits[NAME_KINDS]; /* of a name */
    const struct host_entry *entry;   /* whose rules apply: exact, else the longest pattern, else NULL */
    uint32_t entry_index;
    const struct mcp_host *mcp; /* opened endpoint on this host */
    uint32_t mcp_index;
    uint32_t allowed_index; /* of a literal in allowed_hosts, + 1; 0: none */
};

void standing_find(const struct policy *policy, const struct target *target, struct standing *out);

/* The target stage, with what it found. */
void judge_target(const struct policy *policy, const struct question *question, struct standing *out_standing,
                  struct decision *out);

/* ask.c: the parts of that stage, for whoever asks them one by one (layers.c). A refusal of a method stands in
 * `out`. */
uint32_t ask_hit_value(const struct policy *policy, const struct name_hit *hit);
bool ask_plain_port(const struct policy *policy, const struct question *question, const struct standing *s);
bool ask_group_port(const struct question *question, const struct standing *s);
bool ask_port_is_blocked(const struct policy *policy, uint16_t port, uint32_t *out_index);
bool ask_method(const struct policy *policy, const struct question *question, const struct standing *s,
                struct decision *out);

/* ---- small shared words ---- */

bool door_is_http(enum door door);
uint32_t method_bit(enum method method);
enum method method_by_name(struct span name);
const char *method_name(enum method method);
void methods_print(uint32_t methods, struct outbuf *out);
void prefix_print(const struct prefix *prefix, struct outbuf *out);
const char *tls_word_sni(enum tls_choice c);
const char *tls_word_ech(enum tls_choice c);
const char *tls_word_non_tls(enum tls_choice c);

#endif
