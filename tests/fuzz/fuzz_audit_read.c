/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever lies in a directory that calls itself a log: reading framing, leaves, checkpoints and keys stays in bounds. */
#include "fuzz_check.h"

#include "frame.h"
#include "leaf.h"
#include "note.h"
#include "open_flows.h"
#include "withheld.h"

static void read_segment(struct span bytes)
{
    struct span entries, leaf;
    struct commit commit;
    size_t len = 0;
    if (frame_batch(bytes, &entries, &commit, &len) == FRAME_DONE) {
        CHECK(len <= bytes.len && entries.len + FRAME_COMMIT_BYTES == len && commit.count > 0);
        uint32_t count = 0;
        while (frame_next(&entries, &leaf)) {
            CHECK(leaf.len >= 2 && leaf.len <= RECORD_LEAF_MAX);
            count++;
        }
        CHECK(count == commit.count);
    }
    size_t at = frame_find_commit(bytes, &commit);
    CHECK(at == bytes.len || at + FRAME_COMMIT_BYTES <= bytes.len);
}

static void read_leaf(struct span bytes)
{
    struct leaf_facts facts;
    if (bytes.len == 0 || !leaf_scan(bytes, &facts))
        return;
    CHECK(facts.unmapped.len <= bytes.len && facts.tenant.len <= bytes.len);
    struct span rest = leaf_text(facts.unmapped, OPEN_FLOWS_KEY);
    uint8_t id[FLOW_ID_BYTES];
    while (open_flows_next(&rest, id))
        continue;
}

static void read_note(struct span bytes)
{
    struct checkpoint checkpoint;
    struct note_key key;
    size_t len = 0;
    if (note_checkpoint_parse(bytes, &checkpoint, &len) == ERR_NONE) {
        CHECK(len <= bytes.len && checkpoint.signatures.len > 0);
        char text[NOTE_TEXT_MAX], origin[NOTE_ORIGIN_MAX + 1] = {0};
        memcpy(origin, checkpoint.origin.data, checkpoint.origin.len);
        struct outbuf o = outbuf_make(text, sizeof text);
        note_body(origin, &checkpoint.head, &o);
        CHECK(span_equal(outbuf_written(&o), checkpoint.body)); /* one spelling for one head */
    }
    if (note_key_parse(bytes, &key) == ERR_NONE) {
        char line[NOTE_VKEY_MAX];
        note_key_format(&key, line);
        CHECK(span_equal(span_first(bytes, strlen(line)), span_text(line)));
    }
}

static void read_withheld(struct span bytes)
{
    static struct withheld list;
    struct checkpoint c;
    size_t len = 0;
    if (withheld_parse(bytes, &list) != ERR_NONE) {
        CHECK(list.count == 0);
        return;
    }
    CHECK(list.count <= WITHHELD_MAX);
    for (size_t i = 0; i < list.count; i++) {
        const struct withheld_head *h = &list.heads[i];
        CHECK(note_checkpoint_parse(span_make(h->text, h->len), &c, &len) == ERR_NONE && len == h->len);
        CHECK(c.head.size == h->head.size && (i == 0 || h[-1].head.size < h->head.size));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = span_make(data, size);
    read_segment(bytes);
    read_leaf(bytes);
    read_note(bytes);
    read_withheld(bytes);
    return 0;
}
