/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reloads when a file was replaced or finished. What was read counts only if it is still there, unchanged, 200 ms
 * later: an editor or a copy that is not done yet is not taken for a policy.
 */
#include "reload.h"

#include "base/log.h"
#include "filewatch.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#define GATHER_MS 50 /* several files of one change come together */
#define SETTLE_MS 200
#define REARM_MS  5000 /* where files could not be watched */

enum phase { PHASE_IDLE, PHASE_GATHERING, PHASE_SETTLING, PHASE_BLIND };

struct autoload {
    struct timer timer; /* first */
    struct daemon *daemon;
    struct filewatch *watch;
    struct event *event;
    enum phase phase;
    struct load load; /* while it settles */
    enum err result;
    bool dirty_said, blind_said;
};

static void wait_ms(struct autoload *a, enum phase phase, uint64_t ms)
{
    a->phase = phase;
    timer_set(loop_wheel(a->daemon->loop), &a->timer, loop_now_ms(a->daemon->loop) + ms);
}

/* Something came while the last reading settles: it is read again. */
static void start_over(struct autoload *a)
{
    load_clear(a->daemon, &a->load);
    wait_ms(a, PHASE_GATHERING, GATHER_MS);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct autoload *a = arg;
    if (filewatch_read(a->watch) && a->phase != PHASE_GATHERING)
        start_over(a);
}

/* ---- reading ---- */

static void name_cause(struct autoload *a, struct load_cause *out)
{
    const struct policy_file *file = files_changed(&a->daemon->files);
    struct policy_mark now;
    *out = (struct load_cause){.automatic = true};
    if (file != NULL && policy_mark_of(file->path, &now) == ERR_NONE)
        snprintf(out->who, sizeof out->who, "a changed file of uid %u", (unsigned)now.owner);
    else
        snprintf(out->who, sizeof out->who, "a changed file");
    if (file != NULL)
        snprintf(out->reason, sizeof out->reason, "changed: %s", file->path);
}

static void read_again(struct autoload *a)
{
    struct daemon *daemon = a->daemon;
    if (filewatch_is_dirty(a->watch)) {
        if (!a->dirty_said)
            log_info("a file is being written: it is read when its writer has closed it", "%s", "");
        a->dirty_said = true;
        wait_ms(a, PHASE_GATHERING, SETTLE_MS);
        return;
    }
    a->dirty_said = false;
    a->load = (struct load){0};
    name_cause(a, &a->load.cause);
    a->result = load_config(daemon, &a->load);
    if (a->result == ERR_NONE)
        a->result = load_book(daemon, &a->load);
    wait_ms(a, PHASE_SETTLING, SETTLE_MS);
}

/* ---- putting into force ---- */

static bool same_config(const struct config *a, const struct config *b)
{
    return a == b || span_equal(a->text, b->text);
}

/* Written again, they say the same: nothing is new but their marks. */
static void keep_files(struct daemon *daemon, struct load *load)
{
    files_clear(&daemon->files);
    daemon->files = load->files;
    load->files = (struct files){0};
}

static void finish(struct autoload *a)
{
    struct daemon *daemon = a->daemon;
    struct load *load = &a->load;
    if (a->result != ERR_NONE)
        load_refuse(daemon, load);
    else if (load->kept == book_count(daemon->book) && load->kept == book_count(load->book) &&
             same_config(load->config, daemon->config_now))
        keep_files(daemon, load);
    else
        load_apply(daemon, load);
    autoload_arm(daemon, &load->files);
    load_clear(daemon, load);
}

static void on_timer(struct timer *timer)
{
    struct autoload *a = (struct autoload *)timer;
    if (a->daemon->state != DAEMON_RUNNING) {
        load_clear(a->daemon, &a->load);
        a->phase = PHASE_IDLE;
    } else if (a->phase == PHASE_BLIND) {
        autoload_arm(a->daemon, &(struct files){0});
    } else if (a->phase == PHASE_GATHERING) {
        read_again(a);
    } else if (filewatch_is_dirty(a->watch) || files_changed(&a->load.files) != NULL) {
        start_over(a);
    } else {
        finish(a);
    }
}

/* ---- arming ---- */

/* False if one of them cannot be watched. */
static bool watch_files(struct filewatch *watch, const struct files *files, bool say)
{
    bool all = true;
    for (size_t i = 0; i < files->count; i++) {
        if (files->items[i].on_demand || filewatch_add(watch, files->items[i].path) == ERR_NONE)
            continue;
        all = false;
        if (say)
            log_warn("a change of this file is not seen for now", "file=%s", files->items[i].path);
    }
    return all;
}

static bool replace_watch(struct autoload *a, struct filewatch *watch)
{
    struct event *event =
        event_new(loop_base(a->daemon->loop), filewatch_fd(watch), EV_READ | EV_PERSIST, on_readable, a);
    if (event == NULL || event_add(event, NULL) != 0) {
        if (event != NULL)
            event_free(event);
        return false;
    }
    if (a->event != NULL)
        event_free(a->event);
    filewatch_free(a->watch);
    a->event = event;
    a->watch = watch;
    return true;
}

void autoload_arm(struct daemon *daemon, const struct files *tried)
{
    struct autoload *a = daemon->autoload;
    struct filewatch *watch = NULL;
    if (a == NULL)
        return;
    timer_cancel(&a->timer);
    a->phase = PHASE_IDLE;
    /* What did not load may name less than what is in force; both may change. */
    bool made = filewatch_new(&watch) == ERR_NONE;
    bool all = made && watch_files(watch, &daemon->files, !a->blind_said);
    all = made && watch_files(watch, tried, !a->blind_said) && all;
    if (!made || !replace_watch(a, watch)) {
        all = false;
        filewatch_free(watch);
        if (!a->blind_said)
            log_warn("changes of files are not seen for now", "%s", "");
    }
    a->blind_said = !all;
    if (!all)
        wait_ms(a, PHASE_BLIND, REARM_MS);
    /* What changed before it was watched. */
    if (files_changed(tried->count > 0 ? tried : &daemon->files) != NULL)
        wait_ms(a, PHASE_GATHERING, GATHER_MS);
}

enum err autoload_open(struct daemon *daemon)
{
    struct autoload *a = calloc(1, sizeof *a);
    if (a == NULL)
        return ERR_NO_MEMORY;
    a->daemon = daemon;
    timer_init(&a->timer, on_timer);
    daemon->autoload = a;
    autoload_arm(daemon, &(struct files){0});
    return ERR_NONE;
}

void autoload_close(struct daemon *daemon)
{
    struct autoload *a = daemon->autoload;
    if (a == NULL)
        return;
    timer_cancel(&a->timer);
    load_clear(daemon, &a->load);
    if (a->event != NULL)
        event_free(a->event);
    filewatch_free(a->watch);
    free(a);
    daemon->autoload = NULL;
}
