/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: reads the log again, goes on behind its last commit record, and refuses to go on from a log that was changed
 * or rolled back. Bytes behind the last commit record were never acknowledged: they are kept in quarantine/ and cut.
 *
 * What is read begins at the newest snapshot that holds. Where none does, and before anything is refused, the whole log
 * is read: a snapshot can make a start fast, and cannot make one succeed or fail.
 */
#include "log_private.h"

#include "signer_state.h"
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_BYTES 16384u

struct recovery {
    struct audit_log *log;
    struct tree_head published; /* last of checkpoints.log and of those that are withheld; size 0: none */
    struct tree_head signer;
    bool published_seen, signer_seen;
    bool no_memory, malformed;
    uint64_t malformed_index;
    uint64_t rotated_at; /* the last key_rotated entry, and the key that it names; empty: none */
    char rotated_to[NOTE_VKEY_MAX];
    const struct snapshot *from; /* NULL: the whole log is read */
    bool from_seen;              /* its entry, with its hash */
};

/* The last whole note of checkpoints.log; what was written of another when the machine stopped is cut. */
static enum audit_start read_checkpoints(struct recovery *r, char *message, size_t cap)
{
    struct audit_log *log = r->log;
    struct stat st;
    uint8_t tail[TAIL_BYTES];
    if (fstat(log->checkpoints_fd, &st) != 0)
        return start_refused(AUDIT_START_FAILED, message, cap, "checkpoints.log: %s", strerror(errno));
    uint64_t size = (uint64_t)st.st_size, from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    ssize_t got = pread(log->checkpoints_fd, tail, (size_t)(size - from), (off_t)from);
    if (got < 0 || (uint64_t)got != size - from)
        return start_refused(AUDIT_START_FAILED, message, cap, "checkpoints.log cannot be read");
    struct span rest = span_make(tail, (size_t)got);
    struct checkpoint checkpoint = {0};
    uint64_t good = from;
    bool synced = from == 0;
    while (rest.len > 0) {
        struct checkpoint next;
        size_t len = 0;
        enum err err = note_checkpoint_parse(rest, &next, &len);
        if (err == ERR_NONE && rest.len > len && rest.data[len] == '\n' && span_is(next.origin, log->origin)) {
            checkpoint = next;
            rest = span_from(rest, len + 1);
            good = from + (uint64_t)got - rest.len;
            synced = true;
        } else if (err != ERR_NONE && err != ERR_AGAIN && synced) {
            return start_refused(AUDIT_START_TAMPERED, message, cap,
                                 "checkpoints.log has lines that are no checkpoint");
        } else if (synced) {
            break; /* cut off in the middle */
        } else {
            rest = span_from(rest, span_find(rest, '\n') + 1); /* the tail began inside a note */
        }
    }
    if (checkpoint.head.size > 0 && !withhold_signed(log, &checkpoint))
        return start_refused(AUDIT_START_TAMPERED, message, cap, "the last checkpoint's signature is wrong");
    if (good < size && ftruncate(log->checkpoints_fd, (off_t)good) != 0)
        return start_refused(AUDIT_START_FAILED, message, cap, "checkpoints.log: %s", strerror(errno));
    log->checkpoints_bytes = good;
    r->published = checkpoint.head;
    return AUDIT_START_OK;
}

static bool on_entry(void *arg, uint64_t index, struct span leaf)
{
    struct recovery *r = arg;
    struct leaf_facts facts;
    enum ledger_finding finding = ledger_entry(&r->log->ledger, index, leaf, &facts);
    if (r->from != NULL && index == r->from->size) {
        r->from_seen = finding == LEDGER_FINE && facts.kind == LEAF_EVENT && facts.event == EVENT_LOG_SNAPSHOT &&
                       span_is(leaf_text(facts.unmapped, SNAPSHOT_HASH), r->from->hash);
        if (!r->from_seen)
            return false;
    }
    r->no_memory |= finding == LEDGER_NO_MEMORY;
    if (finding == LEDGER_MALFORMED && !r->malformed) {
        r->malformed = true;
        r->malformed_index = index;
    }
    if (facts.kind == LEAF_EVENT && facts.event == EVENT_KEY_ROTATED && finding != LEDGER_MALFORMED) {
        struct span vkey = leaf_text(facts.unmapped, "new_vkey");
        r->rotated_at = index;
        snprintf(r->rotated_to, sizeof r->rotated_to, "%.*s", (int)vkey.len, (const char *)vkey.data);
    }
    return !r->no_memory && !r->malformed;
}

