/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_asker: gives each query a channel, and each answer back from the run queue, outside of c-ares.
 *
 * All queries of a channel leave from one port, so there is a new channel every CHANNEL_QUERIES queries or CHANNEL_MS;
 * the old one lives on until its last query has ended.
 */
#ifndef NET_DNS_ASKER_H
#define NET_DNS_ASKER_H

#include "dns_channel.h"

#define CHANNEL_QUERIES 128
#define CHANNEL_MS      1000

struct dns_asker;
typedef void dns_answered_fn(void *arg, struct dns_query *query);

/* 1 to DNS_SERVERS_MAX servers. `fn` is called once for each query. ERR_INVALID, ERR_NO_MEMORY. */
MUST_CHECK enum err dns_asker_new(struct loop *loop, const struct resolver_server *servers, size_t count,
                                  dns_answered_fn *fn, void *arg, struct dns_asker **out);
/* Queries under way are answered with DNS_NO_SERVER, inside this call. NULL is allowed. */
void dns_asker_free(struct dns_asker *asker);

/* `query` is zeroed but for name and type, and stays where it is until it is answered, never inside this call. */
void dns_ask(struct dns_asker *asker, struct dns_query *query);

/* Messages that left since the start. */
uint64_t dns_asker_sent(const struct dns_asker *asker);
/* Channels that exist, for tests. */
size_t dns_asker_channels(const struct dns_asker *asker);

#endif
