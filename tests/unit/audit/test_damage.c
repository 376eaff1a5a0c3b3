/* SPDX-License-Identifier: Apache-2.0 */
/* A log that was cut at any byte is recovered or refused; a log with any byte changed is never proven. */
#include "fixture.h"

#include "audit/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT "segments/00000000000000000000.seg"

static struct verify_report report;

static size_t load(const struct fixture *f, const char *name, uint8_t *out, size_t cap)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t got = read(fd, out, cap);
    assert_in_range(got, 0, cap - 1);
    close(fd);
    return (size_t)got;
}

static void store(const struct fixture *f, const char *name, const uint8_t *bytes, size_t len)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    /* Not O_TRUNC: ext4 flushes a file that is closed after it was truncated. */
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    close(fd);
}

static enum verify_result verify(const struct fixture *f)
{
    struct verify_options options = {.dir = f->dir};
    return audit_verify(&options, &report);
}

/* Offset and first index of the last batch. */
static size_t last_batch(const uint8_t *bytes, size_t len, uint64_t *out_first)
{
    size_t at = 0, last = 0, batch_len = 0;
    struct span entries;
    struct commit commit;
    while (frame_batch(span_make(bytes + at, len - at), &entries, &commit, &batch_len) == FRAME_DONE) {
        last = at;
        *out_first = commit.first;
        at += batch_len;
    }
    assert_int_equal(at, len);
    return last;
}

static void cut_at_any_byte_of_the_last_batch(void **state)
{
    (void)state;
    static uint8_t bytes[1u << 20];
    struct fixture f;
    uint64_t first = 0;
    fixture_make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 3);
    fixture_crash(&f);
    size_t len = load(&f, SEGMENT, bytes, sizeof bytes);
    size_t from = last_batch(bytes, len, &first);
    assert_in_range(len - from, 500, 4000);
    fixture_shell(&f, "cp -r . ../copy && cp -r ../signer ../signer.copy");
    for (size_t cut = from; cut <= len; cut++) {
        if (cut > from + 4 && cut < len - 4 && cut != len - FRAME_COMMIT_BYTES && cut % 23 != 0)
            continue; /* every byte at the borders, some of the middle: each is a whole start of a log */
        fixture_shell(&f, "cd .. && rm -rf audit signer && cp -r copy audit && cp -r signer.copy signer");
        store(&f, SEGMENT, bytes, cut);
        assert_int_equal(verify(&f), VERIFY_PROVEN);
        assert_int_equal(report.entries, cut == len ? first + 1 : first);
        enum audit_start result = fixture_open(&f);
        if (result != AUDIT_START_OK)
            fail_msg("cut at %zu of %zu: %s", cut, len, f.message);
        assert_int_equal(audit_log_start(f.log), ERR_NONE);
        fixture_stop(&f);
        assert_int_equal(verify(&f), VERIFY_PROVEN);
        size_t now = load(&f, SEGMENT, bytes + len, sizeof bytes - len);
        assert_memory_equal(bytes + len, bytes, cut == len ? len : from);
        bool torn = cut != from && cut != len;
        assert_int_equal(memmem(bytes + len, now, "\"torn_bytes\":0,", 15) == NULL, torn);
        fixture_shell(&f, torn ? "test $(cat quarantine/*.torn | wc -c) -gt 0" : "test -z \"$(ls quarantine)\"");
        if (torn) {
            char check[200];
            snprintf(check, sizeof check, "h=$(sha256sum quarantine/*.torn | cut -c1-64) && grep -aq $h %s", SEGMENT);
            fixture_shell(&f, check);
        }
    }
    fixture_remove(&f);
}

static void cut_below_a_signed_size_is_refused(void **state)
{
    (void)state;
    static uint8_t bytes[1u << 20];
    struct fixture f;
    uint64_t first = 0;
    fixture_make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 3);
    fixture_stop(&f);
    size_t len = load(&f, SEGMENT, bytes, sizeof bytes);
    size_t from = last_batch(bytes, len, &first);
    for (size_t cut = from; cut < len; cut += 61) {
        store(&f, SEGMENT, bytes, cut);
        assert_int_equal(verify(&f), VERIFY_TAMPERED);
        assert_true(report.has_first_bad);
        assert_int_equal(report.first_bad, first);
        assert_int_equal(fixture_open(&f), AUDIT_START_TAMPERED);
    }
    fixture_remove(&f);
}

