/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket: HTTP on a Unix socket that only this program's own account (and root) can reach. libevent's evhttp
 * serves it, since its peers are trusted; it is never on the data path.
 *
 *   GET  /healthz   the process answers
 *   GET  /readyz    policy in force, audit log writable
 *   GET  /status    what it is doing, as JSON
 *   POST /reload    loads the policy now; the body is the reason, one line
 *   /sessions       see session_admin.c
 */
#include "internal.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "cage.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROTATE_MS  4000
#define STATUS_MAX 32768

struct admin {
    struct evhttp *http;
    bool bound;
};

/* The directory keeps others out; this is the second lock. */
static bool peer_is_trusted(struct evhttp_request *request, uid_t *out_uid)
{
    struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(request));
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(bufferevent_getfd(bev), SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    *out_uid = peer.uid;
    return peer.uid == 0 || peer.uid == geteuid();
}

static void answer(struct evhttp_request *request, int status, const char *reason, const char *type, const char *text,
                   size_t len)
{
    struct evbuffer *body = evbuffer_new();
    if (body == NULL || evbuffer_add(body, text, len) != 0) {
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
    } else {
        evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
        evhttp_send_reply(request, status, reason, body);
    }
    if (body != NULL)
        evbuffer_free(body);
}

static void answer_text(struct evhttp_request *request, int status, const char *reason, const char *text)
{
    answer(request, status, reason, "text/plain", text, strlen(text));
}

/* How often each limit was reached. */
static void limits_into(struct json *j, const struct daemon *daemon)
{
    size_t count;
    const struct limit_row *rows = limits_rows(&count);
    json_key(j, "limits_reached");
    json_open(j, '{');
    for (size_t row = 0; row < count; row++) {
        uint64_t total = 0;
        for (unsigned i = 0; i < daemon->worker_count; i++)
            total +=
                atomic_load_explicit(&tunnels_counters(daemon->workers[i].tunnels)->limits[row], memory_order_relaxed);
        json_key_u64(j, rows[row].key, total);
    }
    json_close(j, '}');
}

