/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "base/assert.h"
#include "cage.h"
#include "totals.h"

#include <stdlib.h>
#include <unistd.h>

#define ACCEPT_BATCH 64u
#define PIPES_MAX    90u /* of 512 KiB: below the 64 MiB of pipe memory that an unprivileged user has */

struct worker_message {
    struct message message;
    struct worker *worker;
    struct book *book;
    uint64_t deadline_ms;
};

static void wake_worker(void *arg)
{
    struct worker *worker = arg;
    loop_wake(worker->loop);
}

static void on_wake(void *arg)
{
    struct worker *worker = arg;
    tunnels_on_durable(worker->tunnels);
}

void worker_on_accept(void *arg, const struct accepted *accepted)
{
    struct doorway *doorway = arg;
    struct worker *worker = doorway->worker;
    struct tunnel_client client = {
        .peer = accepted->peer,
        .peer_port = accepted->peer_port,
        .has_uid = accepted->has_uid,
        .uid = accepted->uid,
        .pid = accepted->pid,
    };
    struct port *port = NULL;
    if (port_raw_accepted(worker->loop, accepted->fd, &port) != ERR_NONE) {
        close(accepted->fd);
        return;
    }
    if (accepted->peer.family != 0)
        port_raw_is_tcp(port);
    uint32_t rest_ms = tunnels_accept(worker->tunnels, doorway->listener, &client, port);
    if (rest_ms > 0)
        listener_rest(doorway->accepting, rest_ms);
}

static enum err make_doorways(struct worker *worker)
{
    size_t count = worker->daemon->config->listener_count;
    worker->doorways = calloc(count, sizeof *worker->doorways);
    if (worker->doorways == NULL)
        return ERR_NO_MEMORY;
    worker->doorway_count = count;
    for (size_t i = 0; i < count; i++)
        worker->doorways[i] = (struct doorway){.worker = worker, .fd = -1};
    return ERR_NONE;
}

static enum err make_resolver(struct worker *worker, const struct config *config)
{
    struct resolver_server servers[DAEMON_DNS_MAX];
    struct resolver_options options = {.servers = servers};
    for (; options.server_count < config->dns_count && options.server_count < DAEMON_DNS_MAX; options.server_count++)
        servers[options.server_count] = (struct resolver_server){
            .addr = config->dns[options.server_count].addr,
            .port = config->dns[options.server_count].port,
        };
    return resolver_new(worker->loop, &options, &worker->resolver);
}

enum err worker_make(struct daemon *daemon, unsigned number, struct worker *out)
{
    *out = (struct worker){.daemon = daemon, .number = number};
    enum err err = make_doorways(out);
    if (err == ERR_NONE)
        err = loop_new(&out->loop);
    if (err == ERR_NONE)
        err = make_resolver(out, daemon->config);
    struct relay_pool_options pool = {.pipes_max = PIPES_MAX / daemon->worker_count + 1};
    if (err == ERR_NONE)
        err = relay_pool_new(&pool, &out->pool);
    if (err == ERR_NONE)
        err = audit_log_desk(daemon->log, wake_worker, out, &out->desk);
    return err;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    cage_enter(CAGE_WORKER);
    loop_run(worker->loop);
    daemon_worker_ended(worker->daemon);
    return NULL;
}

static enum err open_doorways(struct worker *worker)
{
    for (size_t i = 0; i < worker->doorway_count; i++) {
        struct doorway *doorway = &worker->doorways[i];
        if (doorway->fd < 0)
            continue;
        doorway->listener = &worker->daemon->entrances[i].listener;
        enum err err =
            listener_start(worker->loop, doorway->fd, ACCEPT_BATCH, worker_on_accept, doorway, &doorway->accepting);
        if (err != ERR_NONE)
            return err;
        doorway->fd = -1; /* the listener's now */
    }
    return ERR_NONE;
}