/* Index of the entry at `offset`, or of the batch whose commit record lies there. */
static void place_of(const uint8_t *bytes, size_t len, size_t offset, uint64_t *out_entry, uint64_t *out_batch)
{
    uint64_t index = 0;
    *out_batch = 0;
    for (size_t at = 0; at < len;) {
        size_t entry = (size_t)bytes[at] << 8 | bytes[at + 1];
        if (entry == 0xffff) {
            at += FRAME_COMMIT_BYTES;
            *out_entry = index;
            if (offset < at)
                return;
            *out_batch = index;
        } else {
            *out_entry = index;
            at += 2 + entry;
            if (offset < at)
                return;
            index++;
        }
    }
}

static void any_changed_byte_is_found(void **state)
{
    (void)state;
    static uint8_t bytes[1u << 20];
    struct fixture f;
    fixture_make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 2);
    fixture_stop(&f);
    assert_int_equal(verify(&f), VERIFY_PROVEN);
    size_t len = load(&f, SEGMENT, bytes, sizeof bytes);
    for (size_t at = 0; at < len; at++) {
        uint64_t entry = 0, batch = 0;
        place_of(bytes, len, at, &entry, &batch);
        uint8_t kept = bytes[at];
        bytes[at] ^= (uint8_t)(1u << at % 8);
        store(&f, SEGMENT, bytes, len);
        bytes[at] = kept;
        if (verify(&f) != VERIFY_TAMPERED)
            fail_msg("byte %zu of %zu: %d", at, len, (int)report.result);
        assert_true(report.has_first_bad);
        /* A changed text is found to the entry; changed framing to its batch. */
        if (report.first_bad != entry && report.first_bad != batch)
            fail_msg("byte %zu lies in entry %d, verify says %d", at, (int)entry, (int)report.first_bad);
    }
    store(&f, SEGMENT, bytes, len);
    assert_int_equal(verify(&f), VERIFY_PROVEN);
    static const char *const files[] = {"checkpoint", "checkpoints.log", "hashes/0", "log.json", "keys/log.vkey"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        static uint8_t small[65536];
        size_t small_len = load(&f, files[i], small, sizeof small);
        for (size_t at = 0; at < small_len; at++) {
            /* The last newline of a checkpoint, or of a key, may be lost as in a write that was cut short. */
            if (small[at] == '\n' && at + 2 >= small_len)
                continue;
            small[at] ^= 0x04;
            store(&f, files[i], small, small_len);
            small[at] ^= 0x04;
            if (verify(&f) == VERIFY_PROVEN)
                fail_msg("%s: byte %zu of %zu was changed and not found", files[i], at, small_len);
        }
        store(&f, files[i], small, small_len);
        assert_int_equal(verify(&f), VERIFY_PROVEN);
    }
    fixture_remove(&f);
}

/* The bytes of the entries with framing and commit records put right: only the signed head gives it away. */
static void a_deleted_entry_is_found(void **state)
{
    (void)state;
    static uint8_t bytes[1u << 20], forged[1u << 20];
    struct fixture f;
    fixture_make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 4);
    fixture_stop(&f);
    size_t len = load(&f, SEGMENT, bytes, sizeof bytes), at = 0, to = 0;
    struct digest *digest = NULL;
    assert_int_equal(digest_new(&digest), ERR_NONE);
    struct tree tree = {.digest = digest};
    while (at < len) {
        struct span entries, leaf;
        struct commit commit;
        size_t batch_len = 0;
        assert_int_equal(frame_batch(span_make(bytes + at, len - at), &entries, &commit, &batch_len), FRAME_DONE);
        at += batch_len;
        uint32_t count = 0;
        for (uint64_t index = commit.first; frame_next(&entries, &leaf); index++) {
            uint8_t hash[DIGEST_BYTES];
            if (index == 5)
                continue;
            forged[to++] = (uint8_t)(leaf.len >> 8);
            forged[to++] = (uint8_t)leaf.len;
            memcpy(forged + to, leaf.data, leaf.len);
            to += leaf.len;
            tree_leaf_hash(digest, leaf, hash);
            tree_append(&tree, hash, NULL, NULL);
            count++;
        }
        if (count == 0)
            continue;
        commit.first = tree.size - count;
        commit.count = count;
        tree_root(&tree, commit.root);
        frame_commit_put(&commit, forged + to);
        to += FRAME_COMMIT_BYTES;
    }
    digest_free(digest);
    store(&f, SEGMENT, forged, to);
    assert_int_equal(verify(&f), VERIFY_TAMPERED);
    assert_int_equal(fixture_open(&f), AUDIT_START_TAMPERED);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_any_byte_of_the_last_batch),
        cmocka_unit_test(cut_below_a_signed_size_is_refused),
        cmocka_unit_test(any_changed_byte_is_found),
        cmocka_unit_test(a_deleted_entry_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