/* The signer has the key that the log was handed over to, or waits to be told that it was. */
static enum audit_start judge_key(const struct recovery *r, char *message, size_t cap)
{
    if (r->rotated_to[0] == '\0' || strcmp(r->rotated_to, r->log->vkey) == 0 ||
        rotate_resume(r->log, r->rotated_at, span_text(r->rotated_to)))
        return AUDIT_START_OK;
    return start_refused(AUDIT_START_ROLLBACK, message, cap,
                         "entry %llu hands the log over to another key than the signer's",
                         (unsigned long long)r->rotated_at);
}

static bool on_commit(void *arg, const struct commit *commit, const struct tree *tree)
{
    struct recovery *r = arg;
    if (r->published.size == tree->size)
        r->published_seen = memcmp(r->published.root, commit->root, DIGEST_BYTES) == 0;
    if (r->signer.size == tree->size)
        r->signer_seen = memcmp(r->signer.root, commit->root, DIGEST_BYTES) == 0;
    return true;
}

static enum audit_start judge_heads(const struct recovery *r, uint64_t size, char *message, size_t cap)
{
    unsigned long long have = size, published = r->published.size, signer = r->signer.size;
    if (published > have)
        return start_refused(AUDIT_START_TAMPERED, message, cap,
                             "the segments end after %llu entries, but %llu were signed in checkpoints.log", have,
                             published);
    if (published > 0 && !r->published_seen)
        return start_refused(AUDIT_START_TAMPERED, message, cap,
                             "the first %llu entries are not those that were signed in checkpoints.log", published);
    if (signer > have)
        return start_refused(AUDIT_START_ROLLBACK, message, cap,
                             "the signer has signed %llu entries, the directory has %llu: it was rolled back", signer,
                             have);
    if (signer > 0 && !r->signer_seen)
        return start_refused(AUDIT_START_ROLLBACK, message, cap,
                             "the first %llu entries are not those that the signer has signed: this is a fork", signer);
    struct signer_about about;
    signer_about(r->log->signer, &about);
    bool missing = signer_state_missing(r->log->signer);
    if ((missing || (published > 0 && signer == 0)) && !(missing && about.adopting))
        return start_refused(AUDIT_START_ROLLBACK, message, cap,
                             "the log has %llu entries and the signer's state is missing (--adopt signs on from there)",
                             have);
    return AUDIT_START_OK;
}

