/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDED_HOSTS  600 /* bytes of the list in a record */
#define RECORDED_WHOLE  200 /* bytes of a list that a record surely has whole */
#define TICK_MS         1000
#define SESSION_SOCKETS 2 /* the listener and the descriptor that it keeps back */

/* ---- records ---- */

static void add_text(struct record_event *event, const char *key, const char *text)
{
    if (text[0] != '\0' && event->fact_count < EVENT_FACTS_MAX)
        event->facts[event->fact_count++] = (struct event_fact){.key = key, .text = span_text(text)};
}

static void add_yes(struct record_event *event, const char *key, bool yes)
{
    add_text(event, key, yes ? "true" : "");
}

/* Lists that a record would cut are kept beside the log, so that what the session left can be told later. */
static void add_whole(const struct session *session, struct record_event *event, char hex[static 65])
{
    const struct session_spec *spec = &session->spec;
    char text[SESSION_BODY_MAX];
    struct outbuf out = outbuf_make(text, sizeof text);
    if (strlen(spec->hosts) <= RECORDED_WHOLE && strlen(spec->mcp_endpoints) <= RECORDED_WHOLE)
        return;
    session_spec_write(spec, &out);
    if (audit_log_blob(session->daemon->log, outbuf_written(&out), hex) == ERR_NONE)
        add_text(event, "session_blob", hex);
}

static void record(const struct session *session, enum event_kind kind, const char *who, const char *what)
{
    const struct session_spec *spec = &session->spec;
    struct record_event event = {
        .event = kind,
        .environment = span_text(spec->environment),
        .subject = span_text(spec->session),
        .message = span_text(what),
    };
    add_text(&event, "who", who);
    add_text(&event, "work", spec->work);
    add_text(&event, "agent", spec->agent);
    add_text(&event, "labels", spec->labels);
    add_yes(&event, "only_hosts", spec->has_hosts);
    if (spec->hosts[0] != '\0')
        event.facts[event.fact_count++] =
            (struct event_fact){.key = "allow_hosts", .text = span_first(span_text(spec->hosts), RECORDED_HOSTS)};
    add_yes(&event, "no_package_managers", spec->no_package_managers || spec->run_phase);
    add_yes(&event, "no_mcp_servers", spec->no_mcp_servers);
    add_text(&event, "agent_file", spec->agent_file);
    add_text(&event, "agent_sha256", spec->agent_sha256);
    if (spec->agent_file[0] != '\0')
        event.facts[event.fact_count++] = (struct event_fact){
            .key = "mcp_endpoints", .text = span_first(span_text(spec->mcp_endpoints), RECORDED_HOSTS)};
    add_yes(&event, "deny_all", spec->deny_all);
    char hex[65] = "";
    if (kind != EVENT_SESSION_CLOSED)
        add_whole(session, &event, hex);
    char limits[SESSION_LIMITS_TEXT];
    session_limits_text(&spec->limits, limits);
    add_text(&event, "limits", limits);
    if (spec->ends_s != 0)
        event.facts[event.fact_count++] =
            (struct event_fact){.key = "ends_s", .is_number = true, .number = spec->ends_s};
    records_add(session->daemon, &event);
}

/* ---- the list ---- */

struct session *sessions_find(const struct daemon *daemon, const char *id)
{
    for (struct session *s = daemon->sessions->first; s != NULL; s = s->next)
        if (s->open && strcmp(s->spec.session, id) == 0)
            return s;
    return NULL;
}

static void session_free(struct session *session)
{
    narrowing_unref(session->narrowing);
    why_clear(&session->why);
    free(session);
}

static void forget(struct daemon *daemon, struct session *session)
{
    struct session **link = &daemon->sessions->first;
    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
    session_free(session);
}

void session_on_gone(struct session *session, bool gone)
{
    session->asking = false;
    if (gone)
        forget(session->daemon, session);
}

static uint64_t wall_s(void)
{
    return (uint64_t)(clock_wall_ns() / 1000000000);
}

/* Ends those whose time is over, and frees those that nobody knows any more. */
static void on_tick(struct timer *timer)
{
    struct sessions *sessions = (struct sessions *)(void *)((char *)timer - offsetof(struct sessions, tick));
    sessions->ticking = sessions->first != NULL;
    if (!sessions->ticking)
        return;
    struct daemon *daemon = sessions->first->daemon;
    /* While the program ends nobody comes or goes any more, but what is open still uses. */
    for (struct session *s = sessions->first; s != NULL && daemon->state == DAEMON_RUNNING; s = s->next) {
        if (s->open && s->spec.ends_s != 0 && s->spec.ends_s <= wall_s()) {
            session_close(s, true, "ttl", "a session's time is over");
        } else if (!s->open && !s->asking) {
            s->asking = true;
            session_post_ask(s);
        }
    }
    sessions_use_save(sessions, false);
    timer_set(loop_wheel(daemon->loop), &sessions->tick, loop_now_ms(daemon->loop) + TICK_MS);
}

