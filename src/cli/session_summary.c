/* SPDX-License-Identifier: Apache-2.0 */
#include "session_summary.h"

#include "audit/reader.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define READ_MS      10000
#define BEFORE_MS    5000
#define BEFORE_MAX   1000000u
#define WAIT_MS      2000
#define WAIT_STEP_US 5000
#define NAMES_MAX    1000u  /* hosts, and pairs of host and reason */
#define OPEN_MAX     65536u /* attempts under way */
#define NEEDLE_MAX   160

struct totals {
    json_int_t attempts, allowed, refused, failed, up, down;
};

struct scan {
    const struct summary_of *of;
    char needle[NEEDLE_MAX]; /* stands in every record of the session */
    size_t needle_len;
    json_t *hosts, *refusals, *open; /* by name; by "host reason"; by flow: [up, down] */
    json_int_t hosts_left_out, refusals_left_out;
    struct totals totals;
    uint64_t until; /* the first index that was not looked at */
    bool whole, closed;
};

static int64_t now_ms(void)
{
    return (int64_t)(clock_mono_ns() / 1000000);
}

static const char *text_at(json_t *record, const char *object, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(record, object), key));
    return text != NULL ? text : "";
}

static json_int_t number_at(json_t *record, const char *object, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(record, object), key));
}

static void add_to(json_t *object, const char *key, json_int_t n)
{
    json_object_set_new(object, key, json_integer(json_integer_value(json_object_get(object, key)) + n));
}

static const char *host_of(json_t *record)
{
    const char *name = text_at(record, "dst_endpoint", "hostname");
    if (name[0] == '\0')
        name = text_at(record, "dst_endpoint", "ip");
    return name[0] != '\0' ? name : "-";
}

/* The entry of this name, made when it is new and there is room; NULL: there is none. */
static json_t *entry(json_t *map, const char *name, json_int_t *left_out)
{
    json_t *found = json_object_get(map, name);
    if (found != NULL)
        return found;
    if (json_object_size(map) >= NAMES_MAX) {
        ++*left_out;
        return NULL;
    }
    found = json_object();
    return json_object_set_new(map, name, found) == 0 ? found : NULL;
}

static void note_refusal(struct scan *s, json_t *record)
{
    char key[400];
    const char *reason = json_string_value(json_object_get(record, "status_code"));
    s->totals.refused++;
    snprintf(key, sizeof key, "%.253s %.64s", host_of(record), reason != NULL ? reason : "");
    json_t *refusal = entry(s->refusals, key, &s->refusals_left_out);
    if (refusal == NULL)
        return;
    add_to(refusal, "count", 1);
    json_object_set_new(refusal, "host", json_string(host_of(record)));
    json_object_set_new(refusal, "reason", json_string(reason));
    json_object_set_new(refusal, "last_request", json_string(text_at(record, "metadata", "correlation_uid")));
}

/* Bytes of a flow as its last record has them: each has those of the whole attempt so far. */
static void note_bytes(struct scan *s, json_t *host, json_t *record, bool ended)
{
    const char *flow = text_at(record, "metadata", "correlation_uid");
    json_t *known = json_object_get(s->open, flow);
    json_int_t up = number_at(record, "traffic", "bytes_out"), down = number_at(record, "traffic", "bytes_in");
    if (!ended && known == NULL)
        return; /* there was no room to follow it: its end says the same numbers */
    json_int_t up_more = up - json_integer_value(json_array_get(known, 0));
    json_int_t down_more = down - json_integer_value(json_array_get(known, 1));
    s->totals.up += up_more;
    s->totals.down += down_more;
    if (host != NULL) {
        add_to(host, "bytes_up", up_more);
        add_to(host, "bytes_down", down_more);
    }
    if (ended)
        json_object_del(s->open, flow);
    else if (known != NULL)
        json_object_set_new(s->open, flow, json_pack("[II]", up, down));
}

static void note_attempt(struct scan *s, json_t *host, json_t *record, bool allowed)
{
    s->totals.attempts++;
    s->totals.allowed += allowed;
    if (host != NULL)
        add_to(host, "attempts", 1);
    if (allowed && json_object_size(s->open) < OPEN_MAX)
        json_object_set_new(s->open, text_at(record, "metadata", "correlation_uid"), json_pack("[ii]", 0, 0));
}

