/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leaf: a record as the log keeps it: one OCSF 1.8.0 object, keys in a fixed order, no spaces. It begins
 *
 *   {["action_id":A,]"metadata":{"event_code":"…","sequence":N,["tenant_uid":"…",]["correlation_uid":"…",]"uid":"…",…},
 *    "unmapped":{["env_seq":N,]"boot":"…","mono_ns":N,…},"time":…
 *
 * so that leaf_scan() finds what verification needs without parsing the rest.
 */
#ifndef AUDIT_LEAF_H
#define AUDIT_LEAF_H

#include "audit/desk.h"
#include "base/json.h"

#define LEAF_UUID_TEXT 36
#define LEAF_BOOT_AT   8                     /* of the UUID in it: a piece of an entry, that no NUL ends */
#define LEAF_BOOT_TEXT (LEAF_UUID_TEXT + 20) /* "boot":"UUID","mono_ns": */

struct leaf_context {
    const char *origin;
    uint8_t metadata_tail[768]; /* what is the same in every leaf, made by leaf_context_init() */
    size_t metadata_tail_len;
    uint8_t boot[LEAF_BOOT_TEXT];
    uint64_t random[2]; /* state of the generator behind metadata.uid */
};

/* `origin` is borrowed; false when it is too long. */
bool leaf_context_init(struct leaf_context *ctx, const char *origin, const uint8_t boot[static 16]);

/* What the writer knows and the record does not. */
struct leaf_place {
    uint64_t index;
    uint64_t env_seq; /* 0: the record belongs to no environment */
};

/* What a leaf may take while it is made, before one that is too long is made again with every string cut short. */
#define LEAF_ROOM 28672u

/* Gives the bytes written: 2 to RECORD_LEAF_MAX. `out` has room for LEAF_ROOM. */
size_t leaf_format(struct leaf_context *ctx, const struct sealed *sealed, struct leaf_place place, uint8_t *out);

/* The environment that a record is numbered under; empty: none. As it stands in the leaf, unescaped. */
struct span leaf_environment(const struct sealed *sealed);

/* ---- reading ---- */

enum leaf_kind { LEAF_ATTEMPT, LEAF_OUTCOME, LEAF_TRAFFIC, LEAF_LOOKUP, LEAF_EVENT };

struct leaf_facts {
    enum leaf_kind kind;
    enum event_kind event; /* of LEAF_EVENT */
    bool allowed;          /* action_id 1 */
    bool has_tenant;
    uint64_t sequence;
    uint64_t env_seq;
    struct span tenant; /* as it stands in the JSON, escaped */
    uint8_t flow[FLOW_ID_BYTES];
    struct span unmapped; /* of LEAF_EVENT: from the first fact on, to the end of the leaf */
};

/* False when the leaf is not of the form above. */
bool leaf_scan(struct span leaf, struct leaf_facts *out);

/* The text of `"key":"…"` in `json`, still escaped; empty if there is none. */
struct span leaf_text(struct span json, const char *key);
/* The number under "key"; 0 if there is none. */
uint64_t leaf_number(struct span json, const char *key);

/* ---- shared by leaf.c and leaf_flow.c, leaf_lookup.c, leaf_event.c ---- */

struct leaf_writer {
    struct leaf_context *ctx;
    const struct sealed *sealed;
    struct leaf_place place;
    bool tight; /* the first try was too long: every string is cut short */
};

/* Everything between the outer braces. Begin at `at` and give where they end; lookup and event give NULL when that is
 * behind RECORD_LEAF_MAX. */
uint8_t *leaf_write_flow(struct leaf_writer *w, uint8_t *at);
uint8_t *leaf_write_lookup(struct leaf_writer *w, uint8_t *at);
uint8_t *leaf_write_event(struct leaf_writer *w, uint8_t *at);
/* "metadata":{...},"unmapped":{ and what stands first there; the caller adds its own and closes it. */
uint8_t *leaf_open(struct leaf_writer *w, uint8_t *at, const char *code, struct span environment, const uint8_t *flow);
/* A value as it is kept in this try. */
struct span leaf_kept(const struct leaf_writer *w, struct span value);
/* What the strings of a flow come to, at most, as they stand in its leaf and before any of them is escaped. */
size_t leaf_flow_bytes(const struct record_flow *r);
uint8_t *leaf_flow_id(uint8_t *at, const uint8_t flow[static FLOW_ID_BYTES]);

#endif
