/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal: the tunnel's own struct and what its files say to each other.
 *
 *   tunnels.c      one worker's tunnels: accept, swap, drain, waiting for durability
 *   tunnel.c       the loop over the steps, the one function that changes the step, the one that ends
 *   share.c        what a tunnel takes of session, environment and process
 *   rejudge.c      an open tunnel under a new policy
 *   step_head.c    wait · head · identify · limit · hold · ask · budget
 *   step_connect.c attempt · resolve · admit · dial · reply · hello
 *   step_relay.c   relay
 *   excess.c       one record a second for what is above the rate
 *   ceiling.c      byte ceilings of a session
 *   memory.c       the byte budget of what connections hold
 *   step_http.c    exchange: one plain HTTP request and its answer
 *   http_pump.c    the two directions of an exchange, with http_up.c and http_down.c
 *   lookup.c       the questions that leave for a name, and the room for their records
 *   step_refuse.c  refuse · answer · linger
 *   record.c       what the audit desk is told
 */
#ifndef TUNNEL_INTERNAL_H
#define TUNNEL_INTERNAL_H

#include "tunnel/tunnels.h"

#include "base/outbuf.h"
#include "exchange.h"
#include "wire/forward.h"
#include "wire/hello.h"
#include "wire/redact.h"
#include "wire/reply.h"
#include "wire/secret.h"

enum step {
    STEP_NONE,
#define X(id, fn, wakes, deadline, reason, sentence) STEP_##id,
#include "tunnel/step_tbl.h"
#undef X
    STEP_COUNT
};

/* What a step says to the loop. */
enum go {
    GO_ON,    /* run again: the step changed, or there is more to do */
    GO_WAIT,  /* until something wakes it */
    GO_ENDED, /* the tunnel is gone */
};

/* How far the two records of this attempt are. */
enum recorded {
    RECORDED_NOTHING,
    RECORDED_ATTEMPT, /* sealed; credit for the outcome is held if the target stage allowed it */
    RECORDED_ALL,
};

enum waiting_for {
    WAITING_NOTHING,
    WAITING_CREDIT,
    WAITING_DURABLE,
    WAITING_COUNT,
};

struct tunnel_queue {
    struct tunnel *first, **last;
};

/* What is needed until the relay begins, and freed then. Each attempt begins with setup_clear(). */
struct setup {
    struct buffer *in; /* what the client sent and nobody took */
    size_t in_len;
    struct request_parser request;
    struct hello_parser hello;
    struct answers answers;
    struct lookup *lookup; /* under way, or NULL */
    struct dial *dial;
    struct dialled dialled;
    bool has_answers, has_dialled;
    bool lookup_share_full; /* there was no room for its records because its environment holds enough */
    struct admitted admitted;
    uint16_t raw_target_len;
    bool raw_target_truncated;
    uint32_t raw_target_bytes; /* 0: it is shown whole */
    uint8_t raw_target_hash_len;
    char method[24];
    uint16_t path_len, query_names_len;
    struct exchange http;
    uint8_t odd_sni_len;
    bool odd_sni_truncated;
    uint8_t minor;
    bool head_only;
    /* From here on the lengths say what counts, and nothing else is cleared. */
    struct hostname sni;               /* when the hello named one */
    char odd_sni[REDACT_UNPARSED_MAX]; /* what stood there when it was no host name, redacted */
    char raw_target[REDACT_TARGET_MAX];
    char raw_target_hash[REDACT_HASH_TEXT];
    char path[REDACT_TARGET_MAX], query_names[REDACT_NAMES_MAX]; /* redacted */
};

static inline void setup_clear(struct setup *s)
{
    memset(s, 0, offsetof(struct setup, sni));
    s->sni.len = 0;
}