static void note_flow(struct scan *s, json_t *record)
{
    const char *code = text_at(record, "metadata", "event_code");
    bool allowed = json_integer_value(json_object_get(record, "action_id")) == 1;
    bool outcome = strcmp(code, "outcome") == 0;
    if (strcmp(code, "lookup") == 0)
        return;
    json_t *host = entry(s->hosts, host_of(record), &s->hosts_left_out);
    if (strcmp(code, "attempt") == 0)
        note_attempt(s, host, record, allowed);
    else
        note_bytes(s, host, record, outcome);
    if (!allowed && strcmp(code, "traffic") != 0) {
        note_refusal(s, record);
        if (host != NULL)
            add_to(host, "refused", 1);
    } else if (outcome && strcmp(text_at(record, "unmapped", "end"), "failed") == 0) {
        s->totals.failed++;
        if (host != NULL)
            add_to(host, "failed", 1);
    }
}

static void look_at(struct scan *s, struct span leaf)
{
    if (memmem(leaf.data, leaf.len, s->needle, s->needle_len) == NULL)
        return;
    json_t *record = json_loadb((const char *)leaf.data, leaf.len, 0, NULL);
    if (strcmp(text_at(record, "src_endpoint", "uid"), s->of->session) == 0)
        note_flow(s, record);
    else if (strcmp(text_at(record, "metadata", "event_code"), "session_closed") == 0 &&
             strcmp(text_at(record, "entity", "uid"), s->of->session) == 0)
        s->closed = true;
    json_decref(record);
}

static bool is_waited_for(const struct scan *s)
{
    return (s->of->until_closed && !s->closed) || (s->of->until_quiet && json_object_size(s->open) > 0);
}

static enum err scan_session(struct scan *s)
{
    struct audit_reader *reader = NULL;
    int64_t began = now_ms(), waited_from = 0;
    enum err err = audit_reader_open(s->of->dir, s->of->opened_index, &reader);
    s->whole = true;
    while (err == ERR_NONE) {
        uint64_t index = 0;
        struct span leaf;
        err = audit_reader_next(reader, &index, &leaf);
        if (err == ERR_NONE) {
            look_at(s, leaf);
            s->until = index + 1;
            s->whole = (index & 1023) != 0 || now_ms() - began < READ_MS;
        }
        if (!s->whole)
            break;
        if (err != ERR_AGAIN || !is_waited_for(s))
            continue;
        waited_from = waited_from == 0 ? now_ms() : waited_from;
        if (now_ms() - waited_from >= WAIT_MS)
            break;
        nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_US * 1000L}, NULL);
        err = ERR_NONE;
    }
    audit_reader_close(reader);
    return err == ERR_AGAIN ? ERR_NONE : err;
}

/* ---- hosts that are new ---- */

static struct span quoted(struct span leaf, const char *key)
{
    const uint8_t *at = leaf.len == 0 ? NULL : memmem(leaf.data, leaf.len, key, strlen(key));
    if (at == NULL)
        return span_make(NULL, 0);
    struct span rest = span_from(leaf, (size_t)(at - leaf.data) + strlen(key));
    return span_first(rest, span_find(rest, '"'));
}

/* Earlier records of the environment take the mark away again. */
static void unmark(const struct scan *s, struct span leaf, const char *tenant, size_t tenant_len)
{
    char name[256];
    if (memmem(leaf.data, leaf.len, tenant, tenant_len) == NULL)
        return;
    const uint8_t *to = memmem(leaf.data, leaf.len, "\"dst_endpoint\":{", 16);
    if (to == NULL)
        return;
    struct span rest = span_from(leaf, (size_t)(to - leaf.data));
    rest = span_first(rest, span_find(rest, '}'));
    struct span host = quoted(rest, "\"hostname\":\"");
    if (host.len == 0)
        host = quoted(rest, "\"ip\":\"");
    if (host.len == 0 || host.len >= sizeof name)
        return;
    memcpy(name, host.data, host.len);
    name[host.len] = '\0';
    json_t *known = json_object_get(s->hosts, name);
    if (known != NULL)
        json_object_set_new(known, "new", json_false());
}

