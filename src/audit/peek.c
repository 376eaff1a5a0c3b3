/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/reader.h"
#include "io.h"
#include "logdir.h"
#include "note.h"
#include "segments.h"
#include "withheld.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof((struct audit_peek *)0)->origin == AUDIT_ORIGIN_MAX + 1, "an origin fits");
_Static_assert(sizeof((struct audit_peek *)0)->vkey == NOTE_VKEY_MAX, "a verifier key fits");

static void peek_signer(struct audit_peek *out)
{
    const char *account = strstr(out->holder, "signer="), *sealed = strstr(out->holder, ",sealed");
    if (account == NULL)
        return;
    bool own = strncmp(account, "signer=own-uid", 14) == 0;
    snprintf(out->signer, sizeof out->signer, "a process %s, %s", own ? "with a uid of its own" : "with the same uid",
             sealed != NULL ? "without network" : "its network not closed");
}

static void peek_lock(int dir, struct audit_peek *out)
{
    int fd = openat(dir, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    /* A shared lock for a moment: a daemon that starts in it would be refused, so it is given back at once. */
    out->held = flock(fd, LOCK_SH | LOCK_NB) != 0;
    ssize_t got = pread(fd, out->holder, sizeof out->holder - 1, 0);
    out->holder[got < 0 ? 0 : got] = '\0';
    out->holder[strcspn(out->holder, "\n")] = '\0';
    peek_signer(out);
    if (!out->held)
        out->holder[0] = '\0';
    close(fd);
}

static void peek_segments(int dir, struct audit_peek *out)
{
    struct segment_list list;
    char odd[64], name[SEGMENT_NAME_LEN + 1];
    struct stat st;
    int segments = openat(dir, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (segments < 0)
        return;
    if (segment_list(segments, &list, odd, sizeof odd) == ERR_NONE) {
        out->segments = list.count;
        for (size_t i = 0; i < list.count; i++) {
            segment_name(list.firsts[i], name);
            if (fstatat(segments, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                out->segment_bytes += (uint64_t)st.st_size;
        }
        segment_list_free(&list);
    }
    close(segments);
}

static void peek_quarantine(int dir, struct audit_peek *out)
{
    int fd = openat(dir, "quarantine", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream))
        out->quarantined += entry->d_name[0] != '.';
    closedir(stream);
}

static void peek_heads(int dir, struct audit_peek *out)
{
    char text[NOTE_TEXT_MAX];
    size_t len = 0, covered = 0;
    struct checkpoint checkpoint;
    struct note_key key;
    struct withheld withheld;
    /* Before `checkpoint`: what is given out leaves the list last. */
    bool listed = withheld_read(dir, &withheld) == ERR_NONE;
    if (io_read_file(dir, "checkpoint", text, sizeof text, &len) == ERR_NONE &&
        note_checkpoint_parse(span_make(text, len), &checkpoint, &covered) == ERR_NONE)
        out->published_size = out->signed_size = checkpoint.head.size;
    if (listed)
        withheld_drop(&withheld, out->published_size);
    if (listed && withheld.count > 0) {
        out->withheld = withheld.count;
        out->withheld_since_ms = withheld.heads[0].since_ms;
        out->signed_size = withheld_newest(&withheld)->head.size;
    }
    int keys = openat(dir, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (keys < 0)
        return;
    if (io_read_file(keys, "log.vkey", text, sizeof text, &len) == ERR_NONE &&
        note_key_parse(span_make(text, len), &key) == ERR_NONE)
        note_key_format(&key, out->vkey);
    close(keys);
}

enum err audit_peek(const char *path, struct audit_peek *out)
{
    struct audit_peek peek = {0};
    uint8_t hash[DIGEST_BYTES];
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return ERR_NOT_FOUND;
    enum err err = logdir_read_origin(dir, peek.origin, hash);
    if (err == ERR_NONE) {
        peek_lock(dir, &peek);
        peek_segments(dir, &peek);
        peek_quarantine(dir, &peek);
        peek_heads(dir, &peek);
        struct audit_reader *reader = NULL;
        if (audit_reader_open(path, 0, &reader) == ERR_NONE)
            peek.entries = audit_reader_durable(reader);
        audit_reader_close(reader);
    }
    close(dir);
    if (err == ERR_NONE)
        *out = peek;
    return err;
}
