/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random events from one seed: connections, bytes in any split, answers, failures, commits, gates, time, policy swaps,
 * resets. The sentences are asserted by the tunnel room itself, by the fakes (lab.c) and here; a seed that fails replays
 * exactly:  build/dev/tests/lab/lab_random SEED EVENTS
 */
#include "lab.h"

#include "support/hello_build.h"

#include "base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CLIENTS 24

/* The rate is the machine's clock's, which hardly moves here: one policy with the usual one would refuse the others'. */
static const char *const policies[] = {
    "name: lab\nconfig: {type: self_hosted, networking: {type: limited, allowed_hosts: [a.test, b.test]}}\n"
    "egress: {limits: {attempts_per_second: 1000000, attempts_burst: 10000000}}\n",
    "name: lab\nconfig: {type: self_hosted, networking: {type: limited, allowed_hosts: [a.test]}}\n"
    "egress: {limits: {attempts_per_second: 1000000, attempts_burst: 10000000, idle: 5s}}\n",
    "name: lab\nconfig: {type: self_hosted, networking: {type: limited}}\n"
    "egress: {limits: {attempts_per_second: 1000000, attempts_burst: 10000000}}\n",
    "name: lab\nconfig: {type: self_hosted, networking: {type: unrestricted}}\n"
    "egress: {limits: {attempts_per_second: 1000000, attempts_burst: 10000000, tunnels: 8}}\n",
    "name: lab\nconfig: {type: self_hosted, networking: {type: limited}}\n"
    "egress: {limits: {attempts_per_second: 1000000, attempts_burst: 10000000}, hosts: [{host: a.test, addresses: "
    "[11.22.33.0/24]}, "
    "{host: b.test, addresses: [11.22.33.0/24]}]}\n",
    "name: lab\nconfig: {type: self_hosted, networking: {type: limited}}\n"
    "egress: {limits: {attempts_per_second: 1000000, attempts_burst: 10000000}, hosts: [{host: a.test, addresses: "
    "[11.22.34.0/24]}, "
    "{host: b.test, addresses: [11.22.34.0/24]}]}\n",
};
#define POLICIES (sizeof policies / sizeof policies[0])

/* The third byte of every address that a policy of the list lets anybody reach; 0: any. */
static const uint8_t pins[POLICIES] = {0, 0, 0, 0, 33, 34};
static size_t in_force;

/* Sentence 5: whatever is being dialled is something that the policy in force admits. */
static void check_dials(const struct lab *lab)
{
    for (size_t i = 0; i < sizeof lab->dials / sizeof lab->dials[0]; i++) {
        const struct lab_dial *dial = &lab->dials[i];
        for (size_t j = 0; dial->in_use && j < admitted_count(&dial->admitted); j++)
            ASSERT(pins[in_force] == 0 || admitted_at(&dial->admitted, j)->bytes[2] == pins[in_force]);
    }
}

/* Of all seeds: events that lead nowhere would prove nothing. */
static struct {
    uint64_t attempts, allowed, connects, up;
} totals;

static uint64_t seed_state;

/* xorshift64*: the same numbers everywhere. */
static uint64_t pick(uint64_t below)
{
    seed_state ^= seed_state >> 12;
    seed_state ^= seed_state << 25;
    seed_state ^= seed_state >> 27;
    return seed_state * UINT64_C(2685821657736338717) % below;
}

/* One client with what it will say. */
struct actor {
    struct lab_port *port;
    uint8_t script[6000];
    size_t len, said, head_len;
    bool plain; /* HTTP: what the upstream gets is made anew */
};

/* A few plain requests on one connection, with bodies of either framing; sometimes a byte is wrong. */
static void write_requests(struct actor *a, const char *host)
{
    a->plain = true;
    a->said = a->len = a->head_len = 0;
    for (size_t i = 1 + pick(4); i > 0; i--) {
        char *at = (char *)a->script + a->len;
        switch (pick(3)) {
        case 0:
            a->len +=
                (size_t)snprintf(at, 400, "GET http://%s/%u HTTP/1.1\r\nHost: %s\r\n\r\n", host, (unsigned)i, host);
            break;
        case 1:
            a->len += (size_t)snprintf(
                at, 400, "POST http://%s/ HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\n\r\nhello", host, host);
            break;
        default:
            a->len += (size_t)snprintf(at, 400,
                                       "PUT http://%s/ HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
                                       "3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n",
                                       host, host);
        }
    }
    if (pick(8) == 0)
        a->script[pick(a->len)] ^= (uint8_t)(1 + pick(255));
}