static enum err compare(const struct scan *s, json_t *out)
{
    struct audit_reader *reader = NULL;
    char tenant[NEEDLE_MAX];
    uint64_t to = s->of->opened_index, from = to > BEFORE_MAX ? to - BEFORE_MAX : 0, at = from;
    int64_t began = now_ms();
    bool in_time = true;
    int len = snprintf(tenant, sizeof tenant, "\"tenant_uid\":\"%s\"", s->of->environment);
    const char *name;
    json_t *host;
    json_object_foreach(s->hosts, name, host) json_object_set_new(host, "new", json_true());
    /* The oldest segments may be gone; what is left is what there is to compare with. */
    enum err err = to == 0 ? ERR_AGAIN : audit_reader_open(s->of->dir, from, &reader);
    while (err == ERR_NONE && in_time) {
        struct span leaf;
        uint64_t index = 0;
        err = audit_reader_next(reader, &index, &leaf);
        if (err != ERR_NONE || index >= to)
            break;
        unmark(s, leaf, tenant, (size_t)len);
        at = index + 1;
        in_time = (index & 1023) != 0 || now_ms() - began < BEFORE_MS;
    }
    audit_reader_close(reader);
    json_object_set_new(out, "compared",
                        json_pack("{sI sI sb}", "from_index", (json_int_t)from, "to_index", (json_int_t)at, "whole",
                                  from == 0 && at == to));
    return err == ERR_AGAIN || err == ERR_NOT_FOUND ? ERR_NONE : err;
}

/* ---- the whole ---- */

static int by_attempts(const void *a, const void *b)
{
    json_t *const *left = a, *const *right = b;
    json_int_t x = json_integer_value(json_object_get(*left, "rank"));
    json_int_t y = json_integer_value(json_object_get(*right, "rank"));
    if (x != y)
        return x < y ? 1 : -1;
    return strcmp(json_string_value(json_object_get(*left, "host")),
                  json_string_value(json_object_get(*right, "host")));
}

/* The values of a map as a list, the largest `rank` first. */
static json_t *listed(json_t *map, const char *rank)
{
    json_t *list = json_array(), *value;
    const char *name;
    size_t count = 0;
    json_t **all = calloc(json_object_size(map) + 1, sizeof *all);
    if (all == NULL)
        return list;
    json_object_foreach(map, name, value)
    {
        if (json_object_get(value, "host") == NULL)
            json_object_set_new(value, "host", json_string(name));
        add_to(value, rank, 0);
        json_object_set(value, "rank", json_object_get(value, rank));
        all[count++] = value;
    }
    qsort(all, count, sizeof *all, by_attempts);
    for (size_t i = 0; i < count; i++) {
        json_object_del(all[i], "rank");
        json_array_append(list, all[i]);
    }
    free(all);
    return list;
}

static json_t *fill(struct scan *s)
{
    static const char *const keys[] = {"attempts", "refused", "failed", "bytes_up", "bytes_down"};
    const struct totals *t = &s->totals;
    const char *name;
    json_t *host;
    json_object_foreach(s->hosts, name, host) for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        add_to(host, keys[i], 0);
    json_t *out = json_pack("{sI sI sI sI sI sI sI}", "attempts", t->attempts, "allowed", t->allowed, "refused",
                            t->refused, "failed", t->failed, "open", (json_int_t)json_object_size(s->open), "bytes_up",
                            t->up, "bytes_down", t->down);
    json_object_set_new(out, "from_index", json_integer((json_int_t)s->of->opened_index));
    json_object_set_new(out, "to_index", json_integer((json_int_t)s->until));
    json_object_set_new(out, "whole", json_boolean(s->whole));
    json_object_set_new(out, "hosts_left_out", json_integer(s->hosts_left_out));
    json_object_set_new(out, "refusals_left_out", json_integer(s->refusals_left_out));
    return out;
}

enum err session_summary(const struct summary_of *of, json_t **out)
{
    struct scan s = {.of = of, .hosts = json_object(), .refusals = json_object(), .open = json_object()};
    /* Ids have no character that JSON escapes. */
    int len = snprintf(s.needle, sizeof s.needle, "\"uid\":\"%.100s\"", of->session);
    s.needle_len = (size_t)len;
    json_t *summary = NULL;
    enum err err = s.hosts == NULL || s.refusals == NULL || s.open == NULL ? ERR_NO_MEMORY : scan_session(&s);
    if (err == ERR_NONE) {
        summary = fill(&s);
        err = summary == NULL ? ERR_NO_MEMORY : compare(&s, summary);
    }
    if (err == ERR_NONE) {
        json_object_set_new(summary, "hosts", listed(s.hosts, "attempts"));
        json_object_set_new(summary, "refusals", listed(s.refusals, "count"));
        *out = summary;
    } else {
        json_decref(summary);
    }
    json_decref(s.hosts);
    json_decref(s.refusals);
    json_decref(s.open);
    return err;
}