static enum err keep_torn(struct audit_log *log, const struct walk *walk)
{
    char name[SEGMENT_NAME_LEN + 1], buffer[65536];
    segment_name(walk->last_segment, name);
    snprintf(log->torn_file, sizeof log->torn_file, "%020llu-%llu.torn", (unsigned long long)walk->last_segment,
             (unsigned long long)walk->good_bytes);
    int from = openat(log->segments_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int to = openat(log->quarantine_dir, log->torn_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum err err = from < 0 || to < 0 ? ERR_IO : ERR_NONE;
    digest_begin(log->digest);
    for (uint64_t at = walk->good_bytes; err == ERR_NONE;) {
        ssize_t got = pread(from, buffer, sizeof buffer, (off_t)at);
        if (got == 0)
            break;
        if (got < 0) {
            err = ERR_IO;
            break;
        }
        digest_add(log->digest, span_make(buffer, (size_t)got));
        err = io_write_all(to, span_make(buffer, (size_t)got));
        at += (uint64_t)got;
    }
    digest_end(log->digest, log->torn_hash);
    if (err == ERR_NONE && (fsync(to) != 0 || fsync(log->quarantine_dir) != 0))
        err = ERR_IO;
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    log->torn_bytes = walk->torn_bytes;
    return err;
}

static bool cut_torn(struct audit_log *log, const struct walk *walk)
{
    char name[SEGMENT_NAME_LEN + 1];
    segment_name(walk->last_segment, name);
    int fd = openat(log->segments_dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool cut = ftruncate(fd, (off_t)walk->good_bytes) == 0 && fsync(fd) == 0;
    close(fd);
    return cut;
}

/* Where the file may not be cut (chattr +a), a new segment takes over at the index behind the last commit. */
static enum audit_start go_on(struct audit_log *log, const struct walk *walk, bool torn, char *message, size_t cap)
{
    enum err err = ERR_NONE;
    if (torn)
        err = keep_torn(log, walk);
    if (err != ERR_NONE)
        return start_refused(AUDIT_START_FAILED, message, cap, "quarantine/%s: %s", log->torn_file, strerror(errno));
    bool same = walk->segment_count > 0 && (!torn || cut_torn(log, walk));
    if (same)
        err = segment_file_continue(log, walk->last_segment, walk->good_bytes);
    else
        err = segment_file_begin(log);
    if (err != ERR_NONE)
        return start_refused(AUDIT_START_FAILED, message, cap, "a segment cannot be opened: %s", strerror(errno));
    return AUDIT_START_OK;
}

static enum audit_start judge_walk(const struct recovery *r, const struct walk *walk, enum walk_state state,
                                   char *message, size_t cap)
{
    switch (state) {
    case WALK_GOOD:
    case WALK_TORN:
        return judge_heads(r, walk->tree.size, message, cap);
    case WALK_TAMPERED:
        return start_refused(AUDIT_START_TAMPERED, message, cap, "%s", walk->message);
    case WALK_STOPPED:
        if (!r->no_memory)
            return start_refused(AUDIT_START_TAMPERED, message, cap, "entry %llu is not of this log's form",
                                 (unsigned long long)r->malformed_index);
        return start_refused(AUDIT_START_FAILED, message, cap, "no memory");
    case WALK_FAILED:
        break;
    }
    return start_refused(AUDIT_START_FAILED, message, cap, "%s", walk->message);
}

/* One reading, from a snapshot or of everything. Nothing but the hash arrays on the disk is changed by it. */
static enum audit_start read_entries(struct recovery *r, const struct snapshot *from, struct walk *walk,
                                     enum walk_state *state, char *message, size_t cap)
{
    struct audit_log *log = r->log;
    r->from = from;
    r->from_seen = r->published_seen = r->signer_seen = r->malformed = r->no_memory = false;
    r->rotated_at = from != NULL ? from->rotated_at : 0;
    snprintf(r->rotated_to, sizeof r->rotated_to, "%s", from != NULL ? from->rotated_to : "");
    ledger_free(&log->ledger);
    ledger_init(&log->ledger);
    hashes_close(log->hashes);
    log->hashes = NULL;
    if (hashes_open(log->hashes_dir, false, &log->hashes) != ERR_NONE)
        return start_refused(AUDIT_START_FAILED, message, cap, "hashes/: %s", strerror(errno));
    if (from != NULL && snapshot_fill(from, &log->ledger) != ERR_NONE)
        return start_refused(AUDIT_START_FAILED, message, cap, "the snapshot cannot be used");
    *walk = (struct walk){
        .segments_dir = log->segments_dir,
        .hashes = log->hashes,
        .digest = log->digest,
        .arg = r,
        .entry = on_entry,
        .commit = on_commit,
    };
    if (from != NULL) {
        walk->exact = true;
        walk->from = from->size;
        walk->from_segment = from->segment;
        walk->from_offset = from->offset;
    }
    *state = walk_run(walk);
    enum audit_start result = judge_walk(r, walk, *state, message, cap);
    if (result == AUDIT_START_OK && from != NULL && !r->from_seen)
        result = start_refused(AUDIT_START_FAILED, message, cap, "the snapshot's entry is missing");
    return result == AUDIT_START_OK ? judge_key(r, message, cap) : result;
}

/* What is signed must lie behind it: that the signed tree has those entries is what proves it. */
static bool is_covered(const struct recovery *r, const struct snapshot *s)
{
    return s->size < r->published.size && s->size < r->signer.size;
}

/* Why a start cannot read from it: what the log's line says of the newest one. */
static const char *unfit(const struct recovery *r, enum err found, const struct snapshot *s)
{
    if (found == ERR_NOT_FOUND)
        return "missing";
    if (found != ERR_NONE)
        return found == ERR_CORRUPT ? "damaged" : "unreadable";
    if (!is_covered(r, s))
        return "not signed yet";
    return snapshot_segments_stand(s, r->log->segments_dir) ? NULL : "of other segments";
}

/* From the newest snapshot that holds; false if none does. */
static bool read_newest(struct recovery *r, struct walk *walk, enum walk_state *state)
{
    struct audit_log *log = r->log;
    struct snapshot found[SNAPSHOT_FILES];
    enum err there[SNAPSHOT_FILES];
    bool any = false, read = false;
    const char *words[SNAPSHOT_FILES];
    char why[200];
    for (unsigned i = 0; i < SNAPSHOT_FILES; i++) {
        there[i] = snapshot_read(log->index_dir, i, log->origin, &found[i]);
        any |= there[i] != ERR_NOT_FOUND;
        words[i] = "not read"; /* unless the other one does not serve */
    }
    unsigned newest = there[1] == ERR_NONE && (there[0] != ERR_NONE || found[1].size > found[0].size) ? 1 : 0;
    for (unsigned i = 0; i < SNAPSHOT_FILES && !read; i++) {
        unsigned number = newest ^ i;
        const struct snapshot *s = &found[number];
        words[number] = unfit(r, there[number], s);
        read = words[number] == NULL && read_entries(r, s, walk, state, why, sizeof why) == AUDIT_START_OK;
        if (words[number] == NULL)
            words[number] = "not what the log says";
        if (read) {
            log->snapshot_stands = true;
            log->snapshot_number = number ^ 1u;
            log->snapshot_size = log->snapshot_looked = log->read_from = s->size;
        }
    }
    for (unsigned i = 0; i < SNAPSHOT_FILES; i++)
        snapshot_free(&found[i]);
    if (any && !read)
        snprintf(log->read_why, sizeof log->read_why, "%s/snapshot.0 is %s, .1 is %s", SNAPSHOT_DIR, words[0],
                 words[1]);
    return read;
}

enum audit_start recover(struct audit_log *log, char *message, size_t cap)
{
    struct recovery r = {.log = log};
    struct walk walk = {0};
    enum walk_state state = WALK_FAILED;
    signer_last(log->signer, &r.signer);
    enum audit_start result = read_checkpoints(&r, message, cap);
    if (result == AUDIT_START_OK)
        result = withhold_recover(log, &r.published, message, cap);
    if (result != AUDIT_START_OK)
        return result;
    if (!read_newest(&r, &walk, &state))
        result = read_entries(&r, NULL, &walk, &state, message, cap);
    if (result != AUDIT_START_OK)
        return result;
    log->rotated_at = r.rotated_at;
    memcpy(log->rotated_to, r.rotated_to, sizeof log->rotated_to);
    log->tree = walk.tree;
    log->signed_head = r.signer;
    log->rebuilt_hashes = hashes_missing(log->hashes);
    hashes_rollback(log->hashes, log->tree.size);
    if (hashes_flush(log->hashes) != ERR_NONE)
        return start_refused(AUDIT_START_FAILED, message, cap, "hashes/: %s", strerror(errno));
    if (walk.last.count != 0)
        log->wall_minus_mono_ns = walk.last.wall_ns - (int64_t)walk.last.mono_ns;
    if (memcmp(walk.last.boot, log->boot, sizeof log->boot) != 0)
        log->wall_minus_mono_ns = 0; /* of another boot: nothing to compare with */
    return go_on(log, &walk, state == WALK_TORN, message, cap);
}
