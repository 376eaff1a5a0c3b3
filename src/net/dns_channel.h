/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_channel: the one door to c-ares, a channel of it at a time.
 *
 * c-ares 1.18.1 does the sending, the repeating, the next server and TCP after a truncated answer. What it does not do
 * is done around it:
 *
 *  - It reads no file and no environment: every option that resolv.conf, RES_OPTIONS or LOCALDOMAIN could set is set
 *    here, and queries are whole messages of our own, so that no name is searched, aliased or looked up in a hosts file.
 *  - A datagram that does not echo id and question of a query under way byte for byte (random id, random case) is
 *    dropped before c-ares sees it: the query goes on.
 *  - c-ares must not be entered from its own callbacks, so `fn` may only note that the query is answered.
 */
#ifndef NET_DNS_CHANNEL_H
#define NET_DNS_CHANNEL_H

#include "net/resolver.h"

#include "dns_socket.h"

struct dns_channel;

struct dns_query {
    struct dns_query *next, **link; /* of the same channel */
    struct dns_channel *channel;    /* NULL: not under way */
    struct hostname name;
    enum dns_type type;
    enum dns_result refused_as;    /* what a server said that was not taken for an answer; DNS_OK: nothing */
    uint32_t sent;                 /* messages that left */
    struct resolver_server server; /* that the last of them went to, or that has answered */
    bool tcp;
    uint8_t rcode; /* DNS_RCODE_NONE: no answer came */
    uint16_t id;
    uint16_t len;
    uint8_t message[DNSMSG_QUERY_MAX];
    struct dns_addresses answer;
};

/* `query` has its answer and belongs to the channel no more. */
typedef void dns_noted_fn(void *arg, struct dns_query *query);

/* NULL: no memory. */
struct dns_channel *dns_channel_new(struct loop *loop, const struct resolver_server *servers, size_t count,
                                    dns_noted_fn *fn, void *arg);
/* Queries under way are noted with DNS_NO_SERVER. Not from `fn`. */
void dns_channel_free(struct dns_channel *channel);

/* Sends a query with name and type set. `fn` may be called inside this call. */
void dns_channel_send(struct dns_channel *channel, struct dns_query *query);

bool dns_channel_idle(const struct dns_channel *channel);        /* nothing under way */
unsigned dns_channel_asked(const struct dns_channel *channel);   /* queries so far */
uint64_t dns_channel_sent(const struct dns_channel *channel);    /* messages that left so far */
uint64_t dns_channel_born_ms(const struct dns_channel *channel); /* on the loop's clock */

#endif
