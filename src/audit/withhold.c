/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads that are given out only when witnesses have signed them: they are signed and durable in `withheld`, so nothing
 * waits for the witnesses but `checkpoint` and checkpoints.log. `audit cosign` asks for the newest of them and leaves what
 * the witnesses answered in cosigned.log, which is looked at here once a second. What stands there is believed if it is a
 * head of this log and the quorum's signatures are good, whoever wrote it.
 */
#include "log_private.h"

#include "base/clock.h"
#include "rotations.h"

#include <fcntl.h>
#include <unistd.h>

#define TAIL_BYTES 16384u /* a whole note and one that was cut */
#define DASH       "\xe2\x80\x94 "

_Static_assert(TAIL_BYTES >= 2 * COSIGN_TEXT_MAX, "the newest whole note lies in the tail");

/* A head to be given out, as it goes into checkpoints.log: the lines of the witnesses stay in cosigned.log. */
struct cosigned {
    struct tree_head head; /* size 0: none */
    size_t len;
    char text[NOTE_TEXT_MAX];
};

static int64_t since_ms(const struct audit_log *log)
{
    return log->withheld.count > 0 ? log->withheld.heads[0].since_ms : 0;
}

void withhold_say(struct audit_log *log)
{
    atomic_store_explicit(&log->withheld_since_ms, since_ms(log), memory_order_relaxed);
}

enum err withhold(struct audit_log *log, const struct tree_head *head, struct span note)
{
    struct checkpoint c;
    size_t len = 0;
    if (head->size <= log->published.size)
        return ERR_NONE; /* nothing new since */
    enum err err = note_checkpoint_parse(note, &c, &len);
    if (err == ERR_NONE)
        err = withheld_add(&log->withheld, &c, note, clock_wall_ns() / (int64_t)NS_PER_MS);
    withhold_say(log);
    return err == ERR_NONE ? withheld_write(log->dir, &log->withheld) : err;
}

/* Those below it first, since a head that two keys signed may be one of them. What was appended is not appended again
 * when a later step failed. */
static enum err give_out(struct audit_log *log, const struct tree_head *head, struct span note)
{
    enum err err = ERR_NONE;
    for (size_t i = 0; err == ERR_NONE && i < log->withheld.count; i++) {
        const struct withheld_head *h = &log->withheld.heads[i];
        if (h->head.size > log->published.size && h->head.size < head->size)
            err = checkpoint_append(log, &h->head, span_make(h->text, h->len));
    }
    if (err == ERR_NONE && head->size > log->published.size)
        err = checkpoint_append(log, head, note);
    if (err == ERR_NONE)
        err = checkpoint_show(log, note);
    if (err != ERR_NONE)
        return err;
    withheld_drop(&log->withheld, head->size);
    withhold_say(log);
    return withheld_write(log->dir, &log->withheld);
}

enum err withhold_release(struct audit_log *log)
{
    const struct withheld_head *newest = withheld_newest(&log->withheld);
    if (newest == NULL)
        return ERR_NONE;
    struct withheld_head last = *newest; /* the list is changed meanwhile */
    return give_out(log, &last.head, span_make(last.text, last.len));
}

/* ---- what witnesses have signed ---- */

/* One that is not in the list any more, because newer ones took its place: its tree must be ours, and its signature. */
static bool is_ours(struct audit_log *log, const struct checkpoint *c)
{
    uint8_t root[DIGEST_BYTES];
    struct tree_source source = hashes_source(log->hashes, log->digest);
    return tree_root_at(&source, c->head.size, root) == ERR_NONE && memcmp(root, c->head.root, sizeof root) == 0 &&
           withhold_signed(log, c);
}

/* The lines that bear the log's name. */
static bool own_lines(const struct audit_log *log, const struct checkpoint *c, struct cosigned *out)
{
    struct outbuf o = outbuf_make(out->text, sizeof out->text);
    size_t name = strlen(log->origin);
    outbuf_span(&o, c->body);
    outbuf_char(&o, '\n');
    for (struct span rest = c->signatures; rest.len > 0;) {
        size_t end = span_find(rest, '\n');
        struct span line = span_first(rest, end + 1), after = span_from(line, strlen(DASH));
        if (after.len > name && memcmp(after.data, log->origin, name) == 0 && after.data[name] == ' ')
            outbuf_span(&o, line);
        rest = span_from(rest, end + 1);
    }
    out->len = o.len;
    return !o.overflow;
}

