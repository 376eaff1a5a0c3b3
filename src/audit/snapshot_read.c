/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a snapshot. Whoever wrote the file is not known before its entry was read: every byte of it is judged. */
#include "snapshot.h"

#include "base/outbuf.h"
#include "base/text.h"
#include "segments.h"
#include "snapshot_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (256u << 20)

static bool take_until(struct span *rest, uint8_t end, struct span *out)
{
    size_t at = span_find(*rest, end);
    if (at == rest->len)
        return false;
    *out = span_first(*rest, at);
    *rest = span_from(*rest, at + 1);
    return true;
}

static bool take_number(struct span *rest, uint8_t end, uint64_t *out)
{
    struct span text;
    return take_until(rest, end, &text) && text_u64(text, UINT64_MAX / 2, out) == ERR_NONE;
}

/* A line with the number of rows, and the rows. */
static bool take_rows(struct span *rest, struct span *out)
{
    struct span row;
    uint64_t count = 0;
    if (!take_number(rest, '\n', &count))
        return false;
    *out = *rest;
    for (uint64_t i = 0; i < count; i++)
        if (!take_until(rest, '\n', &row))
            return false;
    *out = span_first(*out, out->len - rest->len);
    return true;
}

bool snapshot_parse(struct span bytes, const char *origin, struct snapshot *s)
{
    struct span rest = bytes;
    struct span head, name, key;
    if (!take_until(&rest, '\n', &head) || !span_is(head, SNAPSHOT_HEAD) || !take_until(&rest, '\n', &name) ||
        !span_is(name, origin))
        return false;
    if (!take_number(&rest, '\n', &s->size) || !take_number(&rest, '\n', &s->segment) ||
        !take_number(&rest, '\n', &s->offset) || !take_number(&rest, '\n', &s->rotated_at) ||
        !take_until(&rest, '\n', &key) || key.len >= sizeof s->rotated_to)
        return false;
    if (key.len > 0)
        memcpy(s->rotated_to, key.data, key.len);
    s->rotated_to[key.len] = '\0';
    return take_rows(&rest, &s->segments) && take_rows(&rest, &s->environments) && take_rows(&rest, &s->flows) &&
           rest.len == 0 && s->segment <= s->size;
}

static enum err read_bytes(int fd, struct snapshot *s, size_t *out_len)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return ERR_IO;
    if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > (off_t)FILE_MAX)
        return ERR_CORRUPT;
    size_t want = (size_t)st.st_size, have = 0;
    s->bytes = malloc(want);
    if (s->bytes == NULL)
        return ERR_NO_MEMORY;
    while (have < want) {
        ssize_t got = read(fd, s->bytes + have, want - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? ERR_IO : ERR_CORRUPT;
        have += (size_t)got;
    }
    *out_len = have;
    return ERR_NONE;
}

enum err snapshot_read(int dir, unsigned number, const char *origin, struct snapshot *out)
{
    char name[SNAPSHOT_NAME];
    uint8_t hash[DIGEST_BYTES];
    size_t len = 0;
    *out = (struct snapshot){0};
    snapshot_name(number, name);
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    enum err err = read_bytes(fd, out, &len);
    close(fd);
    if (err == ERR_NONE && !snapshot_parse(span_make(out->bytes, len), origin, out))
        err = ERR_CORRUPT;
    if (err != ERR_NONE) {
        snapshot_free(out);
        return err;
    }
    digest_once(span_make(out->bytes, len), hash);
    struct outbuf o = outbuf_make(out->hash, sizeof out->hash - 1);
    outbuf_hex(&o, span_make(hash, sizeof hash));
    out->hash[2 * DIGEST_BYTES] = '\0';
    return ERR_NONE;
}

void snapshot_free(struct snapshot *s)
{
    free(s->bytes);
    *s = (struct snapshot){0};
}

static enum err fill_environments(struct span rows, uint64_t size, struct envs *envs)
{
    while (rows.len > 0) {
        uint64_t number = 0, index = 0;
        struct span name;
        if (!take_number(&rows, '/', &number) || !take_number(&rows, '/', &index) || !take_until(&rows, '\n', &name) ||
            name.len == 0 || number == 0 || index >= size)
            return ERR_CORRUPT;
        struct env *env = envs_find(envs, name);
        if (env == NULL)
            return ERR_NO_MEMORY;
        env->settled = env->last = number;
        env->settled_index = env->index = index;
    }
    return ERR_NONE;
}

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum err fill_flows(struct span rows, uint64_t size, struct flows *flows)
{
    while (rows.len > 0) {
        uint64_t index = 0;
        struct span hex;
        uint8_t id[FLOW_ID_BYTES];
        if (!take_number(&rows, '/', &index) || !take_until(&rows, '\n', &hex) || hex.len != 2 * sizeof id ||
            index >= size)
            return ERR_CORRUPT;
        for (size_t i = 0; i < sizeof id; i++) {
            int high = digit(hex.data[2 * i]), low = digit(hex.data[2 * i + 1]);
            if (high < 0 || low < 0)
                return ERR_CORRUPT;
            id[i] = (uint8_t)(high << 4 | low);
        }
        enum err err = flows_put(flows, id, index, 0);
        if (err != ERR_NONE)
            return err;
    }
    return ERR_NONE;
}

enum err snapshot_fill(const struct snapshot *s, struct ledger *ledger)
{
    enum err err = fill_environments(s->environments, s->size, &ledger->envs);
    return err == ERR_NONE ? fill_flows(s->flows, s->size, &ledger->open) : err;
}

static bool row_stands(struct span *rows, int dir, uint64_t first, bool own)
{
    uint64_t named = 0, bytes = 0;
    char name[SEGMENT_NAME_LEN + 1];
    struct stat st;
    segment_name(first, name);
    return take_number(rows, '/', &named) && take_number(rows, '\n', &bytes) && named == first &&
           fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (own || (uint64_t)st.st_size >= bytes);
}

bool snapshot_segments_stand(const struct snapshot *s, int segments_dir)
{
    struct segment_list list;
    struct span rows = s->segments;
    char odd[64];
    if (segment_list(segments_dir, &list, odd, sizeof odd) != ERR_NONE)
        return false;
    size_t i = 0;
    bool stand = true;
    for (; stand && i < list.count && list.firsts[i] <= s->segment; i++)
        stand = row_stands(&rows, segments_dir, list.firsts[i], list.firsts[i] == s->segment);
    stand = stand && rows.len == 0 && i > 0 && list.firsts[i - 1] == s->segment;
    segment_list_free(&list);
    return stand;
}