struct tunnel {
    struct tunnels *home;
    struct tunnel *next, **link;           /* all tunnels of the worker */
    struct tunnel *wait_next, **wait_link; /* those that wait for credit or durability */
    const struct tunnel_listener *listener;
    struct port *client, *upstream;
    struct setup *setup;
    struct policy *policy;       /* a reference, or NULL before identity */
    struct narrowing *narrowing; /* a reference, or NULL: no session, or one that narrows nothing */
    struct tunnel_who who;
    struct timer timer;
    struct run_item run;
    struct lane up, down;
    struct tunnel_client from;
    struct target target; /* of this attempt or, until `knows_target`, of the one before */
    struct ipaddr dialled;
    struct decision target_decision, final_decision;
    struct rule_ref
        late_rule;   /* of `policy`: what opened the address or, at the end, what revoked; else RULE_DEFAULT */
    uint64_t ticket; /* of the attempt record */
    uint64_t opened_ms, progress_ms, relay_from_ms, step_from_ms;
    uint64_t attempt_ms;                            /* when the attempt under way began */
    uint64_t http_up, http_down;                    /* bytes of plain HTTP in it */
    uint64_t metered_up, metered_down;              /* bytes of it that the session's meter has counted */
    struct tenant *client_tenant, *upstream_tenant; /* against whom the two sockets count */
    struct tenant *turned_away;                     /* whose share was full when it came */
    uint64_t traffic_ms;                            /* when its traffic was last looked at */
    uint64_t traffic_recorded;                      /* bytes that the last record told of */
    uint64_t upstream_generation;                   /* of the book under which the upstream was last judged */
    const struct policy *upstream_policy;           /* of that book, to be compared alone; NULL: ask again */
    struct flow_times times;
    uint8_t flow[FLOW_ID_BYTES];
    uint32_t dials, dns_sent;
    bool dns_joined; /* it waited for questions that had left for another attempt */
    enum step step;
    enum recorded recorded;
    enum waiting_for waiting_for;
    enum door door;
    enum method method;
    enum flow_end end;
    enum first_bytes first_bytes; /* what was judged at the hello stage */
    struct buffer *other_name;    /* of a hello that named another host and was let pass; nearly always NULL */
    struct buffer *out;           /* memory of an answer of ours, or NULL when it is a static text */
    const uint8_t *out_bytes;     /* the answer under way */
    uint16_t out_len, out_sent;
    uint16_t status; /* HTTP status that the client was given, 0: none */
    uint16_t tls_version;
    uint32_t drained_bytes;
    struct tenant *credit_of; /* against whom the credit of its attempt counts, NULL: it has none */
    uint64_t credit_max;      /* most that one may hold */
    uint16_t tenant_credit;   /* bytes of it */
    struct tenant *memory_of; /* against whom its memory counts, for its life */
    uint64_t memory;          /* bytes of it, and of these the ones that its lanes hold */
    uint64_t memory_lanes, memory_max;
    struct meter *came_by; /* counts it if it comes to nothing; NULL: it was counted */
    struct pace pace;
    bool running, timed_out;
    bool arm;      /* the deadline of the step is not set yet */
    bool unminded; /* this step waits for nothing that a deaf client could say */
    bool holds_credit, holds_outcome_credit, holds_upstream_fd, holds_tunnel, holds_held;
    bool judged_hello, has_hello, sni_present, ech;
    bool heard; /* a whole head, or one that was bad enough */
    bool knows_target;
    bool counted; /* its bytes, in the counters */
    bool client_eof, buried;
};

struct tunnels {
    struct tunnels_options o;
    struct book *book;
    struct tunnel *all;
    struct tunnel_queue waiting[WAITING_COUNT]; /* in the order of their tickets */
    size_t open;
    struct tunnel *free_tunnels;
    struct setup *free_setups; /* linked through their first bytes */
    struct buffer *free_buffers[2];
    struct lookup_note *free_notes;
    size_t free_note_count, noted; /* noted: that questions are under way for */
    uint32_t pooled[4];
    struct redactor redactor;
    const struct redact_key *redact_key; /* that the redactor has */
    struct request *request;             /* scratch of one event */
    struct response *response;
    struct hello *hello;
    uint8_t *hello_scratch;
    uint8_t entropy[1024]; /* for flow ids, refilled when used up */
    size_t entropy_left;
    struct run_item judge; /* re-judging after a swap */
    struct tunnel *judge_next;
    struct buffer *turned_away[3];  /* ready answers, see tunnel_turn_away() */
    uint8_t established_bytes[128]; /* the 200 to a CONNECT */
    struct outbuf established;
    struct excess_watch *watches; /* see excess.h */
    struct timer drain_timer, gate_timer;
    bool draining, paused;
    uint64_t gate_closed_ms; /* since when, 0: open */
    void (*on_empty)(void *arg);
    void *on_empty_arg;
    struct tunnel_counters counters;
};

#define CREDIT_WAIT_MS 1000u /* for room in the desk */

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* The worker alone writes its counters: a load and a store, and no bus lock. */
static inline void counter_add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}
#define COUNT(home, name, n) counter_add(&(home)->counters.name, (n))
#define LIMIT_HIT(home, row) counter_add(&(home)->counters.limits[row], 1)

/* ---- privacy.c ---- */
void privacy_keep(struct tunnel *t, const struct request *request, bool parsed);
void privacy_keep_path(struct tunnel *t, const struct request *request); /* of a plain request, with its query */
void privacy_keep_sni(struct tunnel *t, struct span raw);                /* of a hello that was refused for it */

