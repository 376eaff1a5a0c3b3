/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of a log: its lock, its small files, its parts. */
#include "log_private.h"

#include "base/clock.h"
#include "logdir.h"
#include "rotations.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define LOG_JSON_MAX 1024
#define LOCK_TRIES   5

enum audit_start start_refused(enum audit_start result, char *message, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(message, cap, format, args);
    va_end(args);
    return result;
}

enum err logdir_read_origin(int dir, char out[static AUDIT_ORIGIN_MAX + 1], uint8_t *out_hash)
{
    char text[LOG_JSON_MAX];
    size_t len = 0;
    enum err err = io_read_file(dir, "log.json", text, sizeof text, &len);
    if (err != ERR_NONE)
        return err;
    struct span origin = leaf_text(span_make(text, len), "origin");
    if (!note_origin_valid(origin))
        return ERR_CORRUPT;
    memset(out, 0, AUDIT_ORIGIN_MAX + 1);
    memcpy(out, origin.data, origin.len);
    digest_once(span_make(text, len), out_hash);
    return ERR_NONE;
}

static void machine_hash(char out[static 17])
{
    uint8_t id[128], digest[DIGEST_BYTES];
    size_t len = 0;
    /* Hashed, since machine-id(5) asks that it be kept to the machine. */
    if (io_read_file(AT_FDCWD, "/etc/machine-id", id, sizeof id, &len) != ERR_NONE || len == 0) {
        random_bytes(id, 32);
        len = 32;
    }
    digest_once(span_make(id, len), digest);
    struct outbuf o = outbuf_make(out, 16);
    outbuf_hex(&o, span_make(digest, 8));
    out[16] = '\0';
}

enum err audit_log_default_origin(const char *dir, char out[static AUDIT_ORIGIN_MAX + 1])
{
    char name[AUDIT_ORIGIN_MAX + 1], hash[17];
    uint8_t unused[DIGEST_BYTES];
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err err = fd < 0 ? ERR_NOT_FOUND : logdir_read_origin(fd, name, unused);
    if (fd >= 0)
        close(fd);
    if (err == ERR_NOT_FOUND) {
        machine_hash(hash);
        snprintf(name, sizeof name, "localhost/egress-audit/%s/1", hash);
    } else if (err != ERR_NONE) {
        return err;
    }
    memcpy(out, name, sizeof name);
    return ERR_NONE;
}

enum err audit_log_name(const char *dir, const char *wanted, char out[static AUDIT_ORIGIN_MAX + 1])
{
    char name[AUDIT_ORIGIN_MAX + 1];
    uint8_t unused[DIGEST_BYTES];
    if (!note_origin_valid(span_text(wanted)))
        return ERR_INVALID;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err err = fd < 0 ? ERR_NOT_FOUND : logdir_read_origin(fd, name, unused);
    if (fd >= 0)
        close(fd);
    if (err == ERR_NONE && strcmp(name, wanted) != 0)
        return ERR_EXISTS;
    if (err != ERR_NONE && err != ERR_NOT_FOUND)
        return err;
    snprintf(out, AUDIT_ORIGIN_MAX + 1, "%s", wanted);
    return ERR_NONE;
}

/* The kernel's boot id as 16 bytes: monotonic times can be compared only within one. */
static void read_boot(uint8_t out[static 16])
{
    char text[64];
    size_t len = 0, at = 0;
    random_bytes(out, 16);
    if (io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text, sizeof text, &len) != ERR_NONE || len < 36)
        return;
    for (size_t i = 0; i < 36 && at < 32; i++) {
        char c = text[i];
        unsigned value = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                : 16;
        if (value > 15)
            continue;
        out[at / 2] = (uint8_t)(at % 2 == 0 ? value << 4 : out[at / 2] | value);
        at++;
    }
}

/* `audit status` looks at the lock for a moment: that is no holder. */
static bool lock_within(int fd)
{
    for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (i == LOCK_TRIES)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 10 * (long)NS_PER_MS}, NULL);
    }
    return true;
}

