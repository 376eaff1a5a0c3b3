/* SPDX-License-Identifier: Apache-2.0 */
/* What a load that is refused was read from: whoever asks later why it was refused finds all of its texts, and not
 * only the one that holds the first error. What is in force already has been kept with the load that brought it. */
#include "reload.h"

#include "base/log.h"

#include <stdlib.h>

void load_note_read(void *arg, const struct policy_file *file)
{
    struct load *load = arg;
    struct read_file *more = realloc(load->read, (load->read_count + 1) * sizeof *more);
    if (more == NULL)
        return;
    load->read = more;
    struct read_file *one = &more[load->read_count];
    *one = (struct read_file){.path = strdup(file->path), .kind = file->kind};
    memcpy(one->sha256, file->sha256, sizeof one->sha256);
    load->read_count += one->path != NULL;
}

void load_forget_read(struct load *load)
{
    for (size_t i = 0; i < load->read_count; i++)
        free(load->read[i].path);
    free(load->read);
    load->read = NULL;
    load->read_count = 0;
}

/* ---- what is in force ---- */

struct hashes_now {
    uint8_t (*at)[32]; /* heap, sorted */
    size_t count;
};

static int by_hash(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

/* Without memory nothing counts as in force: then more is kept than is needed. */
static struct hashes_now hashes_in_force(const struct daemon *daemon)
{
    struct hashes_now now = {NULL, 0};
    size_t total = 0, count;
    for (size_t i = 0; daemon->book != NULL && i < book_count(daemon->book); i++) {
        (void)policy_files(book_at(daemon->book, i), &count);
        total += count;
    }
    now.at = calloc(total + 1, sizeof *now.at);
    for (size_t i = 0; total > 0 && now.at != NULL && i < book_count(daemon->book); i++) {
        const struct policy_file *files = policy_files(book_at(daemon->book, i), &count);
        for (size_t f = 0; f < count; f++)
            memcpy(now.at[now.count++], files[f].sha256, sizeof now.at[0]);
    }
    if (now.count > 1)
        qsort(now.at, now.count, sizeof now.at[0], by_hash);
    return now;
}

static bool is_in_force(const struct hashes_now *now, const uint8_t sha256[static 32])
{
    return now->count > 0 && bsearch(sha256, now->at, now->count, sizeof now->at[0], by_hash) != NULL;
}

/* ---- entries ---- */

static void record_read(struct daemon *daemon, const struct read_file *read, struct kept_texts *kept)
{
    char hex[64];
    struct outbuf o = outbuf_make(hex, sizeof hex);
    struct policy_file file = {.path = read->path, .kind = read->kind};
    memcpy(file.sha256, read->sha256, sizeof file.sha256);
    outbuf_hex(&o, span_make(read->sha256, sizeof read->sha256));
    bool good = load_keep_file(daemon, &file, kept);
    struct record_event event = {
        .event = EVENT_POLICY_FILE,
        .subject = outbuf_written(&o),
        .message = span_text(good ? "a file of a policy that is refused"
                                  : "a file of a policy that is refused; it changed before its text could be kept"),
        .fact_count = 3,
        .facts = {{.key = "kind", .text = span_text(read->kind)},
                  {.key = "file", .text = span_text(read->path)},
                  {.key = "generation_in_force", .is_number = true, .number = daemon->generation}},
    };
    if (good)
        event.facts[event.fact_count++] = (struct event_fact){.key = "blob", .text = outbuf_written(&o)};
    records_add(daemon, &event);
}

static bool was_said(const struct load *load, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (memcmp(load->read[i].sha256, load->read[index].sha256, 32) == 0 &&
            strcmp(load->read[i].path, load->read[index].path) == 0)
            return true;
    return false;
}

void load_record_read(struct daemon *daemon, const struct load *load)
{
    struct hashes_now now = hashes_in_force(daemon);
    struct kept_texts kept = {NULL, 0};
    size_t said = 0, left_out = 0;
    for (size_t i = 0; i < load->read_count; i++) {
        if (is_in_force(&now, load->read[i].sha256) || was_said(load, i))
            continue;
        if (said++ < REFUSED_FILES_MAX)
            record_read(daemon, &load->read[i], &kept);
        else
            left_out++;
    }
    if (left_out > 0)
        log_warn("not every text of a load that is refused was kept", "left_out=%zu", left_out);
    free(kept.hashes);
    free(now.at);
}
