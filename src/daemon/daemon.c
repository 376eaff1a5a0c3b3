/* SPDX-License-Identifier: Apache-2.0 */
#include "reload.h"
#include "totals.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/log.h"
#include "cage.h"
#include "net/resolver.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_CONFIG 78
#define RING_MAX    (256u * 1024u * 1024u)

/* ---- start ---- */

static size_t ring_bytes(const struct daemon *daemon)
{
    /* Every tunnel may end at once while nothing can be written: each holds the room of its outcome. */
    uint64_t want = (daemon->place.descriptors / 2 + 1024) * DESK_RECORD_BYTES * 2;
    size_t bytes = 1u << 20;
    while (bytes < want && bytes < RING_MAX)
        bytes <<= 1;
    return bytes;
}

/* Without a signer nothing can be proven from here on: whoever watches the program starts it, and so the signer,
 * again. */
static void on_signer_lost(struct message *message, void *owner)
{
    (void)owner;
    struct daemon *daemon = (struct daemon *)(void *)((char *)message - offsetof(struct daemon, signer_lost));
    log_error("the signer has ended, so the program ends", "%s", "");
    daemon->exit_status = 1;
    while (daemon->state != DAEMON_CUTTING)
        daemon_stop(daemon);
}

static void post_signer_lost(void *arg)
{
    struct daemon *daemon = arg;
    daemon->signer_lost.fn = on_signer_lost;
    loop_post(daemon->loop, &daemon->signer_lost);
}

static void enter_writer(void)
{
    cage_enter(CAGE_WRITER);
}

/* The log, main's desk and one desk a worker. */
static int open_audit(struct daemon *daemon)
{
    char why[512] = "", origin[AUDIT_ORIGIN_MAX + 1];
    int status = witnesses_load(daemon);
    if (status != 0)
        return status;
    enum err err = audit_log_default_origin(daemon->place.audit_dir, origin);
    if (err != ERR_NONE) {
        log_error("the audit log has no readable name", "dir=%s why=%s", daemon->place.audit_dir, err_text(err));
        return 1;
    }
    const char *wanted = daemon->config->audit_origin;
    if (wanted != NULL && audit_log_name(daemon->place.audit_dir, wanted, origin) != ERR_NONE) {
        log_error("the audit log has another name", "dir=%s is=%s configured=%s", daemon->place.audit_dir, origin,
                  wanted);
        return 1;
    }
    err = signer_load(daemon->place.signer, origin, why, sizeof why);
    if (err != ERR_NONE) {
        log_error("the signer refuses to start", "dir=%s why=%s", daemon->place.signer_dir, why);
        return 1;
    }
    struct audit_log_options options = {
        .dir = daemon->place.audit_dir,
        .origin = origin,
        .signer = daemon->place.signer,
        .desk_ring_bytes = ring_bytes(daemon),
        .unsigned_max_ms = daemon->config->audit.unsigned_ms,
        .totals = totals_facts,
        .totals_arg = daemon->totals,
        .env_gate = identity_gate,
        .env_gate_arg = daemon->identity,
        .ship_max_lag_ms = daemon->config->audit.ship_max_lag_ms,
        .witnesses = daemon->witnesses,
        .on_signer_lost = post_signer_lost,
        .on_signer_lost_arg = daemon,
        .on_thread = enter_writer,
    };
    enum audit_start start = audit_log_open(&options, &daemon->log, why, sizeof why);
    if (start != AUDIT_START_OK) {
        log_error("the audit log refuses to start", "dir=%s why=%s", daemon->place.audit_dir, why);
        return (int)start;
    }
    records_say_read(daemon);
    return records_open(daemon, options.desk_ring_bytes) == ERR_NONE ? 0 : 1;
}

static int make_workers(struct daemon *daemon)
{
    daemon->workers = calloc(daemon->worker_count, sizeof *daemon->workers);
    if (daemon->workers == NULL)
        return 1;
    for (unsigned i = 0; i < daemon->worker_count; i++) {
        enum err err = worker_make(daemon, i, &daemon->workers[i]);
        if (err != ERR_NONE) {
            log_error("a worker could not be made", "number=%u why=%s", i, err_text(err));
            return 1;
        }
    }
    uint64_t reserved = 64 + daemon->worker_count * 64 + 200; /* files, loops, name servers, pipes */
    daemon->process = (struct tunnel_process){
        .descriptors_max = daemon->place.descriptors > reserved * 2 ? daemon->place.descriptors - reserved : reserved,
        .memory_max = daemon->place.memory,
        .credit_max = ring_bytes(daemon) * daemon->worker_count,
        .lookups_max = RESOLVER_PENDING_MAX,
        .share_percent = book_count(daemon->book) > 1 ? 50 : 100,
    };
    uint8_t id[TUNNEL_VIA_TEXT / 2];
    random_bytes(id, sizeof id);
    struct outbuf via = outbuf_make(daemon->process.via_id, sizeof daemon->process.via_id);
    outbuf_hex(&via, span_make(id, sizeof id));
    return 0;
}