static enum audit_start take_lock(struct audit_log *log, const char *dir, char *message, size_t cap)
{
    char text[160];
    struct signer_about about;
    signer_about(log->signer, &about);
    log->lock_fd = openat(log->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log->lock_fd < 0)
        return start_refused(AUDIT_START_FAILED, message, cap, "%s/lock: %s", dir, strerror(errno));
    if (!lock_within(log->lock_fd)) {
        ssize_t got = pread(log->lock_fd, text, sizeof text - 1, 0);
        text[got < 0 ? 0 : got] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return start_refused(AUDIT_START_LOCKED, message, cap, "%s is held by another process (%s)", dir, text);
    }
    int len =
        snprintf(text, sizeof text, "pid=%ld boot=%.*s start_ms=%lld signer=%s,%s\n", (long)getpid(), LEAF_UUID_TEXT,
                 (const char *)log->leaf.boot + LEAF_BOOT_AT, (long long)(clock_wall_ns() / NS_PER_MS),
                 about.own_uid ? "own-uid" : "same-uid", about.sealed ? "sealed" : "unsealed");
    if (ftruncate(log->lock_fd, 0) != 0 || pwrite(log->lock_fd, text, (size_t)len, 0) != len)
        return start_refused(AUDIT_START_FAILED, message, cap, "%s/lock: %s", dir, strerror(errno));
    return AUDIT_START_OK;
}

static enum audit_start open_dir(struct audit_log *log, const char *dir, char *message, size_t cap)
{
    struct stat st;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return start_refused(AUDIT_START_FAILED, message, cap, "%s: %s", dir, strerror(errno));
    log->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (log->dir < 0 || fstat(log->dir, &st) != 0)
        return start_refused(AUDIT_START_FAILED, message, cap, "%s: %s", dir, strerror(errno));
    if (st.st_uid != geteuid())
        return start_refused(AUDIT_START_FAILED, message, cap, "%s belongs to uid %u, not to this process (uid %u)",
                             dir, (unsigned)st.st_uid, (unsigned)geteuid());
    if ((st.st_mode & 022) != 0)
        return start_refused(AUDIT_START_FAILED, message, cap, "%s may be written by others", dir);
    return AUDIT_START_OK;
}

