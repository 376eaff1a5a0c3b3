/* SPDX-License-Identifier: Apache-2.0 */
#include "dns_asker.h"

#include <stdlib.h>

/* More are never needed: a channel lives as long as its queries, and those are few seconds. */
#define CHANNELS_MAX 256U

struct dns_asker {
    struct loop *loop;
    dns_answered_fn *fn;
    void *arg;
    struct dns_query *answered, **answered_end;
    struct run_item deliver;
    uint64_t sent_by_gone; /* by channels that have ended */
    size_t server_count;
    struct resolver_server servers[DNS_SERVERS_MAX];
    size_t count; /* of channels; the last one takes queries, the others drain */
    struct dns_channel *channels[CHANNELS_MAX];
};

static void note_answered(void *arg, struct dns_query *query)
{
    struct dns_asker *asker = arg;

    query->next = NULL;
    *asker->answered_end = query;
    asker->answered_end = &query->next;
    loop_run_later(asker->loop, &asker->deliver);
}

static struct dns_channel *newest(const struct dns_asker *asker)
{
    return asker->count == 0 ? NULL : asker->channels[asker->count - 1];
}

/* Where the next query goes; NULL: no memory. */
static struct dns_channel *channel_for_query(struct dns_asker *asker)
{
    struct dns_channel *channel = newest(asker);

    if (channel != NULL && dns_channel_asked(channel) < CHANNEL_QUERIES &&
        loop_now_ms(asker->loop) - dns_channel_born_ms(channel) < CHANNEL_MS) {
        return channel;
    }
    if (asker->count == CHANNELS_MAX) {
        return NULL;
    }
    channel = dns_channel_new(asker->loop, asker->servers, asker->server_count, note_answered, asker);
    if (channel != NULL) {
        asker->channels[asker->count++] = channel;
    }
    return channel;
}

static void channel_end(struct dns_asker *asker, struct dns_channel *channel)
{
    asker->sent_by_gone += dns_channel_sent(channel);
    dns_channel_free(channel);
}

/* Ends the old ones that have nothing to wait for. */
static void channels_reap(struct dns_asker *asker)
{
    size_t kept = 0;

    for (size_t i = 0; i < asker->count; i++) {
        struct dns_channel *channel = asker->channels[i];

        if (channel != newest(asker) && dns_channel_idle(channel)) {
            channel_end(asker, channel);
        } else {
            asker->channels[kept++] = channel;
        }
    }
    asker->count = kept;
}

static void deliver(struct run_item *item)
{
    struct dns_asker *asker = (struct dns_asker *)(void *)((char *)item - offsetof(struct dns_asker, deliver));

    while (asker->answered != NULL) {
        struct dns_query *query = asker->answered;

        asker->answered = query->next;
        if (asker->answered == NULL) {
            asker->answered_end = &asker->answered;
        }
        query->next = NULL;
        asker->fn(asker->arg, query);
    }
    channels_reap(asker);
}

void dns_ask(struct dns_asker *asker, struct dns_query *query)
{
    struct dns_channel *channel = channel_for_query(asker);

    if (channel == NULL) {
        query->answer = (struct dns_addresses){.result = DNS_NO_SERVER};
        note_answered(asker, query);
        return;
    }
    dns_channel_send(channel, query);
}

enum err dns_asker_new(struct loop *loop, const struct resolver_server *servers, size_t count, dns_answered_fn *fn,
                       void *arg, struct dns_asker **out)
{
    if (count == 0 || count > DNS_SERVERS_MAX) {
        return ERR_INVALID;
    }
    struct dns_asker *asker = calloc(1, sizeof(*asker));

    if (asker == NULL) {
        return ERR_NO_MEMORY;
    }
    asker->loop = loop;
    asker->fn = fn;
    asker->arg = arg;
    asker->answered_end = &asker->answered;
    asker->server_count = count;
    memcpy(asker->servers, servers, count * sizeof(*servers));
    run_item_init(&asker->deliver, deliver);
    *out = asker;
    return ERR_NONE;
}

void dns_asker_free(struct dns_asker *asker)
{
    if (asker == NULL) {
        return;
    }
    for (size_t i = 0; i < asker->count; i++) {
        channel_end(asker, asker->channels[i]);
    }
    asker->count = 0;
    run_item_cancel(&asker->deliver);
    deliver(&asker->deliver);
    free(asker);
}

uint64_t dns_asker_sent(const struct dns_asker *asker)
{
    uint64_t sent = asker->sent_by_gone;

    for (size_t i = 0; i < asker->count; i++) {
        sent += dns_channel_sent(asker->channels[i]);
    }
    return sent;
}

size_t dns_asker_channels(const struct dns_asker *asker)
{
    return asker->count;
}
