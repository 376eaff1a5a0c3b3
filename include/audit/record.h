/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: what happened, as it is handed to the audit desk. A record is a plain struct of borrowed spans on the sealing
 * thread; sealing copies it as long as it is into the desk's ring (strings inline and length-capped), and the writer
 * turns that copy into one OCSF 1.8.0 JSON line, the leaf. Two shapes: flow records (attempt, outcome, traffic, lookup)
 * and log events (start, stop, policy, gate, ...). The fields of each leaf stand in audit/record_tbl.h, from which
 * docs/audit-format.md is made.
 */
#ifndef AUDIT_RECORD_H
#define AUDIT_RECORD_H

#include "policy/decision.h"
#include "wire/target.h"

#define RECORD_PACKED_MAX 3072 /* of one record in the ring */
#define RECORD_LEAF_MAX   8191 /* of one JSON line: below the framing's escape */
#define FLOW_ID_BYTES     16

enum record_kind {
    RECORD_ATTEMPT,
    RECORD_OUTCOME,
    RECORD_TRAFFIC,
    RECORD_LOOKUP,
    RECORD_EVENT,
};

/* How a flow ended, for the OCSF activity of an outcome. */
enum flow_end {
    FLOW_END_NONE,
    FLOW_END_CLOSED,  /* both sides ended it, or idle, lifetime, drain */
    FLOW_END_RESET,   /* one side reset it */
    FLOW_END_FAILED,  /* DNS or dial failed */
    FLOW_END_REFUSED, /* denied at a later stage than the target stage */
};

/* Milliseconds of the steps, 0xffffffff where a step did not happen. */
struct flow_times {
    uint32_t head_ms, durable_ms, resolve_ms, dial_ms, hello_ms, relay_ms;
};

/* One question to a name server. The name is the record's target, the server what it dialled. */
struct record_lookup {
    uint32_t ttl_s;
    uint16_t type; /* 1 A, 28 AAAA */
    uint16_t server_port;
    bool tcp;
    uint8_t rcode; /* 0xff: no answer came */
};

struct record_flow {
    /* What has one size; the ring takes it as it lies here. */
    enum record_kind kind;
    enum flow_end end;           /* outcome */
    uint8_t flow[FLOW_ID_BYTES]; /* shared by attempt, traffic and outcome */
    struct decision decision;    /* attempt: of the target stage; outcome: the final one */
    struct flow_times times;     /* outcome and traffic, as what follows */
    uint64_t bytes_up, bytes_down;
    uint64_t duration_ms;
    uint64_t target_generation; /* of the target stage; decision.generation is that of the final one */
    uint32_t dials, dns_sent;   /* connect() calls and DNS queries that left for this flow, or for this question */
    struct record_lookup lookup;
    struct ipaddr dialled; /* family 0: none */
    struct ipaddr peer;    /* family 0 over a Unix socket */
    uint16_t peer_port;
    uint16_t http_status;        /* 0: none */
    uint32_t peer_uid, peer_pid; /* SO_PEERCRED */
    /* Of a target that is not shown whole: how much of it came; its keyed hash is below. 0: it is whole. */
    uint32_t raw_target_bytes;
    /* attempts above the rate, in one record */
    uint32_t count; /* 0: this is a single attempt */
    int64_t count_start_ms, count_end_ms;
    uint16_t tls_version;
    uint8_t answer_count;
    bool http; /* class 4002 instead of 4001 */
    bool has_peer_uid;
    bool raw_target_truncated;
    bool has_hello;
    bool ech;
    bool dns_joined; /* it waited for a question that had left for another flow */

    /* What has a length of its own. */
    const struct target *target; /* NULL if it could not be parsed */
    const struct ipaddr *answers;
    struct span method;               /* as received; empty where the door has none */
    struct span scheme;               /* "http" for class 4002 */
    struct span path;                 /* redacted, without its query; class 4002 */
    struct span query_names;          /* of the query's keys, separated by '&' */
    struct span door;                 /* "connect", "http", ... */
    struct span listener;             /* address or path it came in by */
    struct span environment;          /* "-" if unknown */
    struct span session, work, agent; /* empty if none */
    struct span raw_target;           /* redacted (wire/redact.h) */
    struct span raw_target_hash;
    struct span policy_id, rule_id, rule_type, group_version;
    struct span dns_result; /* sub-reason of dns_failed: "nxdomain", ... */
    struct span sni;        /* empty: absent; without a hello: what stood there and was no name, redacted */
};

/* Events of the log, the program and its policies. */
#define EVENT_TABLE(X)                                                                                                 \
    X(LOG_STARTED, 1008, 6, "log_started")                                                                             \
    X(LOG_STOPPED, 1008, 7, "log_stopped")                                                                             \
    X(LOG_ROTATED, 1008, 5, "log_rotated")                                                                             \
    X(LOG_SNAPSHOT, 1008, 99, "log_snapshot")                                                                          \
    X(LOG_RECOVERED, 1008, 99, "log_recovered")                                                                        \
    X(GATE_CLOSED, 1008, 10, "gate_closed")                                                                            \
    X(GATE_OPENED, 1008, 9, "gate_opened")                                                                             \
    X(HEARTBEAT, 1008, 99, "heartbeat")                                                                                \
    X(CLOCK_STEP, 1008, 99, "clock_step")                                                                              \
    X(ENV_MANIFEST, 1008, 99, "env_manifest")                                                                          \
    X(DISK_WATERMARK, 1008, 99, "disk_watermark")                                                                      \
    X(OPEN_FLOWS, 1008, 99, "open_flows")                                                                              \
    X(LIMIT_WARNING, 1008, 99, "limit_warning")                                                                        \
    X(POLICY_LOADED, 3004, 10, "policy_loaded")                                                                        \
    X(POLICY_FILE, 3004, 99, "policy_file")                                                                            \
    X(POLICY_REFUSED, 3004, 3, "policy_refused")                                                                       \
    X(POLICY_REMOVED, 3004, 4, "policy_removed")                                                                       \
    X(KEY_CREATED, 3004, 10, "key_created")                                                                            \
    X(SESSION_OPENED, 3004, 1, "session_opened")                                                                       \
    X(SESSION_CHANGED, 3004, 3, "session_changed")                                                                     \
    X(ENVIRONMENT_DENIED, 3004, 3, "environment_denied")                                                               \
    X(ENVIRONMENT_LIFTED, 3004, 3, "environment_lifted")                                                               \
    X(SESSION_CLOSED, 3004, 4, "session_closed")                                                                       \
    X(KEY_ROTATED, 3004, 3, "key_rotated")                                                                             \
    X(SIGNER_ADOPTED, 3004, 3, "signer_adopted")

enum event_kind {
#define X(id, class_uid, activity, name) EVENT_##id,
    EVENT_TABLE(X)
#undef X
};

#define EVENT_FACTS_MAX 24

struct event_fact {
    const char *key; /* a literal of ours */
    bool is_number;
    uint64_t number;
    struct span text;
};

struct record_event {
    enum event_kind event;
    struct span environment; /* empty: the log as a whole */
    struct span subject;     /* entity of class 3004: policy id, key name */
    struct span message;     /* one sentence */
    size_t fact_count;
    struct event_fact facts[EVENT_FACTS_MAX];
};

#endif