static void write_script(struct actor *a)
{
    static const char *const hosts[] = {"a.test", "b.test", "c.test", "A.Test.", "a..test", "10.0.0.1"};
    const char *host = hosts[pick(sizeof hosts / sizeof hosts[0])];
    if (pick(3) == 0) {
        write_requests(a, host);
        return;
    }
    a->plain = false;
    int n = snprintf((char *)a->script, 512, "CONNECT %s:443 HTTP/1.1\r\nHost: %s\r\n\r\n", host, host);
    a->head_len = a->len = (size_t)n;
    a->said = 0;
    static const char *const names[] = {"a.test", "b.test", "c.test", NULL};
    struct hello_build hello = {
        .sni = names[pick(4)], .ech = pick(8) == 0, .grease = pick(2), .record_bytes = pick(3) == 0 ? 1 + pick(90) : 0};
    if (pick(6) == 0)
        a->len += (size_t)snprintf((char *)a->script + a->len, 64, "SSH-2.0-nothing\r\n");
    else
        a->len += hello_build(&hello, a->script + a->len, 3000);
    size_t more = pick(2000);
    for (size_t i = 0; i < more; i++)
        a->script[a->len++] = (uint8_t)pick(256);
    if (pick(20) == 0)
        a->script[pick(a->len)] ^= (uint8_t)(1 + pick(255));
}

static void say_some(struct actor *a)
{
    size_t left = a->len - a->said;
    size_t n = pick(4) == 0 ? left : 1 + pick(200);
    n = n < left ? n : left;
    if (n == 0 || a->port->end != LAB_OPEN)
        return;
    a->said += n;
    lab_send(a->port, a->script + a->said - n, n);
}

static void client_event(struct lab *lab, struct actor *a)
{
    if (a->port == NULL) {
        write_script(a);
        size_t n = pick(2) == 0 ? 0 : 1 + pick(400);
        n = n < a->len ? n : a->len;
        a->port = lab_client_says(lab, a->script, n);
        a->said = a->port != NULL ? n : 0;
        return;
    }
    if (a->port->proxy_closed) {
        lab_release(a->port);
        a->port = NULL;
        return;
    }
    switch (pick(12)) {
    case 0:
        if (a->port->end == LAB_OPEN)
            lab_finish(a->port, LAB_EOF);
        break;
    case 1:
        if (pick(3) == 0)
            lab_finish(a->port, LAB_RESET);
        break;
    case 2:
        lab_open_window(a->port, pick(3000));
        break;
    default:
        say_some(a);
    }
}

static bool is_upstream(const struct lab *lab, const struct lab_port *p, const struct actor *actors)
{
    (void)lab;
    for (size_t i = 0; i < CLIENTS; i++)
        if (actors[i].port == p)
            return false;
    return p->in_use;
}

/* Sentence 2: what an upstream got is a piece of what one client said behind its head. */
static void check_upstream(const struct lab_port *up, const struct actor *actors)
{
    if (up->got_len == 0)
        return;
    for (size_t i = 0; i < CLIENTS; i++) {
        const struct actor *a = &actors[i];
        if (a->plain && memmem(up->got, up->got_len, "HTTP/1.1\r\nHost: ", 16) != NULL)
            return;
        size_t after = a->len - a->head_len;
        if (up->got_len <= after && memcmp(a->script + a->head_len, up->got, up->got_len) == 0)
            return;
    }
    ASSERT(up->proxy_closed); /* its client may be gone already; a live one must be there */
}

/* What a server might say: bytes of a tunnel, or pieces of answers to plain requests. */
static void say_something(struct lab_port *p)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    };
    uint8_t bytes[700];
    memset(bytes, 'u', sizeof bytes);
    if (pick(2) == 0)
        lab_send(p, bytes, 1 + pick(sizeof bytes - 1));
    else
        lab_send_text(p, answers[pick(sizeof answers / sizeof answers[0])]);
}

