/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver: A and AAAA of one absolute name, over c-ares: DNS only, no hosts file, no search list, no environment.
 * Raw answers are cached by name and type for their TTL within bounds; verdicts never are. Channels are rotated, query
 * ids and 0x20 case are random, and a UDP reply that does not echo the question byte for byte is ignored while the
 * query goes on. One resolver a worker.
 */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include "net/loop.h"
#include "wire/dnsmsg.h"
#include "wire/hostname.h"

#define ANSWERS_MAX 16

/* What an attempt may judge: both families as far as they had arrived. */
struct answers {
    enum dns_result result; /* DNS_OK if there is an address */
    uint8_t count;
    struct ipaddr addresses[ANSWERS_MAX];
    bool joined;           /* another lookup's questions, which were under way, were waited for */
    uint32_t queries_sent; /* that left for this lookup; 0: all from the cache, or by the queries of another lookup */
};

struct resolver;
struct lookup;

struct resolver_server {
    struct ipaddr addr;
    uint16_t port;
};

#define DNS_RCODE_NONE 0xffU /* nothing that answers the question has come */

/* One question that was sent for a lookup, once nothing more will come of it. */
struct lookup_question {
    const struct hostname *name;
    enum dns_type type;
    const struct dns_addresses *answer;
    uint32_t sent; /* messages that left: never 0 */
    uint32_t took_ms;
    struct resolver_server server; /* that answered, or that was asked last */
    bool tcp;
    uint8_t rcode; /* of the last answer, or DNS_RCODE_NONE */
};

/* Who looks up. */
struct lookup_calls {
    void (*answered)(void *arg, const struct answers *answers);
    /*
     * Both or neither. begins() is called inside resolver_lookup() before `count` questions leave for this lookup, and
     * only then: what it gives goes with them, even when the lookup does not wait for them any more. NULL: nothing
     * leaves. ended() is called once for each of them, with NULL for one of which nothing left.
     */
    void *(*begins)(void *arg, unsigned count);
    void (*ended)(void *note, const struct lookup_question *question);
};

#define RESOLVER_PENDING_MAX 4096u /* where no other number is given */

struct resolver_options {
    const struct resolver_server *servers; /* count 0: name servers of /etc/resolv.conf, nothing else of it */
    size_t server_count;                   /* at most 8, or ERR_INVALID */
    uint32_t cache_entries;                /* 0: 4096 */
    uint32_t ttl_max_s;                    /* 0: 300 */
    uint32_t negative_ttl_s;               /* longest for NXDOMAIN and NODATA; 0: 30; failures are never cached */
    uint32_t pending_max;                  /* lookups under way; 0: RESOLVER_PENDING_MAX */
    uint32_t second_family_ms;             /* how long the second family is awaited after the first; 0: 50 */
};

/* ERR_INVALID: too many servers; ERR_NO_MEMORY. `options` is copied, with the servers. */
MUST_CHECK enum err resolver_new(struct loop *loop, const struct resolver_options *options, struct resolver **out);
void resolver_free(struct resolver *resolver); /* NULL is allowed; no lookup may be under way */

/*
 * ERR_NONE: *out is filled at once, from the cache. ERR_AGAIN: *out_lookup is under way and answered() will be called
 * once, never from inside this call. ERR_TOO_BIG: pending_max reached. ERR_CLOSED: no server can be asked. ERR_BUSY:
 * begins() gave NULL. ERR_NO_MEMORY.
 *
 * The whole answer is given when both families are there, or second_family_ms after the first, or at timeout_ms
 * (DNS_TIMEOUT if nothing came). The first family is the first that has an address: one that has none lets the other
 * one take its time. What comes later goes to the cache only. Equal names under way share their queries.
 */
MUST_CHECK enum err resolver_lookup(struct resolver *resolver, const struct hostname *name, uint32_t timeout_ms,
                                    const struct lookup_calls *calls, void *arg, struct answers *out,
                                    struct lookup **out_lookup);
/* answered() will not be called. Gives the queries that left for it. */
uint32_t resolver_cancel(struct lookup *lookup);

/* Queries that left since the start. */
uint64_t resolver_sent(const struct resolver *resolver);

/* Version of the DNS library. */
const char *resolver_library_version(void);

#endif
