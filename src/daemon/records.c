/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Main's own records. Credit for many of them is held from the start: a load applies at once while the gate is closed,
 * and its records, sealed on that credit, are the first entries after it opens.
 */
#include "internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WAIT_MS     2000
#define RESERVE_MAX 16384u

struct records {
    struct desk *desk;
    int fd;          /* the writer tells of a commit through it: main waits here, since a load may count only then */
    uint64_t ticket; /* of the last record */
    size_t reserve;  /* records that there is credit for */
    size_t reserve_max;
    bool lost;
};

static void on_commit(void *arg)
{
    const struct records *records = arg;
    uint64_t one = 1;
    ssize_t ignored = write(records->fd, &one, sizeof one);
    (void)ignored; /* a full counter is readable too */
}

enum err records_open(struct daemon *daemon, size_t ring_bytes)
{
    struct records *records = calloc(1, sizeof *records);
    if (records == NULL)
        return ERR_NO_MEMORY;
    daemon->records = records;
    records->reserve_max = ring_bytes / 2 / DESK_RECORD_BYTES;
    if (records->reserve_max > RESERVE_MAX)
        records->reserve_max = RESERVE_MAX;
    records->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return records->fd < 0 ? ERR_IO : audit_log_desk(daemon->log, on_commit, records, &records->desk);
}

void records_close(struct daemon *daemon)
{
    struct records *records = daemon->records;
    if (records == NULL)
        return;
    if (records->fd >= 0)
        close(records->fd);
    free(records);
    daemon->records = NULL;
}

/* The ring belongs to main alone: what is not held cannot be taken away, only be late. */
static void fill_reserve(struct records *records)
{
    while (records->reserve < records->reserve_max && desk_credit_take(records->desk, DESK_RECORD_BYTES))
        records->reserve++;
}

static void wait_durable(struct records *records)
{
    desk_set_waiting(records->desk, true);
    uint64_t until_ns = clock_mono_ns() + UINT64_C(1000000) * WAIT_MS;
    while (desk_durable(records->desk) < records->ticket && clock_mono_ns() < until_ns &&
           !desk_gate_closed(records->desk)) {
        struct pollfd wait = {.fd = records->fd, .events = POLLIN};
        poll(&wait, 1, 50);
        uint64_t count;
        ssize_t ignored = read(records->fd, &count, sizeof count);
        (void)ignored;
    }
    desk_set_waiting(records->desk, false);
}

void records_add(struct daemon *daemon, const struct record_event *event)
{
    struct records *records = daemon->records;
    fill_reserve(records);
    if (records->reserve == 0) {
        wait_durable(records);
        fill_reserve(records);
    }
    if (records->reserve == 0) {
        records->lost = true;
        log_error("a record of this program's own has no room", "subject=%.*s", (int)event->subject.len,
                  (const char *)event->subject.data);
        return;
    }
    records->reserve--;
    records->ticket = desk_seal_event(records->desk, event, RECORD_URGENT);
}

bool records_wait(struct daemon *daemon)
{
    struct records *records = daemon->records;
    wait_durable(records);
    bool lost = records->lost;
    records->lost = false;
    return !lost && desk_durable(records->desk) >= records->ticket;
}

/* From here on it signs the log; key_rotated says which one took over from it. */
void records_add_log_key(struct daemon *daemon)
{
    struct record_event event = {
        .event = EVENT_KEY_CREATED,
        .subject = span_text(audit_log_origin(daemon->log)),
        .message = span_text("the key that signs this log"),
        .fact_count = 2,
        .facts = {{.key = "purpose", .text = span_text("signing")},
                  {.key = "vkey", .text = span_text(audit_log_vkey(daemon->log))}},
    };
    records_add(daemon, &event);
}

void records_say_read(const struct daemon *daemon)
{
    struct audit_log_status status;
    audit_log_status(daemon->log, &status);
    if (status.read_why[0] != '\0')
        log_warn("the whole audit log was read again", "entries=%llu why=%s", (unsigned long long)status.entries,
                 status.read_why);
    else
        log_debug("the audit log was read again", "from=%llu entries=%llu", (unsigned long long)status.read_from,
                  (unsigned long long)status.entries);
}
