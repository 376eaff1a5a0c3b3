/* SPDX-License-Identifier: Apache-2.0 */
#include "exec.h"

#include "record_json.h"

#include "audit/reader.h"
#include "base/digest.h"
#include "base/hash.h"

#include <string.h>

void feed_put_safe(FILE *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x20 || byte >= 0x7f || byte == '\\')
            fprintf(out, "\\x%02x", byte);
        else
            putc(byte, out);
    }
}

bool feed_is_denial(enum reason reason)
{
    return reason != REASON_NONE && strncmp(reason_row(reason)->sentence, "policy: ", 8) == 0;
}

/* ---- the table ---- */

static size_t slot_of(const char *target, enum reason reason)
{
    static struct hash_key key;
    if (key.k0 == 0)
        random_bytes(&key, sizeof key); /* the command chooses the names */
    return (size_t)(hash_keyed(&key, span_text(target)) + (uint64_t)reason) % FEED_HOSTS;
}

/* NULL: there is no room for another. */
static struct feed_host *find(struct exec_feed *feed, const char *target, enum reason reason, bool *out_new)
{
    size_t slot = slot_of(target, reason);
    *out_new = false;
    while (feed->hosts[slot].target[0] != '\0') {
        struct feed_host *host = &feed->hosts[slot];
        if (host->reason == reason && strcmp(host->target, target) == 0)
            return host;
        slot = (slot + 1) % FEED_HOSTS;
    }
    if (feed->used == FEED_HOSTS / 4 * 3)
        return NULL;
    feed->used++;
    *out_new = true;
    snprintf(feed->hosts[slot].target, sizeof feed->hosts[slot].target, "%s", target);
    feed->hosts[slot].reason = reason;
    return &feed->hosts[slot];
}

/* ---- a record ---- */

static void say(const struct feed_host *host)
{
    const struct reason_row *row = reason_row(host->reason);
    const char *word = host->reason == REASON_ALLOWED ? "allowed"
                       : feed_is_denial(host->reason) ? "denied "
                                                      : "failed ";
    fprintf(stderr, "sallyport: %s ", word);
    feed_put_safe(stderr, host->target);
    if (host->reason != REASON_ALLOWED)
        fprintf(stderr, "  %s (%s)", row->name, row->sentence);
    fputc('\n', stderr);
}

static void take(struct exec_feed *feed, json_t *record, enum reason reason)
{
    char target[320];
    bool fresh = false;
    record_target(record, target, sizeof target);
    if (target[0] == '\0')
        memcpy(target, "?", 2);
    struct feed_host *host = find(feed, target, reason, &fresh);
    if (host == NULL) {
        if (feed->beyond++ == 0 && !feed->quiet)
            fputs("sallyport: further hosts are in the audit log alone\n", stderr);
        return;
    }
    json_int_t times = json_integer_value(json_object_get(record, "count"));
    host->count += times > 0 ? (uint64_t)times : 1;
    if (!fresh)
        return;
    const char *door = record_text(json_object_get(record, "unmapped"), "door");
    for (enum door d = DOOR_CONNECT; d <= DOOR_PLAIN; d++)
        if (strcmp(door, door_text(d)) == 0)
            host->door = d;
    record_answers(record, host->answers, &host->answer_count);
    if (!feed->quiet)
        say(host);
}

/* Allowed, and the network did not do it. */
static bool is_failure(enum reason reason)
{
    uint16_t status = reason != REASON_NONE ? reason_row(reason)->http_status : 0;
    return status == 502 || status == 504;
}

static void read_record(struct exec_feed *feed, json_t *record)
{
    const char *code = record_text(json_object_get(record, "metadata"), "event_code");
    bool outcome = strcmp(code, "outcome") == 0;
    if (!outcome && strcmp(code, "attempt") != 0)
        return;
    bool allowed = json_integer_value(json_object_get(record, "action_id")) == 1;
    json_t *traffic = json_object_get(record, "traffic");
    if (outcome) {
        feed->bytes_out += (uint64_t)json_integer_value(json_object_get(traffic, "bytes_out"));
        feed->bytes_in += (uint64_t)json_integer_value(json_object_get(traffic, "bytes_in"));
    }
    enum reason reason = reason_by_name(span_text(record_text(record, "status_code")));
    if (allowed && !outcome)
        reason = REASON_ALLOWED;
    else if (allowed && !is_failure(reason))
        return; /* its attempt said so */
    if (reason != REASON_NONE)
        take(feed, record, reason);
}

/* ---- the log ---- */

bool feed_open(struct exec_feed *feed, const char *dir, bool quiet)
{
    *feed = (struct exec_feed){.quiet = quiet};
    struct audit_peek peek;
    /* A log that was given may hold the runs before this one. */
    uint64_t from = audit_peek(dir, &peek) == ERR_NONE ? peek.entries : 0;
    if (audit_reader_open(dir, from, &feed->reader) == ERR_NONE)
        return true;
    fprintf(stderr, "sallyport exec: the audit log in %s cannot be read\n", dir);
    return false;
}

void feed_read(struct exec_feed *feed)
{
    uint64_t index;
    struct span leaf;
    while (audit_reader_next(feed->reader, &index, &leaf) == ERR_NONE) {
        json_t *record = json_loadb((const char *)leaf.data, leaf.len, 0, NULL);
        feed->entries = index + 1;
        if (record != NULL)
            read_record(feed, record);
        json_decref(record);
    }
}

void feed_close(struct exec_feed *feed)
{
    audit_reader_close(feed->reader);
    feed->reader = NULL;
}