/* ---- pools (pool.c) ---- */
struct buffer {
    struct buffer *next;
    uint32_t cap, used;
    uint8_t data[];
};
uint32_t buffer_cap(size_t bytes);                             /* of the buffer that this many get */
struct buffer *buffer_get(struct tunnels *home, size_t bytes); /* NULL: no memory */
void buffer_put(struct tunnels *home, struct buffer *buffer);  /* NULL is allowed */
struct tunnel *tunnel_get(struct tunnels *home);
void tunnel_put(struct tunnels *home, struct tunnel *t);
struct setup *setup_get(struct tunnels *home);
void setup_put(struct tunnels *home, struct setup *s);
void pools_free(struct tunnels *home);

/* ---- memory.c ---- */
#define CONNECTION_BYTES (sizeof(struct tunnel) + 1024) /* with its ports and what they keep */
/* Begins to count a connection against a tenant; false: the budget of one of them is used up. */
bool memory_join(struct tunnel *t, struct tenant *tenant, const struct limits *limits);
bool memory_take(struct tunnel *t, size_t bytes);
void memory_give(struct tunnel *t, size_t bytes);
bool memory_lanes(struct tunnel *t); /* counts what the lanes hold now; false: it is too much */
/* From the pools, counted; NULL: no memory, or the budget is used up. */
struct setup *memory_setup(struct tunnel *t);
void memory_setup_drop(struct tunnel *t, struct setup *setup);
struct buffer *memory_buffer(struct tunnel *t, size_t bytes);
void memory_buffer_drop(struct tunnel *t, struct buffer *buffer); /* NULL is allowed */

/* ---- tunnel.c ---- */
void tunnel_run(struct tunnel *t);
/* The one function that changes the step; sets the step's deadline. Gives GO_ON. */
enum go tunnel_step(struct tunnel *t, enum step step);
/* A deadline of this step's own, in place of the one that its row names. */
void tunnel_wake_at(struct tunnel *t, uint64_t at_ms);
/* The one function that ends a tunnel: seals the outcome if one is due, closes both sides, gives everything back.
 * Gives GO_ENDED. */
enum go tunnel_end(struct tunnel *t, enum reason reason, enum flow_end end, bool reset);
/* A decision of ours that no policy made, as it is recorded. */
struct decision tunnel_own_decision(const struct tunnel *t, enum reason reason, enum stage stage);
/* Refuses by such a one. */
enum go tunnel_refuse(struct tunnel *t, enum reason reason, enum stage stage);
/* Refuses by a policy's decision. */
enum go tunnel_refuse_by(struct tunnel *t, const struct decision *decision);
/* Like tunnel_refuse(), for a connection that has no attempt: answered from a static text, counted. */
enum go tunnel_turn_away(struct tunnel *t, enum reason reason);
uint64_t tunnel_now(const struct tunnel *t);
/* Where this attempt is to go; NULL: its head has not said so. */
const struct target *tunnel_target(const struct tunnel *t);
const struct limits *tunnel_limits(const struct tunnel *t);
/* Is what this policy would refuse to pass for now? *out_left_ms (may be NULL): for how long. */
bool tunnel_observes(const struct policy *policy, uint64_t *out_left_ms);
struct question tunnel_question(const struct tunnel *t);
/* Milliseconds since the last call for this tunnel: how long a step took. */
uint32_t tunnel_lap(struct tunnel *t);

/* Seals the outcome of the attempt under way, if one is due. */
void tunnel_seal_outcome(struct tunnel *t, enum reason reason, enum flow_end end);
/* Forgets the attempt that ended, on a connection that goes on. */
void tunnel_renew(struct tunnel *t);
/* To the step that carries bytes, with the timer at the first of its two deadlines. GO_ON or GO_ENDED. */
enum go tunnel_carry(struct tunnel *t, enum step step);
/* Traffic that is due is recorded before more is carried: false while that has to wait. */
bool tunnel_may_carry(struct tunnel *t);
/* The relay's and exchange's timer has fired: ends the tunnel or sets it again from the last progress. */
enum go tunnel_deadline(struct tunnel *t);
void tunnel_wait_for(struct tunnel *t, enum waiting_for what);
void tunnel_wait_done(struct tunnel *t);
void tunnel_setup_drop(struct tunnel *t);
/* Ends a lookup or dial that is under way, and counts what had left. */
void tunnel_cancel_pending(struct tunnel *t);
void tunnel_client_wake(struct port *port);

