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

#define TICK_MS 1000

struct session *sessions_find(const struct daemon *daemon, const char *id)
{
    for (struct session *s = daemon->sessions->first; s != NULL; s = s->next)
        if (s->open && strcmp(s->spec.session, id) == 0)
            return s;
    return NULL;
}

uint64_t sessions_now_s(void)
{
    return (uint64_t)(clock_wall_ns() / 1000000000);
}

bool sessions_path(const char *dir, const char *name, char out[static PATH_TEXT])
{
    int n = snprintf(out, PATH_TEXT, "%s/%s", dir, name);
    return n > 0 && n < PATH_TEXT;
}

/* ---- the list ---- */

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
        if (s->open && s->spec.ends_s != 0 && s->spec.ends_s <= sessions_now_s()) {
            session_close(s, true, "ttl", "a session's time is over");
        } else if (!s->open && !s->asking) {
            s->asking = true;
            session_post_ask(s);
        }
    }
    sessions_use_save(sessions, false);
    timer_set(loop_wheel(daemon->loop), &sessions->tick, loop_now_ms(daemon->loop) + TICK_MS);
}

void sessions_tick(struct daemon *daemon)
{
    if (!daemon->sessions->ticking)
        timer_set(loop_wheel(daemon->loop), &daemon->sessions->tick, loop_now_ms(daemon->loop) + TICK_MS);
    daemon->sessions->ticking = true;
}

/* ---- start and end of the program ---- */

/* A file that cannot be read or bound again is said and left: nobody's sandbox gets more by it. */
static void restore(struct daemon *daemon, const char *name)
{
    char path[PATH_TEXT], text[SESSION_BODY_MAX + 1], why[512] = "cannot be read";
    struct session_spec *spec = calloc(1, sizeof *spec);
    struct session *session = NULL;
    ASSERT(spec != NULL);
    int fd =
        sessions_path(daemon->sessions->state_dir, name, path) ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0)
        close(fd);
    bool good = len > 0 && len <= SESSION_BODY_MAX;
    if (good) {
        text[len] = '\0';
        good = session_spec_read(spec, text, true, why, sizeof why) && strcmp(spec->session, name) == 0 &&
               spec->environment[0] != '\0';
    }
    if (good && spec->ends_s != 0 && spec->ends_s <= sessions_now_s()) {
        /* Opened and ended in one step, so that its end is recorded and its directory goes. */
        good = session_start(daemon, spec, &session, why, sizeof why) == ERR_NONE;
        if (good)
            session_close(session, true, "ttl", "a session's time is over");
    } else if (good) {
        good = session_start(daemon, spec, &session, why, sizeof why) == ERR_NONE;
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