static void tick(struct daemon *daemon)
{
    if (!daemon->sessions->ticking)
        timer_set(loop_wheel(daemon->loop), &daemon->sessions->tick, loop_now_ms(daemon->loop) + TICK_MS);
    daemon->sessions->ticking = true;
}

static bool join(char *out, const char *dir, const char *name, const char *rest)
{
    int n = snprintf(out, PATH_TEXT, "%s/%s%s", dir, name, rest);
    return n > 0 && n < PATH_TEXT;
}

/* With the fewest sessions; of several the first. */
static struct worker *least_loaded(const struct daemon *daemon)
{
    struct worker *best = &daemon->workers[0];
    for (unsigned i = 1; i < daemon->worker_count; i++)
        if (daemon->workers[i].session_count < best->session_count)
            best = &daemon->workers[i];
    return best;
}

static enum err make(struct daemon *daemon, const struct session_spec *spec, struct session **out)
{
    const struct sessions *sessions = daemon->sessions;
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->daemon = daemon;
    s->spec = *spec;
    memcpy(s->id, spec->session, sizeof s->id);
    memcpy(s->work, spec->work, sizeof s->work);
    memcpy(s->agent, spec->agent, sizeof s->agent);
    memcpy(s->environment, spec->environment, sizeof s->environment);
    why_init(&s->why);
    if (!join(s->dir, sessions->dir, spec->session, "") || !join(s->path, s->dir, "proxy.sock", "") ||
        !join(s->state_path, sessions->state_dir, spec->session, "")) {
        session_free(s);
        return ERR_TOO_BIG;
    }
    snprintf(s->name, sizeof s->name, "unix:%s", s->path);
    s->listener = (struct tunnel_listener){.name = s->name, .index = SESSION_INDEX, .session = s};
    s->worker = least_loaded(daemon);
    session_use_restore(s);
    *out = s;
    return ERR_NONE;
}

/* The spec is whole and its environment is a name. */
static enum err start(struct daemon *daemon, const struct session_spec *spec, struct session **out, char *why,
                      size_t why_cap)
{
    struct narrowing *narrowing = NULL;
    struct session *s = NULL;
    int fd = -1;
    if (daemon->sessions->open >= SESSIONS_MAX ||
        !budget_take(&daemon->process.descriptors, SESSION_SOCKETS, daemon->process.descriptors_max)) {
        snprintf(why, why_cap, "no more sessions can be open at once");
        return ERR_TOO_BIG;
    }
    enum err err = session_narrowing(spec, &narrowing, why, why_cap);
    if (err == ERR_NONE) {
        err = make(daemon, spec, &s);
        if (err != ERR_NONE)
            snprintf(why, why_cap, "%s", err_text(err));
    }
    if (err == ERR_NONE)
        err = session_place_open(s, &fd, why, why_cap);
    if (err == ERR_NONE && !session_place_save(s)) {
        snprintf(why, why_cap, "cannot write below %.200s: %s", daemon->sessions->state_dir, strerror(errno));
        session_place_remove(s);
        close(fd);
        err = ERR_IO;
    }
    if (err != ERR_NONE) {
        budget_give(&daemon->process.descriptors, SESSION_SOCKETS);
        narrowing_unref(narrowing);
        if (s != NULL)
            session_free(s);
        return err;
    }
    s->open = true;
    s->next = daemon->sessions->first;
    daemon->sessions->first = s;
    daemon->sessions->open++;
    s->worker->session_count++;
    session_post_open(s, fd, narrowing);
    tick(daemon);
    *out = s;
    return ERR_NONE;
}

/* ---- open, set, close ---- */

static bool environment_of(const struct daemon *daemon, struct session_spec *spec, char *why, size_t why_cap)
{
    struct span text = span_text(spec->environment);
    const struct policy *policy = book_find(daemon->book, text);
    if (policy == NULL)
        policy = book_find_id(daemon->book, text);
    if (policy == NULL || policy_name(policy).len > SESSION_NAME_MAX) {
        snprintf(why, why_cap, "there is no environment '%s'", spec->environment);
        return false;
    }
    struct span name = policy_name(policy);
    char copy[SESSION_NAME_MAX + 1] = "";
    memcpy(copy, name.data, name.len);
    memcpy(spec->environment, copy, sizeof copy);
    return true;
}