/* ---- share.c ---- */
/* One attempt more at this moment, of the environment and of a session that was given a rate of its own. */
bool tunnel_take_rate(struct tunnel *t);
/* A place among the open tunnels of environment and session; false takes none. */
bool tunnel_take_place(struct tunnel *t);
void tunnel_give_place(struct tunnel *t);
/* Counts the credit of its attempt against a tenant, and no more against the one before. False: its share is full. */
bool tunnel_count_credit(struct tunnel *t, struct tenant *tenant, uint64_t max);
void tunnel_uncount_credit(struct tunnel *t);
/* Gives back the room for the records of an attempt that there will not be. */
void tunnel_drop_credit(struct tunnel *t);
/* Counts one of the tunnel's sockets against a tenant, and no more against the one before. False: its share is full. */
bool tunnel_count_socket(struct tunnel *t, struct tenant **against, struct tenant *tenant, const struct limits *limits);
/* A tenant's share of something of the process. */
uint64_t tunnel_share(const struct tunnel *t, const struct limits *limits, uint64_t max);
/* Counts a connection that ended without a whole head, asked for a page of ours, was turned away or above the rate; once,
 * and as soon as it is known. */
void tunnel_came_to_nothing(struct tunnel *t);
/* After the socket was closed, or the connection was handed over. */
void tunnel_uncount_socket(struct tenant **against);
/* After the upstream's was closed: the next one that is dialled takes a place of its own. */
void tunnel_uncount_upstream(struct tunnel *t);
/* Everything that is still held, at the end of the tunnel. */
void tunnel_give_back(struct tunnel *t);

/* ---- rejudge.c ---- */
/* Judges a tunnel again under the book in force, if its policy or its narrowing is another one there. May end it. */
void tunnel_rejudge(struct tunnel *t);

/* ---- step_http.c ---- */
/* Prepares the forwarded head of a request that was allowed; false: no memory. */
bool http_prepare(struct tunnel *t, const struct request *request);
/* Why an absolute-form request cannot be forwarded, whatever the policy says; REASON_NONE: it can. */
enum reason http_examine(struct tunnel *t, const struct request *request);
/* True if the upstream connection at hand may serve the request that was just allowed. */
bool http_may_reuse(struct tunnel *t);
void http_close_upstream(struct tunnel *t);
enum go http_finish(struct tunnel *t);
void http_drop(struct tunnel *t);

/* ---- step_head.c ---- */
/* Makes room for more of a head or hello, up to `max` bytes in all; false: no memory, or that much is there. */
bool tunnel_grow(struct tunnel *t, size_t max);
/* Reads once from the client into the setup's buffer, which has been given room. */
enum port_io tunnel_fill(struct tunnel *t);
/* Where the refusals of this client are kept for it; NULL: it is not known. */
struct why *tunnel_why(const struct tunnel *t);
/* Fills t->who once; REASON_NONE with a policy, else why there is none. */
enum reason tunnel_identify(struct tunnel *t);
/* True while nothing of its environment, and of no other, is recorded. */
bool tunnel_is_gated(const struct tunnel *t);
enum go tunnel_over_rate(struct tunnel *t);

/* ---- tunnels.c ---- */
/* Tells a drain that nothing is left. */
void tunnels_note_empty(struct tunnels *home);
/* The gate as it is now: what follows from its shutting and its opening begins here. */
void tunnels_note_gate(struct tunnels *home);
/* Tells the desk whether anybody here waits for the writer. */
void tunnels_mind_desk(struct tunnels *home);

/* ---- lookup.c ---- */
extern const struct lookup_calls tunnel_lookup_calls; /* of a tunnel */
void lookup_notes_free(struct tunnels *home);
/* One more attempt waits for a name server; false: its environment has its share of those that may. */
bool lookup_take(struct tunnel *t);
void lookup_given_back(struct tunnel *t);

/* ---- record.c ---- */
/* For whom a question left. */
struct lookup_asker {
    const uint8_t *flow;
    const struct tunnel_client *from;
    struct span environment, session, work, agent;
};
/* On credit for one record. */
void record_lookup(struct tunnels *home, const struct lookup_asker *asker, const struct lookup_question *question);
void record_attempt(struct tunnel *t, const struct decision *decision);
void record_outcome(struct tunnel *t);
/* Seals a traffic record on credit of its own if one is due. False: one is due and there is no room for it now. */
bool record_traffic_due(struct tunnel *t);
/* When the next one may be due by time; UINT64_MAX: never. */
uint64_t record_traffic_next_ms(const struct tunnel *t);
/* A limit is nearly or quite used up: an entry of the log, if there is room for one. */
void record_warning(struct tunnel *t, enum limit limit, uint64_t value, uint64_t max);
/* Writes the one record; false if there is no room for it now. */
bool record_excess(struct tunnels *home, const struct excess_watch *watch);

/* ---- steps ---- */
#define X(id, fn, wakes, deadline, reason, sentence) enum go fn(struct tunnel *t);
#include "tunnel/step_tbl.h"
#undef X

#endif