void daemon_environments_into(struct json *j, const struct daemon *daemon)
{
    json_key(j, "environments");
    json_open(j, '[');
    for (size_t i = 0; i < book_count(daemon->book); i++) {
        json_open(j, '{');
        json_key_span(j, "name", policy_name(book_at(daemon->book, i)));
        json_key_text(j, "id", policy_id(book_at(daemon->book, i)));
        if (identity_is_denied(daemon->identity, policy_name(book_at(daemon->book, i))))
            json_key_bool(j, "denied", true);
        json_close(j, '}');
    }
    json_close(j, ']');
}

size_t daemon_environments_bytes(const struct daemon *daemon)
{
    size_t bytes = 64;
    for (size_t i = 0; i < book_count(daemon->book); i++)
        bytes += 80 + POLICY_ID_TEXT + 6 * policy_name(book_at(daemon->book, i)).len; /* \u00XX at worst */
    return bytes;
}

/* What was loaded before there was a log. */
static void record_start(struct daemon *daemon, bool new_log)
{
    const struct load load = {.cause = {.who = "start"}, .config = daemon->config_now, .book = daemon->book};
    if (new_log)
        records_add_log_key(daemon);
    load_record(daemon, &load, NULL);
}

static int start(struct daemon *daemon)
{
    char why[512] = "";
    struct audit_log_status log_before;
    struct load load = {.cause = {.who = "start"}};
    if (load_config(daemon, &load) != ERR_NONE) {
        load_clear(daemon, &load);
        return EXIT_CONFIG;
    }
    daemon->config = daemon->config_now = load.config;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    daemon->worker_count = daemon->config->workers != 0 ? daemon->config->workers : cores > 0 ? (unsigned)cores : 1;
    if (place_take(daemon->config, daemon->options->adopt, &daemon->place, why, sizeof why) != ERR_NONE) {
        log_error("cannot start", "why=%s", why);
        return EXIT_CONFIG;
    }
    cage_close_process();
    if (loop_new(&daemon->loop) != ERR_NONE || control_open(daemon) != ERR_NONE ||
        identity_new(&daemon->identity) != ERR_NONE || totals_new(&daemon->totals) != ERR_NONE)
        return 1;
    if (sessions_open(daemon) != ERR_NONE) /* no more than where they lie: a policy is held against that */
        return EXIT_CONFIG;
    /* Judged before anything is opened: a wrong file must not leave a trace but its message. */
    if (load_book(daemon, &load) != ERR_NONE) {
        load_clear(daemon, &load);
        return EXIT_CONFIG;
    }
    load_apply(daemon, &load);
    int status = open_audit(daemon);
    if (status == 0)
        status = make_workers(daemon);
    if (status != 0)
        return status;
    if (privacy_open(daemon) != ERR_NONE)
        return EXIT_CONFIG;
    if (entrances_open(daemon) != ERR_NONE || admin_open(daemon) != ERR_NONE ||
        entrances_check_inherited() != ERR_NONE || deny_restore(daemon) != ERR_NONE)
        return EXIT_CONFIG;
    if (cage_close(daemon) != ERR_NONE)
        return 1;
    audit_log_status(daemon->log, &log_before);
    if (audit_log_start(daemon->log) != ERR_NONE) {
        log_error("the audit log cannot be written", "dir=%s", daemon->place.audit_dir);
        return 1;
    }
    record_start(daemon, log_before.entries == 0);
    privacy_start(daemon);
    for (unsigned i = 0; i < daemon->worker_count; i++)
        if (worker_start(&daemon->workers[i], daemon->book) != ERR_NONE)
            return 1;
    sessions_restore(daemon);
    daemon->state = DAEMON_RUNNING;
    if (!daemon->options->fixed && autoload_open(daemon) != ERR_NONE)
        return 1;
    cage_enter(CAGE_MAIN);
    ready_say(daemon);
    supervisor_watch(daemon->loop);
    supervisor_say("READY=1");
    return 0;
}

/* ---- while it runs ---- */

static void say_reloading(void)
{
    char text[64];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(clock_mono_ns() / 1000));
    supervisor_say(text);
}

