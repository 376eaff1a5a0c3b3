/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include "audit/record.h"
#include "base/assert.h"
#include "base/cursor.h"
#include "base/outbuf.h"

#define COMMIT_ESCAPE  0xffffu
#define COMMIT_VERSION 1u
#define CHECKED_BYTES  80u
#define CHECKSUM_BYTES 16u
#define LEAF_MIN       2u /* {} */

void frame_commit_put(const struct commit *commit, uint8_t out[static FRAME_COMMIT_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    struct outbuf o = outbuf_make(out, FRAME_COMMIT_BYTES);
    outbuf_be16(&o, COMMIT_ESCAPE);
    outbuf_be16(&o, COMMIT_VERSION);
    outbuf_be32(&o, commit->count);
    outbuf_be64(&o, commit->first);
    outbuf_bytes(&o, commit->root, DIGEST_BYTES);
    outbuf_be64(&o, (uint64_t)commit->wall_ns);
    outbuf_be64(&o, commit->mono_ns);
    outbuf_bytes(&o, commit->boot, sizeof commit->boot);
    digest_once(outbuf_written(&o), digest);
    outbuf_bytes(&o, digest, CHECKSUM_BYTES);
    ASSERT(o.len == FRAME_COMMIT_BYTES && !o.overflow);
}

static bool commit_get(const uint8_t *at, struct commit *out)
{
    uint8_t digest[DIGEST_BYTES];
    digest_once(span_make(at, CHECKED_BYTES), digest);
    if (memcmp(digest, at + CHECKED_BYTES, CHECKSUM_BYTES) != 0)
        return false;
    struct cursor c = cursor_make(span_make(at, FRAME_COMMIT_BYTES));
    struct commit commit;
    bool version = cursor_u16(&c) == COMMIT_ESCAPE && cursor_u16(&c) == COMMIT_VERSION;
    commit.count = cursor_u32(&c);
    commit.first = cursor_u64(&c);
    memcpy(commit.root, cursor_take(&c, DIGEST_BYTES).data, DIGEST_BYTES);
    commit.wall_ns = (int64_t)cursor_u64(&c);
    commit.mono_ns = cursor_u64(&c);
    memcpy(commit.boot, cursor_take(&c, sizeof commit.boot).data, sizeof commit.boot);
    if (!version || commit.count == 0 || commit.first > UINT64_MAX / 2)
        return false;
    *out = commit;
    return true;
}

enum frame_result frame_batch(struct span bytes, struct span *out_entries, struct commit *out_commit, size_t *out_len)
{
    size_t at = 0;
    uint32_t count = 0;
    for (;;) {
        size_t left = bytes.len - at;
        if (left < 2)
            return FRAME_SHORT;
        size_t len = (size_t)bytes.data[at] << 8 | bytes.data[at + 1];
        if (len == COMMIT_ESCAPE)
            break;
        if (len < LEAF_MIN || len > RECORD_LEAF_MAX || at + 2 + len > FRAME_BATCH_MAX)
            return FRAME_BROKEN;
        if (left < 2 + len)
            return FRAME_SHORT;
        at += 2 + len;
        count++;
    }
    if (bytes.len - at < FRAME_COMMIT_BYTES)
        return FRAME_SHORT;
    struct commit commit;
    if (!commit_get(bytes.data + at, &commit) || commit.count != count)
        return FRAME_BROKEN;
    *out_entries = span_first(bytes, at);
    *out_commit = commit;
    *out_len = at + FRAME_COMMIT_BYTES;
    return FRAME_DONE;
}

bool frame_next(struct span *entries, struct span *out_leaf)
{
    if (entries->len < 2)
        return false;
    size_t len = (size_t)entries->data[0] << 8 | entries->data[1];
    ASSERT(2 + len <= entries->len); /* frame_batch() went over it */
    *out_leaf = span_make(entries->data + 2, len);
    *entries = span_from(*entries, 2 + len);
    return true;
}

size_t frame_find_commit(struct span bytes, struct commit *out)
{
    size_t at = 0;
    while (at + FRAME_COMMIT_BYTES <= bytes.len) {
        at += span_find(span_from(bytes, at), 0xff);
        if (at + FRAME_COMMIT_BYTES > bytes.len)
            break;
        const uint8_t *p = bytes.data + at;
        if (p[1] == 0xff && p[2] == 0 && p[3] == COMMIT_VERSION && commit_get(p, out))
            return at;
        at++;
    }
    return bytes.len;
}
