/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a snapshot, on the writer's thread between two batches, when nothing is in hand. */
#include "snapshot.h"

#include "log_private.h"
#include "snapshot_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUMBER_TEXT 21 /* of a number and the sign behind it */
#define FLOW_ROW    (NUMBER_TEXT + 2 * FLOW_ID_BYTES + 1)

void snapshot_name(unsigned number, char out[static SNAPSHOT_NAME])
{
    snprintf(out, SNAPSHOT_NAME, "snapshot.%u", number % SNAPSHOT_FILES);
}

static void put_number(struct outbuf *o, uint64_t number, char end)
{
    outbuf_u64(o, number);
    outbuf_char(o, end);
}

/* The room that it can take, so that no row has to ask. */
static size_t text_most(const struct audit_log *log, const struct segment_list *segments)
{
    const struct envs *envs = &log->ledger.envs;
    size_t bytes = 512 + sizeof log->origin + sizeof log->rotated_to, bucket = 0;
    bytes += segments->count * 2 * NUMBER_TEXT + log->ledger.open.count * FLOW_ROW;
    for (const struct env *env = envs_next(envs, &bucket, NULL); env != NULL; env = envs_next(envs, &bucket, env))
        bytes += 2 * NUMBER_TEXT + env->len + 1;
    return bytes;
}

static void put_environments(const struct envs *envs, struct outbuf *o)
{
    size_t bucket = 0;
    put_number(o, envs_used(envs), '\n');
    for (const struct env *env = envs_next(envs, &bucket, NULL); env != NULL; env = envs_next(envs, &bucket, env)) {
        if (env->settled == 0)
            continue;
        put_number(o, env->settled, '/');
        put_number(o, env->settled_index, '/');
        outbuf_bytes(o, env->name, env->len);
        outbuf_char(o, '\n');
    }
}

static void put_flows(const struct flows *open, struct outbuf *o)
{
    put_number(o, open->count, '\n');
    for (size_t i = 0; i < open->cap; i++) {
        if (!open->rows[i].used)
            continue;
        put_number(o, open->rows[i].index, '/');
        outbuf_hex(o, span_make(open->rows[i].id, FLOW_ID_BYTES));
        outbuf_char(o, '\n');
    }
}

static bool put_segments(const struct audit_log *log, const struct segment_list *list, struct outbuf *o)
{
    put_number(o, list->count, '\n');
    for (size_t i = 0; i < list->count; i++) {
        char name[SEGMENT_NAME_LEN + 1];
        struct stat st;
        segment_name(list->firsts[i], name);
        if (fstatat(log->segments_dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return false;
        put_number(o, list->firsts[i], '/');
        put_number(o, (uint64_t)st.st_size, '\n');
    }
    return true;
}

static bool put_all(const struct audit_log *log, const struct segment_list *segments, struct outbuf *o)
{
    outbuf_text(o, SNAPSHOT_HEAD "\n");
    outbuf_text(o, log->origin);
    outbuf_char(o, '\n');
    put_number(o, log->tree.size, '\n');
    put_number(o, log->segment.first, '\n');
    put_number(o, log->segment.bytes, '\n');
    put_number(o, log->rotated_at, '\n');
    outbuf_text(o, log->rotated_to);
    outbuf_char(o, '\n');
    if (!put_segments(log, segments, o))
        return false;
    put_environments(&log->ledger.envs, o);
    put_flows(&log->ledger.open, o);
    return !o->overflow;
}

/* Written over in place: while it is half written its hash is in no entry, and the other file counts. */
static bool write_file(const struct audit_log *log, struct span text)
{
    char name[SNAPSHOT_NAME];
    snapshot_name(log->snapshot_number, name);
    int fd = openat(log->index_dir, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    /* Not O_TRUNC: ext4 flushes a file that is closed after it was truncated, and nobody waits for this one. */
    bool written = io_write_all(fd, text) == ERR_NONE && ftruncate(fd, (off_t)text.len) == 0;
    return close(fd) == 0 && written;
}

static bool write_snapshot(struct audit_log *log, char out_hex[static 2 * DIGEST_BYTES])
{
    struct segment_list segments;
    char odd[64];
    uint8_t hash[DIGEST_BYTES];
    if (segment_list(log->segments_dir, &segments, odd, sizeof odd) != ERR_NONE)
        return false;
    size_t most = text_most(log, &segments);
    uint8_t *text = malloc(most);
    struct outbuf o = outbuf_make(text, text == NULL ? 0 : most);
    bool written = text != NULL && put_all(log, &segments, &o) && write_file(log, outbuf_written(&o));
    if (written) {
        digest_once(outbuf_written(&o), hash);
        struct outbuf hex = outbuf_make(out_hex, 2 * DIGEST_BYTES);
        outbuf_hex(&hex, span_make(hash, sizeof hash));
    }
    free(text);
    segment_list_free(&segments);
    return written;
}

static enum err write_entry(struct audit_log *log, const char *hex, char *why, size_t cap)
{
    struct record_event event = {
        .event = EVENT_LOG_SNAPSHOT,
        .message = span_text("what the entries before this one come to was kept for the next start"),
        .fact_count = 4,
        .facts = {{.key = "size", .is_number = true, .number = log->tree.size},
                  {.key = "environments", .is_number = true, .number = envs_used(&log->ledger.envs)},
                  {.key = "open_flows", .is_number = true, .number = log->ledger.open.count},
                  {.key = SNAPSHOT_HASH, .text = span_make(hex, 2 * DIGEST_BYTES)}},
    };
    batch_add_event(log, &event);
    return batch_commit(log, why, cap);
}

enum err snapshot_take(struct audit_log *log, uint64_t least)
{
    char hex[2 * DIGEST_BYTES], why[160] = "";
    uint64_t size = log->tree.size;
    bool due = size - log->snapshot_looked >= least && size > 0;
    /* The file that is written over must not be the one that a start would need. */
    bool free_file = !log->snapshot_stands || log->signed_head.size > log->snapshot_size;
    if (!due || !free_file || log->flows_unknown || log->index_dir < 0 || log->batch.count != 0 ||
        log->segment.fd < 0 || log->trouble != TROUBLE_NONE)
        return ERR_NONE;
    log->snapshot_looked = size; /* what cannot be written now is tried again after as many entries */
    if (hashes_flush(log->hashes) != ERR_NONE || !write_snapshot(log, hex))
        return ERR_NONE;
    enum err err = write_entry(log, hex, why, sizeof why);
    if (err != ERR_NONE) {
        gate_close(log, batch_trouble(log), why);
        return err;
    }
    log->snapshot_stands = true;
    log->snapshot_size = size;
    log->snapshot_number ^= 1u;
    return ERR_NONE;
}
