/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How full the disk is, before it is full. Each mark that is reached is an entry; from the first one on environments
 * that wrote more than their share in the last hour are gated alone, so that the room that is left is the others'.
 */
#include "log_private.h"
#include "manifest.h"

#include "base/assert.h"
#include "base/clock.h"

#include <stdio.h>
#include <sys/statvfs.h>

#define HYSTERESIS     2u    /* percent below a mark before it counts as left */
#define FLOOR_PART     1024u /* of the disk: what an environment may write whatever the others do */
#define FLOOR_LEAST    65536u
#define SLACK_NUMERATE 5u /* a quarter above the share is still no flood */
#define SLACK_DIVIDE   4u

static const unsigned marks[] = {80, 90, 95};
#define MARKS (sizeof marks / sizeof marks[0])

static unsigned mark_of(unsigned percent, unsigned before)
{
    unsigned mark = 0;
    while (mark < MARKS && percent + (mark < before ? HYSTERESIS : 0) >= marks[mark])
        mark++;
    return mark;
}

static struct event_fact number(const char *key, uint64_t value)
{
    return (struct event_fact){.key = key, .is_number = true, .number = value};
}

static void say_mark(struct audit_log *log, unsigned percent, uint64_t free_bytes)
{
    struct record_event event = {
        .event = EVENT_DISK_WATERMARK,
        .message = span_text(log->mark == 0 ? "the disk has room again" : "the disk is filling up"),
        .fact_count = 3,
        .facts = {number("percent", percent), number("mark", log->mark == 0 ? 0 : marks[log->mark - 1]),
                  number("free_bytes", free_bytes)},
    };
    batch_add_event(log, &event);
}

/* Names are kept as they stand in leaves. Those of environments are printable text, so nothing but a quote or a backslash
 * has been escaped. */
static struct span plain_name(const struct env *env, uint8_t out[static MANIFEST_NAME_MAX])
{
    size_t len = 0;
    ASSERT(env->len <= MANIFEST_NAME_MAX);
    for (size_t i = 0; i < env->len; i++) {
        bool escapes =
            env->name[i] == '\\' && i + 1 < env->len && (env->name[i + 1] == '"' || env->name[i + 1] == '\\');
        i += escapes;
        out[len++] = (uint8_t)env->name[i];
    }
    return span_make(out, len);
}

static void gate_env(struct audit_log *log, const struct env *env, uint64_t share, unsigned percent)
{
    char why[120];
    uint8_t name[MANIFEST_NAME_MAX];
    snprintf(why, sizeof why, "the disk is %u %% full and this environment wrote more than its share", percent);
    struct record_event event = {
        .event = EVENT_GATE_CLOSED,
        .environment = plain_name(env, name),
        .message = span_text(why),
        .fact_count = 3,
        .facts = {number("hour_bytes", envs_hour(env)), number("share_bytes", share), number("percent", percent)},
    };
    atomic_store_explicit(&env->gate->closed, true, memory_order_release);
    batch_add_event(log, &event);
}

static void open_env(struct audit_log *log, const struct env *env, const char *why)
{
    uint8_t name[MANIFEST_NAME_MAX];
    struct record_event event = {
        .event = EVENT_GATE_OPENED,
        .environment = plain_name(env, name),
        .message = span_text(why),
        .fact_count = 1,
        .facts = {number("refused", atomic_exchange(&env->gate->refused, 0))},
    };
    atomic_store_explicit(&env->gate->closed, false, memory_order_release);
    batch_add_event(log, &event);
}

static uint64_t share_of_each(const struct envs *envs)
{
    uint64_t total = 0, writers = 0;
    size_t bucket = 0;
    for (const struct env *env = envs_next(envs, &bucket, NULL); env != NULL; env = envs_next(envs, &bucket, env)) {
        uint64_t bytes = envs_hour(env);
        total += bytes;
        writers += bytes > 0;
    }
    return writers == 0 ? 0 : total / writers;
}

static bool find_gate(struct audit_log *log, struct env *env)
{
    uint8_t name[MANIFEST_NAME_MAX];
    if (env->gate == NULL && log->env_gate != NULL)
        env->gate = log->env_gate(log->env_gate_arg, plain_name(env, name));
    return env->gate != NULL;
}

static void judge_envs(struct audit_log *log, unsigned percent, uint64_t disk_bytes)
{
    uint64_t share = share_of_each(&log->ledger.envs);
    uint64_t least = disk_bytes / FLOOR_PART > FLOOR_LEAST ? disk_bytes / FLOOR_PART : FLOOR_LEAST;
    size_t bucket = 0;
    struct envs *envs = &log->ledger.envs;
    for (struct env *env = envs_next(envs, &bucket, NULL); env != NULL; env = envs_next(envs, &bucket, env)) {
        uint64_t bytes = envs_hour(env);
        bool loud = log->mark > 0 && bytes > least && bytes > share * SLACK_NUMERATE / SLACK_DIVIDE;
        bool quiet = log->mark == 0 || bytes <= share;
        bool shut = env->gate != NULL && atomic_load_explicit(&env->gate->closed, memory_order_relaxed);
        if (!batch_has_room(log))
            return; /* the next second goes on */
        if (shut && quiet)
            open_env(log, env, "this environment may write again");
        else if (!shut && loud && find_gate(log, env))
            gate_env(log, env, share, percent);
    }
}

void watermark_look(struct audit_log *log, uint64_t now)
{
    struct statvfs fs;
    log->marked_ns = now;
    envs_hour_turn(&log->ledger.envs, now / NS_PER_S);
    if (fstatvfs(log->segments_dir, &fs) != 0 || log->segment.fd < 0 || !batch_has_room(log))
        return;
    uint64_t used = (uint64_t)fs.f_blocks - fs.f_bfree, all = used + fs.f_bavail;
    unsigned percent = all == 0 ? 0 : (unsigned)((used * 100 + all - 1) / all); /* as df(1) counts */
    atomic_store_explicit(&log->disk_percent, percent, memory_order_relaxed);
    unsigned mark = mark_of(percent, log->mark);
    bool was = log->mark > 0;
    if (mark != log->mark) {
        log->mark = mark;
        say_mark(log, percent, (uint64_t)fs.f_bavail * fs.f_frsize);
    }
    if (was || mark > 0)
        judge_envs(log, percent, all * fs.f_frsize);
}

bool watermark_end(struct audit_log *log)
{
    size_t bucket = 0;
    struct envs *envs = &log->ledger.envs;
    for (struct env *env = envs_next(envs, &bucket, NULL); env != NULL; env = envs_next(envs, &bucket, env)) {
        if (env->gate == NULL || !atomic_load_explicit(&env->gate->closed, memory_order_relaxed))
            continue;
        if (!batch_has_room(log))
            return false;
        open_env(log, env, "the log is closed");
    }
    return true;
}
