/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strings of a flow record: X(member, most bytes kept). What is longer is cut at a character's border and the leaf
 * says `is_truncated`. The sum is held against RECORD_PACKED_MAX in pack.c.
 */
/* clang-format off */
#define FLOW_STRING_TABLE(X) \
    X(method, 32)            \
    X(scheme, 8)             \
    X(path, 320)             \
    X(query_names, 192)      \
    X(door, 16)              \
    X(listener, 128)         \
    X(environment, 128)      \
    X(session, 64)           \
    X(work, 128)             \
    X(agent, 128)            \
    X(raw_target, 320)       \
    X(raw_target_hash, 24)   \
    X(policy_id, 72)         \
    X(rule_id, 256)          \
    X(rule_type, 48)         \
    X(group_version, 64)     \
    X(dns_result, 24)        \
    X(sni, 255)

#define EVENT_ENVIRONMENT_MAX 128
#define EVENT_SUBJECT_MAX 128
#define EVENT_MESSAGE_MAX 384
#define EVENT_FACT_MAX 256

#define FLOW_ANSWERS_MAX 16

/* How a record kind is called in metadata.event_code; events are called by their own names. */
#define RECORD_CODE_TABLE(X)      \
    X(RECORD_ATTEMPT, "attempt")  \
    X(RECORD_OUTCOME, "outcome")  \
    X(RECORD_TRAFFIC, "traffic")  \
    X(RECORD_LOOKUP, "lookup")

/* OCSF 1.8.0, class 4002, activity_id by method; others are 99 with the method as activity_name. */
#define HTTP_ACTIVITY_TABLE(X) \
    X("CONNECT", 1)            \
    X("DELETE", 2)             \
    X("GET", 3)                \
    X("HEAD", 4)               \
    X("OPTIONS", 5)            \
    X("POST", 6)               \
    X("PUT", 7)                \
    X("TRACE", 8)              \
    X("PATCH", 9)
/* clang-format on */
