/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/why.h"

#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

#define HOST_SHOWN 160u /* bytes of a host; the record has all of them */

struct why_entry {
    int64_t wall_s;
    struct target target;
    enum reason reason;
    uint8_t flow[FLOW_ID_BYTES];
};

void why_init(struct why *why)
{
    *why = (struct why){.entries = NULL};
    pthread_mutex_init(&why->lock, NULL);
}

void why_clear(struct why *why)
{
    free(why->entries);
    pthread_mutex_destroy(&why->lock);
}

void why_add(struct why *why, const struct target *target, enum reason reason, const uint8_t flow[static FLOW_ID_BYTES])
{
    pthread_mutex_lock(&why->lock);
    if (why->entries == NULL)
        why->entries = calloc(WHY_LAST, sizeof *why->entries);
    if (why->entries != NULL) {
        struct why_entry *entry = &why->entries[why->next];
        *entry = (struct why_entry){.wall_s = clock_wall_ns() / 1000000000, .reason = reason};
        if (target != NULL)
            entry->target = *target;
        memcpy(entry->flow, flow, FLOW_ID_BYTES);
        why->next = (why->next + 1) % WHY_LAST;
        why->count += why->count < WHY_LAST;
    }
    pthread_mutex_unlock(&why->lock);
}

static void print_target(const struct target *target, struct outbuf *out)
{
    char text[TARGET_TEXT_MAX];
    if (target->kind == TARGET_NONE) {
        outbuf_text(out, "-");
        return;
    }
    size_t len = target_format(target, text);
    outbuf_bytes(out, text, len < HOST_SHOWN ? len : HOST_SHOWN);
    if (len > HOST_SHOWN)
        outbuf_text(out, "...");
}

static void print_entry(const struct why_entry *entry, struct outbuf *out)
{
    time_t at = (time_t)entry->wall_s;
    struct tm tm;
    char when[32] = "";
    if (gmtime_r(&at, &tm) != NULL)
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    outbuf_text(out, when);
    outbuf_char(out, ' ');
    print_target(&entry->target, out);
    outbuf_char(out, ' ');
    outbuf_text(out, reason_row(entry->reason)->name);
    outbuf_text(out, " (");
    outbuf_text(out, reason_row(entry->reason)->sentence);
    outbuf_text(out, ") request ");
    outbuf_hex(out, span_make(entry->flow, FLOW_ID_BYTES));
    outbuf_char(out, '\n');
}

void why_print(struct why *why, struct outbuf *out)
{
    pthread_mutex_lock(&why->lock);
    for (unsigned i = 1; i <= why->count; i++)
        print_entry(&why->entries[(why->next + WHY_LAST - i) % WHY_LAST], out);
    pthread_mutex_unlock(&why->lock);
}