static enum audit_start open_parts(struct audit_log *log, const char *dir, char *message, size_t cap)
{
    const struct {
        const char *name;
        int *fd;
    } parts[] = {
        {"segments",   &log->segments_dir  },
        {"hashes",     &log->hashes_dir    },
        {"blobs",      &log->blobs_dir     },
        {"quarantine", &log->quarantine_dir},
        {"keys",       &log->keys_dir      },
        {SNAPSHOT_DIR, &log->index_dir     }
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (io_subdir(log->dir, parts[i].name, parts[i].fd) != ERR_NONE)
            return start_refused(AUDIT_START_FAILED, message, cap, "%s/%s: %s", dir, parts[i].name, strerror(errno));
    log->checkpoints_fd =
        openat(log->dir, "checkpoints.log", O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (log->checkpoints_fd < 0)
        return start_refused(AUDIT_START_FAILED, message, cap, "%s/checkpoints.log: %s", dir, strerror(errno));
    log->reserve_fd = openat(log->dir, "reserve", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return AUDIT_START_OK;
}

static enum err write_log_json(struct audit_log *log)
{
    char text[LOG_JSON_MAX];
    struct outbuf o = outbuf_make(text, sizeof text);
    struct json j = json_make(&o);
    json_open(&j, '{');
    json_key_text(&j, "origin", log->origin);
    json_key_u64(&j, "shard", 1);
    json_key_u64(&j, "format", 1);
    json_key_text(&j, "schema", "OCSF 1.8.0");
    json_key_i64(&j, "created", clock_wall_ns() / NS_PER_MS);
    json_key_text(&j, "program", "sallyport " SALLYPORT_VERSION);
    json_close(&j, '}');
    outbuf_char(&o, '\n');
    return io_replace_file(log->dir, "log.json", outbuf_written(&o), 0644);
}

static bool has_segments(const struct audit_log *log)
{
    struct segment_list list;
    char odd[64];
    if (segment_list(log->segments_dir, &list, odd, sizeof odd) != ERR_NONE)
        return true;
    bool any = list.count > 0;
    segment_list_free(&list);
    return any;
}

static enum err write_vkey(struct audit_log *log)
{
    char line[NOTE_VKEY_MAX + 1];
    int len = snprintf(line, sizeof line, "%s\n", log->vkey);
    return io_replace_file(log->keys_dir, "log.vkey", span_make(line, (size_t)len), 0644);
}

/* A hand-over that ended between the signer's last word and this file. The entries are asked about it later. */
static bool was_handed_over(const struct audit_log *log, struct span vkey)
{
    struct rotations r;
    struct note_key before;
    if (note_key_parse(vkey, &before) != ERR_NONE || rotations_read(log->keys_dir, &r) != ERR_NONE)
        return false;
    const struct rotation *last = r.count > 0 ? &r.rows[r.count - 1] : NULL;
    bool was = last != NULL && note_key_same(&last->before, &before) && note_key_same(&last->after, &log->key);
    rotations_free(&r);
    return was;
}

/* log.json and keys/log.vkey are written once; a log whose entries are there without them was taken apart. */
static enum audit_start identify(struct audit_log *log, const char *dir, char *message, size_t cap)
{
    char there[AUDIT_ORIGIN_MAX + 1], vkey[NOTE_VKEY_MAX];
    uint8_t hash[DIGEST_BYTES];
    size_t len = 0;
    enum err err = logdir_read_origin(log->dir, there, hash);
    if (err == ERR_NOT_FOUND) {
        if (has_segments(log))
            return start_refused(AUDIT_START_TAMPERED, message, cap, "%s has segments and no log.json", dir);
        if (write_log_json(log) != ERR_NONE)
            return start_refused(AUDIT_START_FAILED, message, cap, "%s/log.json: %s", dir, strerror(errno));
        err = logdir_read_origin(log->dir, there, hash);
    }
    if (err != ERR_NONE)
        return start_refused(AUDIT_START_TAMPERED, message, cap, "%s/log.json cannot be read (%s)", dir, err_text(err));
    if (strcmp(there, log->origin) != 0)
        return start_refused(AUDIT_START_FAILED, message, cap, "%s is the log of %s, not of %s", dir, there,
                             log->origin);
    struct outbuf o = outbuf_make(log->log_json_hash, sizeof log->log_json_hash - 1);
    outbuf_hex(&o, span_make(hash, sizeof hash));
    err = io_read_file(log->keys_dir, "log.vkey", vkey, sizeof vkey, &len);
    if (err == ERR_NOT_FOUND) {
        err = write_vkey(log);
    } else if (err == ERR_NONE) {
        while (len > 0 && vkey[len - 1] == '\n')
            len--;
        if (!span_is(span_make(vkey, len), log->vkey) && was_handed_over(log, span_make(vkey, len)))
            err = write_vkey(log);
        else if (!span_is(span_make(vkey, len), log->vkey))
            return start_refused(
                AUDIT_START_ROLLBACK, message, cap,
                "%s was signed with another key than the signer's; the signer's state does not know it", dir);
    }
    if (err != ERR_NONE)
        return start_refused(AUDIT_START_FAILED, message, cap, "%s/keys/log.vkey: %s", dir, err_text(err));
    return AUDIT_START_OK;
}

/* A small disk gets small segments: what is reserved ahead is at most an eighth of what is free. */
static void fit_disk(struct audit_log *log)
{
    struct statvfs fs;
    if (fstatvfs(log->dir, &fs) != 0)
        return;
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    uint64_t most = free_bytes / 8 > BATCH_BYTES ? free_bytes / 8 : BATCH_BYTES;
    if (log->segment_bytes > most)
        log->segment_bytes = most;
    if (log->reserve_bytes > most / 2)
        log->reserve_bytes = most / 2;
    if (log->reserve_fd >= 0)
        log->io->reserve(log->reserve_fd, log->reserve_bytes);
}

enum audit_start logdir_open(struct audit_log *log, const struct audit_log_options *options, char *message, size_t cap)
{
    const char *dir = options->dir;
    uint8_t public_key[ED25519_KEY_BYTES];
    read_boot(log->boot);
    if (!leaf_context_init(&log->leaf, log->origin, log->boot))
        return start_refused(AUDIT_START_FAILED, message, cap, "the origin is too long");
    signer_public(log->signer, public_key);
    if (note_key_make(log->origin, public_key, &log->key) != ERR_NONE)
        return start_refused(AUDIT_START_FAILED, message, cap, "the origin has characters that an origin may not have");
    note_key_format(&log->key, log->vkey);
    enum audit_start result = open_dir(log, dir, message, cap);
    if (result == AUDIT_START_OK)
        result = take_lock(log, dir, message, cap);
    if (result == AUDIT_START_OK)
        result = open_parts(log, dir, message, cap);
    if (result == AUDIT_START_OK)
        result = identify(log, dir, message, cap);
    if (result == AUDIT_START_OK)
        fit_disk(log);
    return result;
}

void logdir_close(struct audit_log *log)
{
    const int fds[] = {log->segments_dir,   log->hashes_dir, log->blobs_dir,  log->quarantine_dir, log->keys_dir,
                       log->checkpoints_fd, log->index_dir,  log->reserve_fd, log->lock_fd,        log->dir};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}