/* Checked when they are said; a reload that makes the environment's smaller makes the session's smaller with it. */
static bool limits_fit(const struct daemon *daemon, const struct session_spec *spec, char *why, size_t why_cap)
{
    const struct policy *policy = book_find(daemon->book, span_text(spec->environment));
    return policy == NULL || session_limits_fit(&spec->limits, policy_limits(policy), why, why_cap);
}

static bool new_limits_fit(const struct session *session, const struct session_spec *wanted, char *why, size_t why_cap)
{
    struct session_spec changed = *wanted;
    size_t count;
    const struct limit_row *rows = limits_rows(&count);
    for (size_t i = 0; i < count; i++)
        if (limit_get(&changed.limits, &rows[i]) == limit_get(&session->spec.limits, &rows[i]))
            limit_set(&changed.limits, &rows[i], 0);
    return limits_fit(session->daemon, &changed, why, why_cap);
}

static void set_end(struct session_spec *spec)
{
    if (spec->ttl_ms != 0)
        spec->ends_s = wall_s() + (spec->ttl_ms + 999) / 1000;
    spec->ttl_ms = 0;
}

enum err session_open(struct daemon *daemon, const struct session_spec *wanted, const char *who, struct session **out,
                      char *why, size_t why_cap)
{
    struct session_spec spec = *wanted;
    if (spec.session[0] == '\0' || spec.environment[0] == '\0') {
        snprintf(why, why_cap, "a session needs an id and an environment");
        return ERR_INVALID;
    }
    if (!environment_of(daemon, &spec, why, why_cap))
        return ERR_INVALID;
    if (!limits_fit(daemon, &spec, why, why_cap))
        return ERR_INVALID;
    if (sessions_find(daemon, spec.session) != NULL) {
        snprintf(why, why_cap, "the session %s is open already", spec.session);
        return ERR_EXISTS;
    }
    if (!session_agent_read(daemon, &spec, why, why_cap))
        return ERR_INVALID;
    struct audit_log_status audit;
    audit_log_status(daemon->log, &audit);
    spec.opened_index = audit.entries;
    spec.opened_s = wall_s();
    set_end(&spec);
    enum err err = start(daemon, &spec, out, why, why_cap);
    if (err == ERR_NONE)
        record(*out, EVENT_SESSION_OPENED, who, "a session is open");
    return err;
}

enum err session_change(struct session *session, const struct session_spec *wanted, const char *who, const char *what,
                        char *why, size_t why_cap)
{
    struct narrowing *narrowing = NULL;
    struct session_spec spec = *wanted, before = session->spec;
    if (!new_limits_fit(session, &spec, why, why_cap) || !session_agent_read(session->daemon, &spec, why, why_cap))
        return ERR_INVALID;
    set_end(&spec);
    enum err err = session_narrowing(&spec, &narrowing, why, why_cap);
    if (err != ERR_NONE)
        return err;
    memcpy(spec.agent, before.agent, sizeof spec.agent); /* a session belongs to one agent for its life */
    session->spec = spec;
    if (!session_place_save(session)) {
        /* What would come back after a restart must not be more than what holds now. */
        session->spec = before;
        narrowing_unref(narrowing);
        snprintf(why, why_cap, "cannot write below %.200s: %s", session->daemon->sessions->state_dir, strerror(errno));
        return ERR_IO;
    }
    session_post_narrow(session, narrowing);
    record(session, EVENT_SESSION_CHANGED, who, what);
    return ERR_NONE;
}

void session_close(struct session *session, bool now, const char *who, const char *what)
{
    struct daemon *daemon = session->daemon;
    session->open = false;
    daemon->sessions->open--;
    session->worker->session_count--;
    session_place_remove(session);
    session_post_close(session, now);
    budget_give(&daemon->process.descriptors, SESSION_SOCKETS);
    record(session, EVENT_SESSION_CLOSED, who, what);
    tick(daemon);
}

/* ---- start and end ---- */