static void upstream_event(struct lab *lab, const struct actor *actors)
{
    struct lab_port *p = &lab->ports[pick(sizeof lab->ports / sizeof lab->ports[0])];
    if (!is_upstream(lab, p, actors))
        return;
    check_upstream(p, actors);
    if (p->proxy_closed) {
        lab_release(p);
        return;
    }
    switch (pick(8)) {
    case 0:
        if (p->end == LAB_OPEN)
            lab_finish(p, LAB_EOF);
        break;
    case 1:
        if (pick(4) == 0)
            lab_finish(p, LAB_RESET);
        break;
    case 2:
        lab_open_window(p, pick(5000));
        break;
    default:
        if (p->end == LAB_OPEN && p->sent_len < 60000) {
            say_something(p);
        }
    }
}

static void world_event(struct lab *lab)
{
    static const enum dns_result results[] = {DNS_OK, DNS_OK, DNS_OK, DNS_NXDOMAIN, DNS_TIMEOUT};
    switch (pick(16)) {
    case 0:
        lab_gate(lab, pick(6) == 0);
        break;
    case 1:
        in_force = pick(POLICIES);
        lab_swap(lab, policies[in_force]);
        break;
    case 2:
        lab_advance(lab, pick(20) == 0 ? pick(8000) : pick(50));
        break;
    case 3:
        lab->unknown_client = pick(20) == 0;
        lab->dns_at_once = pick(3) == 0;
        lab->dns_addr_count = pick(12) == 0 ? 2 : 1; /* the second one is forbidden */
        lab->dns_addr[0].bytes[2] = pick(2) ? 33 : 34;
        break;
    case 4:
    case 5:
    case 6:
        lab_answer(lab, pick(3), results[pick(5)]);
        break;
    case 7:
    case 8:
    case 9:
        if (pick(5) == 0)
            lab_refuse_connect(lab, pick(3), pick(2) ? ECONNREFUSED : ETIMEDOUT);
        else
            lab_connect(lab, pick(3));
        break;
    default:
        lab_commit(lab);
    }
    if (lab->attempt_count > 4000) {
        /* Keep those that are open; the ended ones have been checked when their outcome came. */
        size_t kept = 0;
        for (size_t i = 0; i < lab->attempt_count; i++)
            if (lab->attempts[i].allowed && (!lab->attempts[i].outcome || lab->questions_recorded < lab->questions))
                lab->attempts[kept++] = lab->attempts[i];
        lab->attempt_count = kept;
    }
}

static void run_seed(uint64_t seed, uint64_t events)
{
    static struct actor actors[CLIENTS];
    memset(actors, 0, sizeof actors);
    seed_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    in_force = 0;
    struct lab *lab = lab_new_traffic(policies[0], 2000, 4096);
    lab->dns_addr[1] = (struct ipaddr){
        .family = 4, .bytes = {127, 0, 0, 1}
    };
    for (uint64_t i = 0; i < events; i++) {
        switch (pick(3)) {
        case 0:
            world_event(lab);
            break;
        case 1:
            upstream_event(lab, actors);
            break;
        default:
            client_event(lab, &actors[pick(CLIENTS)]);
        }
        check_dials(lab);
    }
    const struct tunnel_counters *counters = tunnels_counters(lab->tunnels);
    totals.attempts += atomic_load(&counters->attempts);
    totals.allowed += atomic_load(&counters->allowed);
    totals.connects += lab->connects;
    totals.up += atomic_load(&counters->bytes_up);
    lab_free(lab);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
    uint64_t seeds = argc > 1 ? 1 : 20;
    clock_t begin = clock();
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        run_seed(seed, events);
    }
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    printf("%llu events, %.0f a second of processor time\n", (unsigned long long)(seeds * events),
           (double)(seeds * events) / (seconds > 0 ? seconds : 1));
    printf("%llu attempts, %llu allowed, %llu dials, %llu bytes up\n", (unsigned long long)totals.attempts,
           (unsigned long long)totals.allowed, (unsigned long long)totals.connects, (unsigned long long)totals.up);
    ASSERT(argc > 1 || (totals.allowed > 2000 && totals.connects > 1000 && totals.up > 100000));
    printf("%llu passed, 0 failed\n", (unsigned long long)seeds);
    return 0;
}