static void consider(struct audit_log *log, const struct checkpoint *c, struct span note, struct cosigned *best)
{
    bool have[COSIGN_WITNESSES_MAX];
    /* What is in checkpoints.log and could not become `checkpoint` yet is looked for again. */
    uint64_t time_s = 0, shown = atomic_load_explicit(&log->published_size, memory_order_relaxed);
    uint64_t least = best->head.size > shown ? best->head.size : shown;
    if (!span_is(c->origin, log->origin) || c->head.size <= least || c->head.size > log->signed_head.size)
        return;
    cosign_check(log->witnesses, note, have, &time_s);
    if (time_s == 0 || !cosign_quorum(log->witnesses, have))
        return;
    const struct withheld_head *held = withheld_find(&log->withheld, c->head.size);
    if (held != NULL && memcmp(held->head.root, c->head.root, DIGEST_BYTES) == 0) {
        memcpy(best->text, held->text, held->len);
        best->len = held->len;
        best->head = held->head;
    } else if (held == NULL && is_ours(log, c) && own_lines(log, c, best)) {
        best->head = c->head;
    }
}

/* The newest end of cosigned.log; it may begin inside a note, and end in one that is being written. */
static void search(struct audit_log *log, struct span rest, struct cosigned *best)
{
    while (rest.len > 0) {
        struct checkpoint c;
        size_t len = 0;
        if (note_checkpoint_parse(rest, &c, &len) == ERR_NONE && len < rest.len && rest.data[len] == '\n') {
            consider(log, &c, span_first(rest, len), best);
            rest = span_from(rest, len + 1);
        } else {
            rest = span_from(rest, span_find(rest, '\n') + 1);
        }
    }
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* True if there is something that was not looked at yet. */
static bool read_news(struct audit_log *log, char text[static TAIL_BYTES], size_t *out_len)
{
    struct stat st;
    int fd = openat(log->dir, COSIGN_LOG, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t got = -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !is_same(&st, &log->cosigned_seen)) {
        off_t from = st.st_size > (off_t)TAIL_BYTES ? st.st_size - (off_t)TAIL_BYTES : 0;
        got = pread(fd, text, TAIL_BYTES, from);
    }
    close(fd);
    if (got < 0)
        return false;
    log->cosigned_seen = st;
    *out_len = (size_t)got;
    return true;
}

/* What fails is tried again with the next look: no attempt waits for it. */
void withhold_look(struct audit_log *log, uint64_t now)
{
    char text[TAIL_BYTES];
    size_t len = 0;
    struct cosigned best = {.head = {.size = 0}};
    if (log->witnesses == NULL || log->withheld.count == 0 || now - log->withheld_looked_ns < NS_PER_S)
        return;
    log->withheld_looked_ns = now;
    if (read_news(log, text, &len))
        search(log, span_make(text, len), &best);
    if (best.head.size != 0 && give_out(log, &best.head, span_make(best.text, best.len)) != ERR_NONE)
        log->cosigned_seen = (struct stat){0};
}

/* ---- the start ---- */

/* While heads are withheld the log may be handed over to another key: what was given out is signed with the one before. */
bool withhold_signed(const struct audit_log *log, const struct checkpoint *c)
{
    struct rotations rotations;
    if (note_checkpoint_check(c, &log->key))
        return true;
    if (rotations_read(log->keys_dir, &rotations) != ERR_NONE)
        return false;
    const struct note_key *key = rotations_key_at(&rotations, c->head.size);
    bool good = key != NULL && note_checkpoint_check(c, key);
    rotations_free(&rotations);
    return good;
}

/* Heads that wait for witnesses are signed as those of checkpoints.log are, and the entries are held against the newest of
 * all. One that was given out in the last moment is in both. */
enum audit_start withhold_recover(struct audit_log *log, struct tree_head *newest, char *message, size_t cap)
{
    enum err err = withheld_read(log->dir, &log->withheld);
    for (size_t i = 0; err == ERR_NONE && i < log->withheld.count; i++) {
        const struct withheld_head *h = &log->withheld.heads[i];
        struct checkpoint c;
        size_t len = 0;
        if (note_checkpoint_parse(span_make(h->text, h->len), &c, &len) != ERR_NONE ||
            !span_is(c.origin, log->origin) || !withhold_signed(log, &c))
            err = ERR_CORRUPT;
    }
    if (err != ERR_NONE)
        return start_refused(err == ERR_CORRUPT ? AUDIT_START_TAMPERED : AUDIT_START_FAILED, message, cap,
                             WITHHELD_FILE " holds something else than signed checkpoints (%s)", err_text(err));
    log->published = *newest;
    withheld_drop(&log->withheld, newest->size);
    if (log->withheld.count > 0)
        *newest = withheld_newest(&log->withheld)->head;
    return AUDIT_START_OK;
}

/* ---- what others are told ---- */

void withhold_facts(const struct audit_log *log, struct record_event *event)
{
    if (log->witnesses == NULL)
        return;
    int64_t since = since_ms(log), now = clock_wall_ns() / (int64_t)NS_PER_MS;
    event->facts[event->fact_count++] =
        (struct event_fact){.key = "published_size", .is_number = true, .number = log->published.size};
    event->facts[event->fact_count++] = (struct event_fact){
        .key = "publish_lag_ms",
        .is_number = true,
        .number = since == 0 || now <= since ? 0 : (uint64_t)(now - since),
    };
}
