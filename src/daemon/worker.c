/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "base/assert.h"

#include <stdlib.h>
#include <unistd.h>

#define ACCEPT_BATCH 64u
#define PIPES_MAX 90u /* of 512 KiB: below the 64 MiB of pipe memory that an unprivileged user has */

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

struct entrance {
    struct worker *worker;
    const struct tunnel_listener *listener;
};

static void on_accept(void *arg, const struct accepted *accepted)
{
    struct entrance *entrance = arg;
    struct worker *worker = entrance->worker;
    struct tunnel_client client = {
        .peer = accepted->peer,
        .peer_port = accepted->peer_port,
        .has_uid = accepted->has_uid,
        .uid = accepted->uid,
        .pid = accepted->pid,
    };
    struct port *port = NULL;
    if (port_raw_new(worker->loop, accepted->fd, true, true, NULL, NULL, &port) != ERR_NONE) {
        close(accepted->fd);
        return;
    }
    if (accepted->peer.family != 0)
        port_raw_is_tcp(port);
    tunnels_accept(worker->tunnels, entrance->listener, &client, port);
}

enum err worker_make(struct daemon *daemon, unsigned number, struct worker *out)
{
    const struct daemon_options *options = daemon->options;
    *out = (struct worker){.daemon = daemon, .number = number};
    for (size_t i = 0; i < DAEMON_LISTEN_MAX; i++)
        out->listen_fds[i] = -1;
    enum err err = loop_new(&out->loop);
    struct resolver_options resolver = {.servers = options->dns, .server_count = options->dns_count};
    if (err == ERR_NONE)
        err = resolver_new(out->loop, &resolver, &out->resolver);
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
    loop_run(worker->loop);
    daemon_worker_ended(worker->daemon);
    return NULL;
}

static enum err open_entrances(struct worker *worker)
{
    struct daemon *daemon = worker->daemon;
    for (size_t i = 0; i < daemon->listener_count; i++) {
        if (worker->listen_fds[i] < 0)
            continue;
        struct entrance *entrance = malloc(sizeof *entrance);
        if (entrance == NULL)
            return ERR_NO_MEMORY;
        *entrance = (struct entrance){.worker = worker, .listener = &daemon->listeners[i]};
        worker->entrances[i] = entrance;
        enum err err = listener_start(worker->loop, worker->listen_fds[i], ACCEPT_BATCH, on_accept, entrance,
                                      &worker->listeners[i]);
        if (err != ERR_NONE)
            return err;
        worker->listen_fds[i] = -1; /* the listener's now */
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
        .pool = worker->pool,
        .book = book,
        .own = daemon->own,
        .own_count = daemon->own_count,
    };
    enum err err = tunnels_new(&options, &worker->tunnels);
    if (err != ERR_NONE)
        return err;
    loop_on_wake(worker->loop, on_wake, worker);
    err = open_entrances(worker);
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
    for (size_t i = 0; i < DAEMON_LISTEN_MAX; i++) {
        listener_stop(worker->listeners[i]);
        worker->listeners[i] = NULL;
    }
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
}

void worker_free(struct worker *worker)
{
    for (size_t i = 0; i < DAEMON_LISTEN_MAX; i++) {
        listener_stop(worker->listeners[i]);
        free(worker->entrances[i]);
        if (worker->listen_fds[i] >= 0)
            close(worker->listen_fds[i]);
    }
    tunnels_free(worker->tunnels);
    resolver_free(worker->resolver);
    relay_pool_free(worker->pool);
    loop_free(worker->loop);
}
