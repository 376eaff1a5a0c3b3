/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab: the real tunnel room with everything around it faked: ports that are two byte buffers, a resolver and a dialer
 * that answer when told, a clock that is turned by hand, and a writer that commits when told. After each event
 * lab_check() holds the eight sentences of docs/architecture.md against what was seen from outside.
 */
#ifndef LAB_H
#define LAB_H

#include "tunnel/tunnels.h"

#define LAB_CLIENTS_MAX 64
#define LAB_BYTES_MAX   (256u * 1024u)

enum lab_end { LAB_OPEN, LAB_EOF, LAB_RESET };

/* A party at the far side of a fake port: what it sent that the proxy has not read, and what the proxy sent it. */
struct lab_port {
    struct port port; /* the proxy's end */
    struct lab *lab;
    uint8_t *sent; /* to the proxy */
    size_t sent_len, sent_taken;
    uint8_t *got; /* from the proxy */
    size_t got_len;
    size_t window;    /* bytes that the proxy may still send before it must wait */
    enum lab_end end; /* how this party ended its direction */
    bool proxy_shut, proxy_closed, proxy_reset;
    bool in_use;
    bool missed; /* something happened while the proxy did not listen */
};

struct lab_attempt {
    uint8_t flow[FLOW_ID_BYTES];
    char host[256];
    uint16_t port;
    bool allowed, outcome;
    enum reason reason, final_reason;
    enum stage stage, final_stage;
    uint64_t up, down, count;
    uint64_t generation, final_generation;
    enum flow_end end;
    unsigned traffic; /* records of bytes that moved, and what the last of them said */
    uint64_t traffic_up, traffic_down;
    unsigned lookups, dials; /* that the outside saw for it */
    unsigned questions;      /* that are on record for it */
};

struct lab_dial {
    bool in_use;
    struct admitted admitted;
    dial_fn *fn;
    void *arg;
    struct lab_port *upstream; /* given to the tunnel */
};

struct lab_lookup {
    bool in_use;
    bool orphan; /* nobody waits for it any more, and it has not ended */
    struct hostname name;
    const struct lookup_calls *calls;
    void *note;
    void *arg;
};

struct lab {
    uint64_t now_ms;
    struct wheel *wheel;
    struct run_item *asked;
    struct run_item asked_end;
    struct {
        void *object;
        grave_fn *fn;
    } graves[512];
    size_t grave_count;
    struct desk *desk;
    struct relay_pool *pool;
    struct tunnels *tunnels;
    struct tunnel_process process;
    struct tenant *tenant;
    struct policy *policy;
    uint64_t generation;
    bool unknown_client;  /* identity says: nobody */
    bool shared_listener; /* clients of other environments come in by it too */
    bool cannot_listen;   /* nobody who comes can be registered */
    uint32_t rest_ms;     /* what the last accept asked for */
    bool dns_at_once;     /* lookups are answered from a cache */
    bool no_server;       /* there is nobody to ask for a name */
    struct ipaddr dns_addr[2];
    size_t dns_addr_count;
    struct lab_port ports[LAB_CLIENTS_MAX * 2];
    struct lab_lookup lookups[LAB_CLIENTS_MAX * 2];
    struct lab_dial dials[LAB_CLIENTS_MAX];
    struct lab_attempt attempts[4096]; /* durable ones */
    size_t attempt_count;
    uint64_t queries, connects, warnings;
    uint64_t questions, questions_recorded; /* two a lookup that was no cache's */
    bool emptied;
};

struct lab *lab_new(const char *policy_yaml);
/* The same with traffic records after this time and this many bytes. */
struct lab *lab_new_traffic(const char *policy_yaml, uint64_t traffic_ms, uint64_t traffic_bytes);
void lab_free(struct lab *lab);

/* ---- events ---- */
struct lab_port *lab_client(struct lab *lab);                                     /* NULL: all in use */
struct lab_port *lab_client_says(struct lab *lab, const void *bytes, size_t len); /* connects with these bytes */
void lab_send(struct lab_port *party, const void *bytes, size_t len);
void lab_send_text(struct lab_port *party, const char *text);
/* Whether this stands anywhere in what the party was sent. */
bool lab_got_text(const struct lab_port *party, const char *text);
/* One request up to the upstream that is to serve it: recorded, resolved, connected. */
struct lab_port *lab_ask(struct lab *lab, struct lab_port *client, const char *request);
void lab_finish(struct lab_port *party, enum lab_end end);
void lab_open_window(struct lab_port *party, size_t bytes);
bool lab_answer(struct lab *lab, size_t index, enum dns_result result); /* a lookup under way */
struct lab_port *lab_connect(struct lab *lab, size_t index);            /* a dial under way succeeds */
bool lab_refuse_connect(struct lab *lab, size_t index, int error);      /* or fails */
void lab_commit(struct lab *lab);                                       /* the writer */
void lab_gate(struct lab *lab, bool closed);
void lab_advance(struct lab *lab, uint64_t ms);
void lab_swap(struct lab *lab, const char *policy_yaml);
/* Runs what was put off to the end of the turn, until nothing is left. */
void lab_turn(struct lab *lab);

size_t lab_lookups_pending(const struct lab *lab);
size_t lab_dials_pending(const struct lab *lab);
const struct lab_attempt *lab_last(const struct lab *lab); /* the newest attempt record */
/* Gives a party back that the proxy has closed. */
void lab_release(struct lab_port *party);

#endif