/* A file that cannot be read or bound again is said and left: nobody's sandbox gets more by it. */
static void restore(struct daemon *daemon, const char *name)
{
    char path[PATH_TEXT], text[SESSION_BODY_MAX + 1], why[512] = "cannot be read";
    struct session_spec *spec = calloc(1, sizeof *spec);
    struct session *session = NULL;
    ASSERT(spec != NULL);
    int fd = join(path, daemon->sessions->state_dir, name, "") ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0)
        close(fd);
    bool good = len > 0 && len <= SESSION_BODY_MAX;
    if (good) {
        text[len] = '\0';
        good = session_spec_read(spec, text, true, why, sizeof why) && strcmp(spec->session, name) == 0 &&
               spec->environment[0] != '\0';
    }
    if (good && spec->ends_s != 0 && spec->ends_s <= wall_s()) {
        /* Opened and ended in one step, so that its end is recorded and its directory goes. */
        good = start(daemon, spec, &session, why, sizeof why) == ERR_NONE;
        if (good)
            session_close(session, true, "ttl", "a session's time is over");
    } else if (good) {
        good = start(daemon, spec, &session, why, sizeof why) == ERR_NONE;
    }
    if (!good)
        log_warn("a session is not open again", "session=%s why=%s", name, why);
    free(spec);
}

static bool choose_dir(const struct daemon *daemon, char out[static PATH_TEXT])
{
    const char *said = daemon->options->sessions_dir, *admin = daemon->place.admin_path;
    int n;
    if (said != NULL) {
        n = snprintf(out, PATH_TEXT, "%s", said);
    } else {
        const char *slash = strrchr(admin, '/');
        n = snprintf(out, PATH_TEXT, "%.*s/sessions", slash == NULL ? 1 : (int)(slash - admin),
                     slash == NULL ? "." : admin);
    }
    for (; n > 1 && n < PATH_TEXT && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
    return n > 0 && n < PATH_TEXT;
}

enum err sessions_open(struct daemon *daemon)
{
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions == NULL)
        return ERR_NO_MEMORY;
    daemon->sessions = sessions;
    timer_init(&sessions->tick, on_tick);
    if (!choose_dir(daemon, sessions->dir) ||
        snprintf(sessions->state_dir, PATH_TEXT, "%s.sessions", daemon->place.audit_dir) >= PATH_TEXT) {
        log_error("the directory of sessions has too long a name", "%s", "");
        return ERR_TOO_BIG;
    }
    /* What is handed to sandboxes must not lead to the admin socket. */
    size_t len = strlen(sessions->dir);
    if (strncmp(daemon->place.admin_path, sessions->dir, len) == 0 && daemon->place.admin_path[len] == '/') {
        log_error("the admin socket lies below the directory of sessions", "dir=%s", sessions->dir);
        return ERR_INVALID;
    }
    return ERR_NONE;
}

/* At the start, or, where the directories of the program are not confined, with the first session. */
enum err sessions_make_dirs(const struct daemon *daemon, char *why, size_t why_cap)
{
    const char *const dirs[] = {daemon->sessions->dir, daemon->sessions->state_dir};
    static const mode_t modes[] = {0711, 0700};
    for (size_t i = 0; i < 2; i++) {
        struct stat st;
        if ((mkdir(dirs[i], 0700) == 0 && chmod(dirs[i], modes[i]) == 0) ||
            (errno == EEXIST && lstat(dirs[i], &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
             (st.st_mode & 022) == 0))
            continue;
        snprintf(why, why_cap, "%.200s cannot be made or is not the proxy's own: %s", dirs[i], strerror(errno));
        return ERR_DENIED;
    }
    return ERR_NONE;
}

void sessions_restore(struct daemon *daemon)
{
    DIR *dir = opendir(daemon->sessions->state_dir);
    char why[512] = "";
    if (dir == NULL)
        return;
    if (sessions_make_dirs(daemon, why, sizeof why) != ERR_NONE) {
        log_error("sessions are not open again", "why=%s", why);
        closedir(dir);
        return;
    }
    for (const struct dirent *entry; errno = 0, (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            restore(daemon, entry->d_name);
    if (errno != 0)
        log_warn("some sessions may not be open again", "why=%s", strerror(errno));
    closedir(dir);
    log_info("sessions", "open=%zu", daemon->sessions->open);
}

void sessions_close(struct daemon *daemon)
{
    struct sessions *sessions = daemon->sessions;
    if (sessions == NULL)
        return;
    if (daemon->loop != NULL)
        timer_cancel(&sessions->tick);
    if (daemon->state != DAEMON_STARTING)
        sessions_use_save(sessions, true);
    while (sessions->first != NULL)
        forget(daemon, sessions->first);
    free(sessions);
    daemon->sessions = NULL;
}