bool daemon_reload(struct daemon *daemon, const struct load_cause *cause)
{
    struct load load = {.cause = *cause};
    if (daemon->state != DAEMON_RUNNING || daemon->options->fixed) {
        log_warn(daemon->options->fixed ? "not reloaded: the policy was fixed at the start"
                                        : "not reloaded: the program is stopping",
                 "who=%s", cause->who);
        return false;
    }
    say_reloading();
    enum err err = load_config(daemon, &load);
    if (err == ERR_NONE)
        err = load_book(daemon, &load);
    if (err == ERR_NONE)
        load_apply(daemon, &load);
    else
        load_refuse(daemon, &load);
    autoload_arm(daemon, &load.files);
    load_clear(daemon, &load);
    privacy_look(daemon);
    supervisor_say("READY=1");
    return err == ERR_NONE;
}

void daemon_stop(struct daemon *daemon)
{
    switch (daemon->state) {
    case DAEMON_STARTING:
    case DAEMON_RUNNING:
        daemon->state = DAEMON_DRAINING;
        supervisor_say("STOPPING=1");
        log_info("draining", "deadline_s=%llu", (unsigned long long)(daemon->config->drain_ms / 1000));
        for (unsigned i = 0; i < daemon->worker_count; i++)
            worker_drain(&daemon->workers[i], clock_mono_ns() / 1000000 + daemon->config->drain_ms);
        break;
    case DAEMON_DRAINING:
        daemon->state = DAEMON_CUTTING;
        log_info("cutting what is open", "%s", "");
        for (unsigned i = 0; i < daemon->worker_count; i++)
            worker_cut(&daemon->workers[i]);
        break;
    case DAEMON_CUTTING:
        break;
    }
}

struct ended_message {
    struct message message;
    struct daemon *daemon;
};

static void on_worker_ended(struct message *message, void *owner)
{
    (void)owner;
    struct daemon *daemon = ((struct ended_message *)message)->daemon;
    free(message);
    if (++daemon->workers_ended == daemon->worker_count)
        loop_quit(daemon->loop);
}

void daemon_worker_ended(struct daemon *daemon)
{
    struct ended_message *message = calloc(1, sizeof *message);
    ASSERT(message != NULL);
    message->message.fn = on_worker_ended;
    message->daemon = daemon;
    loop_post(daemon->loop, &message->message);
}

/* ---- end ---- */

static int finish(struct daemon *daemon, int status)
{
    status = status == 0 ? daemon->exit_status : status;
    bool ran = daemon->state != DAEMON_STARTING;
    admin_close(daemon);
    autoload_close(daemon);
    unsigned workers = daemon->workers != NULL ? daemon->worker_count : 0;
    for (unsigned i = 0; status != 0 && i < workers; i++)
        if (daemon->workers[i].started)
            worker_drain(&daemon->workers[i], 0); /* a later one did not start */
    for (unsigned i = 0; i < workers; i++)
        worker_join(&daemon->workers[i]);
    if (daemon->loop != NULL)
        loop_deliver(daemon->loop);
    for (unsigned i = 0; i < workers; i++)
        worker_stop(&daemon->workers[i]);
    supervisor_unwatch();
    sessions_close(daemon);
    if (ran)
        entrances_remove(daemon);
    privacy_close(daemon);
    if (daemon->log != NULL && audit_log_stop(daemon->log) != ERR_NONE) {
        log_error("the audit log could not be closed durably", "dir=%s", daemon->place.audit_dir);
        status = 1;
    }
    /* Not before: the log's writer wakes the loops of those that wait for it. */
    for (unsigned i = 0; i < workers; i++)
        worker_free(&daemon->workers[i]);
    signer_close(daemon->place.signer);
    book_unref(daemon->book);
    identity_free(daemon->identity);
    totals_free(daemon->totals);
    control_close(daemon);
    loop_free(daemon->loop);
    free(daemon->workers);
    free(daemon->entrances);
    free(daemon->own);
    if (daemon->config_now != daemon->config)
        settings_free(daemon->config_now);
    settings_free(daemon->config);
    files_clear(&daemon->files);
    records_close(daemon);
    cosign_policy_free(daemon->witnesses);
    if (ran)
        log_info("ended", "status=%d", status);
    return status;
}

int daemon_run(const struct daemon_options *options)
{
    struct daemon *daemon = calloc(1, sizeof *daemon);
    if (daemon == NULL) {
        log_error("not started", "why=%s", "not enough memory");
        return 1;
    }
    daemon->options = options;
    int status = start(daemon);
    if (status == 0)
        loop_run(daemon->loop);
    else if (daemon->state == DAEMON_STARTING)
        log_error("not started", "status=%d", status);
    status = finish(daemon, status);
    free(daemon);
    return status;
}