/* Whether the kernel shares the load out evenly. */
static void workers_into(struct json *j, const struct daemon *daemon)
{
    json_key(j, "by_worker");
    json_open(j, '[');
    for (unsigned i = 0; i < daemon->worker_count; i++) {
        const struct tunnel_counters *c = tunnels_counters(daemon->workers[i].tunnels);
        json_open(j, '{');
        json_key_u64(j, "accepted", atomic_load_explicit(&c->accepted, memory_order_relaxed));
        json_key_u64(j, "attempts", atomic_load_explicit(&c->attempts, memory_order_relaxed));
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void counters_into(struct json *j, const struct daemon *daemon)
{
    struct totals {
#define X(name, sentence) uint64_t name;
        TUNNEL_COUNTER_TABLE(X)
#undef X
    } totals = {0};
    for (unsigned i = 0; i < daemon->worker_count; i++) {
        const struct tunnel_counters *c = tunnels_counters(daemon->workers[i].tunnels);
#define X(name, sentence) totals.name += atomic_load_explicit(&c->name, memory_order_relaxed);
        TUNNEL_COUNTER_TABLE(X)
#undef X
    }
    limits_into(j, daemon);
    json_key(j, "counters");
    json_open(j, '{');
#define X(name, sentence) json_key_u64(j, #name, totals.name);
    TUNNEL_COUNTER_TABLE(X)
#undef X
    json_close(j, '}');
}

static const char *state_text(enum daemon_state state)
{
    switch (state) {
    case DAEMON_STARTING:
        return "starting";
    case DAEMON_RUNNING:
        return "running";
    case DAEMON_DRAINING:
    case DAEMON_CUTTING:
        return "draining";
    }
    return "unknown";
}

/* Since when a signed head waits for its witnesses. */
static uint64_t lag_ms(int64_t since_ms)
{
    int64_t now_ms = clock_wall_ns() / 1000000;
    return since_ms == 0 || now_ms <= since_ms ? 0 : (uint64_t)(now_ms - since_ms);
}

static void status_into(struct outbuf *out, const struct daemon *daemon)
{
    struct audit_log_status audit;
    audit_log_status(daemon->log, &audit);
    struct json j = json_make(out);
    json_open(&j, '{');
    json_key_text(&j, "state", state_text(daemon->state));
    json_key_text(&j, "version", SALLYPORT_VERSION);
    json_key_u64(&j, "pid", (uint64_t)getpid());
    json_key_u64(&j, "workers", daemon->worker_count);
    workers_into(&j, daemon);
    json_key(&j, "policy");
    json_open(&j, '{');
    json_key_span(&j, "environment", policy_name(book_at(daemon->book, 0)));
    json_key_text(&j, "id", policy_id(book_at(daemon->book, 0)));
    json_key_u64(&j, "generation", book_generation(daemon->book));
    json_close(&j, '}');
    daemon_environments_into(&j, daemon);
    json_key(&j, "audit");
    json_open(&j, '{');
    json_key_text(&j, "dir", daemon->place.audit_dir);
    json_key_text(&j, "origin", audit_log_origin(daemon->log));
    json_key_u64(&j, "entries", audit.entries);
    json_key_u64(&j, "signed", audit.signed_size);
    json_key_u64(&j, "published", audit.published_size);
    json_key_u64(&j, "publish_lag_ms", lag_ms(audit.withheld_since_ms));
    json_key_u64(&j, "refused_at_gate", audit.refused);
    json_key_u64(&j, "disk_percent", audit.disk_percent);
    json_key_bool(&j, "gate_closed", audit.gate_closed);
    json_key_text(&j, "gate_why", audit.gate_why);
    json_close(&j, '}');
    json_key_u64(&j, "descriptors", budget_used(&daemon->process.descriptors));
    json_key_u64(&j, "descriptors_max", daemon->process.descriptors_max);
    json_key_u64(&j, "memory", budget_used(&daemon->process.memory));
    json_key_u64(&j, "memory_max", daemon->process.memory_max);
    cage_status_into(&j);
    counters_into(&j, daemon);
    json_close(&j, '}');
    outbuf_char(out, '\n');
}

static void get_status(struct evhttp_request *request, const struct daemon *daemon)
{
    size_t cap = STATUS_MAX + daemon_environments_bytes(daemon);
    char *text = malloc(cap);
    if (text == NULL) {
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
        return;
    }
    struct outbuf out = outbuf_make(text, cap);
    status_into(&out, daemon);
    answer(request, out.overflow ? HTTP_INTERNAL : HTTP_OK, "OK", "application/json", text, out.len);
    free(text);
}

static void get_ready(struct evhttp_request *request, const struct daemon *daemon)
{
    struct audit_log_status audit;
    audit_log_status(daemon->log, &audit);
    if (daemon->state != DAEMON_RUNNING)
        answer_text(request, HTTP_SERVUNAVAIL, "draining", "draining\n");
    else if (audit.gate_closed)
        answer_text(request, HTTP_SERVUNAVAIL, "audit gate closed", "audit gate closed\n");
    else
        answer_text(request, HTTP_OK, "OK", "ready\n");
}

/* The body of the request: one line, or nothing. */
static bool read_reason(struct evhttp_request *request, char *out, size_t cap)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    size_t len = evbuffer_get_length(body);
    if (len >= cap)
        return false;
    evbuffer_remove(body, out, len);
    out[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            return false;
    return true;
}

/* "commit=ID" of the query: letters, digits, '.', '_', '-'. False: there is something else. */
static bool read_commit(struct evhttp_request *request, char *out, size_t cap)
{
    static const char key[] = "commit=";
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    out[0] = '\0';
    if (query == NULL)
        return true;
    if (strncmp(query, key, sizeof key - 1) != 0)
        return false;
    const char *id = query + sizeof key - 1;
    size_t len = strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-");
    if (len == 0 || len >= cap || id[len] != '\0')
        return false;
    memcpy(out, id, len + 1);
    return true;
}

static void post_reload(struct evhttp_request *request, struct daemon *daemon, uid_t uid)
{
    struct load_cause cause = {.automatic = false};
    snprintf(cause.who, sizeof cause.who, "admin socket, uid %u", (unsigned)uid);
    if (!read_reason(request, cause.reason, sizeof cause.reason))
        answer_text(request, HTTP_BADREQUEST, "bad reason", "a reason is one line of at most 255 bytes\n");
    else if (!read_commit(request, cause.commit, sizeof cause.commit))
        answer_text(request, HTTP_BADREQUEST, "bad commit", "a commit is at most 64 letters and digits\n");
    else if (daemon_reload(daemon, &cause))
        answer_text(request, HTTP_OK, "OK", "reloaded\n");
    else
        answer_text(request, 409, "refused", "refused: the previous policy stays in force\n");
}

/* Main waits for it: a hand-over is three fsyncs and two words with the signer. */
static void post_rotate_key(struct evhttp_request *request, struct daemon *daemon, uid_t uid)
{
    char text[512], vkey[400], who[64];
    snprintf(who, sizeof who, "admin socket, uid %u", (unsigned)uid);
    if (audit_log_rotate_key(daemon->log, who, ROTATE_MS, vkey, sizeof vkey) != ERR_NONE) {
        answer_text(request, 409, "not done", "the signer did not hand over to another key in time\n");
        return;
    }
    int len = snprintf(text, sizeof text, "%s\n", vkey);
    answer(request, HTTP_OK, "OK", "text/plain", text, (size_t)len);
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct daemon *daemon = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    enum evhttp_cmd_type command = evhttp_request_get_command(request);
    uid_t uid = 0;
    if (!peer_is_trusted(request, &uid))
        evhttp_send_error(request, 403, "this account may not");
    else if (path == NULL)
        evhttp_send_error(request, HTTP_NOTFOUND, NULL);
    else if (command == EVHTTP_REQ_GET && strcmp(path, "/healthz") == 0)
        answer_text(request, HTTP_OK, "OK", "ok\n");
    else if (command == EVHTTP_REQ_GET && strcmp(path, "/readyz") == 0)
        get_ready(request, daemon);
    else if (command == EVHTTP_REQ_GET && strcmp(path, "/status") == 0)
        get_status(request, daemon);
    else if (command == EVHTTP_REQ_POST && strcmp(path, "/reload") == 0)
        post_reload(request, daemon, uid);
    else if (command == EVHTTP_REQ_POST && strcmp(path, "/rotate-key") == 0)
        post_rotate_key(request, daemon, uid);
    else if (!sessions_request(request, daemon, path, uid))
        evhttp_send_error(request, HTTP_NOTFOUND, NULL);
}

enum err admin_open(struct daemon *daemon)
{
    char why[256] = "";
    /* One that the service manager opened has the mode that it gave; the peer's uid is asked for in any case. */
    int fd = supervisor_take_unix(daemon->place.admin_path);
    bool inherited = fd >= 0;
    enum err err = inherited ? ERR_NONE : listen_unix(daemon->place.admin_path, 0600, &fd, why, sizeof why);
    if (err != ERR_NONE) {
        log_error("cannot open the admin socket", "on=unix:%s why=%s", daemon->place.admin_path, why);
        return err;
    }
    struct admin *admin = calloc(1, sizeof *admin);
    if (admin != NULL)
        admin->http = evhttp_new(loop_base(daemon->loop));
    if (admin == NULL || admin->http == NULL || evhttp_accept_socket(admin->http, fd) != 0) {
        if (admin != NULL && admin->http != NULL)
            evhttp_free(admin->http);
        free(admin);
        close(fd);
        return ERR_NO_MEMORY;
    }
    evhttp_set_max_headers_size(admin->http, 8192);
    evhttp_set_max_body_size(admin->http, 65536);
    evhttp_set_timeout(admin->http, 10);
    evhttp_set_gencb(admin->http, on_request, daemon);
    admin->bound = !inherited;
    daemon->admin = admin;
    return ERR_NONE;
}

void admin_close(struct daemon *daemon)
{
    struct admin *admin = daemon->admin;
    if (admin == NULL)
        return;
    evhttp_free(admin->http);
    if (admin->bound)
        unlink(daemon->place.admin_path);
    free(admin);
    daemon->admin = NULL;
}