enum err worker_start(struct worker *worker, struct book *book)
{
    struct daemon *daemon = worker->daemon;
    worker->net = (struct tunnel_net){.loop = worker->loop, .resolver = worker->resolver};
    struct tunnels_options options = {
        .services = tunnel_services_net(&worker->net),
        .hooks = identity_hooks(daemon->identity),
        .process = &daemon->process,
        .desk = worker->desk,
        .traffic_ms = daemon->config->audit.traffic_ms,
        .traffic_bytes = daemon->config->audit.traffic_bytes,
        .pool = worker->pool,
        .book = book,
        .own = daemon->own,
        .own_count = daemon->own_count,
    };
    enum err err = tunnels_new(&options, &worker->tunnels);
    if (err == ERR_NONE)
        err = totals_add(daemon->totals, tunnels_counters(worker->tunnels));
    if (err != ERR_NONE)
        return err;
    loop_on_wake(worker->loop, on_wake, worker);
    err = open_doorways(worker);
    if (err != ERR_NONE)
        return err;
    if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
        return ERR_IO;
    worker->started = true;
    return ERR_NONE;
}

static struct worker_message *message_new(struct worker *worker, message_fn *fn)
{
    struct worker_message *message = calloc(1, sizeof *message);
    ASSERT(message != NULL); /* main cannot do its work without: better a loud end than a policy that is not applied */
    message->message.fn = fn;
    message->worker = worker;
    return message;
}

static void on_swap(struct message *message, void *owner)
{
    (void)owner;
    struct worker_message *m = (struct worker_message *)message;
    tunnels_swap(m->worker->tunnels, m->book);
    book_unref(m->book);
    free(m);
}

void worker_swap(struct worker *worker, struct book *book)
{
    struct worker_message *message = message_new(worker, on_swap);
    message->book = book_ref(book);
    loop_post(worker->loop, &message->message);
}

static void on_empty(void *arg)
{
    struct worker *worker = arg;
    loop_quit(worker->loop);
}

static void on_drain(struct message *message, void *owner)
{
    (void)owner;
    struct worker_message *m = (struct worker_message *)message;
    struct worker *worker = m->worker;
    for (size_t i = 0; i < worker->doorway_count; i++) {
        listener_stop(worker->doorways[i].accepting);
        worker->doorways[i].accepting = NULL;
    }
    sessions_worker_stop(worker);
    tunnels_drain(worker->tunnels, m->deadline_ms, on_empty, worker);
    free(m);
}

void worker_drain(struct worker *worker, uint64_t deadline_ms)
{
    struct worker_message *message = message_new(worker, on_drain);
    message->deadline_ms = deadline_ms;
    loop_post(worker->loop, &message->message);
}

static void on_cut(struct message *message, void *owner)
{
    (void)owner;
    struct worker_message *m = (struct worker_message *)message;
    tunnels_cut(m->worker->tunnels, REASON_DRAINED);
    free(m);
}

void worker_cut(struct worker *worker)
{
    loop_post(worker->loop, &message_new(worker, on_cut)->message);
}

void worker_join(struct worker *worker)
{
    if (!worker->started)
        return;
    pthread_join(worker->thread, NULL);
    worker->started = false;
    loop_deliver(worker->loop);
}

void worker_stop(struct worker *worker)
{
    for (size_t i = 0; i < worker->doorway_count; i++) {
        listener_stop(worker->doorways[i].accepting);
        if (worker->doorways[i].fd >= 0)
            close(worker->doorways[i].fd);
    }
    sessions_worker_stop(worker);
    free(worker->doorways);
    resolver_free(worker->resolver); /* what is still asked has its record */
    if (worker->tunnels != NULL)
        totals_keep(worker->daemon->totals, tunnels_counters(worker->tunnels));
    tunnels_free(worker->tunnels);
    relay_pool_free(worker->pool);
}

void worker_free(struct worker *worker)
{
    loop_free(worker->loop);
}
