/* SPDX-License-Identifier: Apache-2.0 */
#include "note.h"
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ORIGIN  "signer.test/log"
#define WAIT_MS 250

static char base[96], dir[128], message[256];

static struct signer *reopen(struct signer *old)
{
    struct signer *s = NULL;
    signer_close(old);
    enum err err = signer_open(dir, ORIGIN, &s, message, sizeof message);
    if (err != ERR_NONE)
        fail_msg("%s", message);
    return s;
}

static enum err refused(const char *origin)
{
    struct signer *s = NULL;
    message[0] = '\0';
    enum err err = signer_open(dir, origin, &s, message, sizeof message);
    assert_null(s);
    assert_true(strlen(message) > 5);
    return err;
}

static enum err sign(struct signer *s, const struct tree_head *head, const uint8_t *proof, size_t count, uint8_t *out)
{
    char text[NOTE_TEXT_MAX];
    struct outbuf o = outbuf_make(text, sizeof text);
    note_body(ORIGIN, head, &o);
    return signer_sign(s, head, proof, count, outbuf_written(&o), WAIT_MS, out);
}

/* Trees of one and two leaves; the proof from the first to the second is the second leaf. */
static void trees(struct tree_head *one, struct tree_head *two, uint8_t *proof)
{
    struct digest *d = NULL;
    assert_int_equal(digest_new(&d), ERR_NONE);
    struct tree t = {.digest = d};
    uint8_t leaf[DIGEST_BYTES];
    tree_leaf_hash(d, span_text("a"), leaf);
    tree_append(&t, leaf, NULL, NULL);
    one->size = 1;
    tree_root(&t, one->root);
    tree_leaf_hash(d, span_text("b"), proof);
    tree_append(&t, proof, NULL, NULL);
    two->size = 2;
    tree_root(&t, two->root);
    digest_free(d);
}

static void signs_only_what_extends_the_last(void **state)
{
    (void)state;
    struct tree_head one, two, last, fork;
    uint8_t proof[DIGEST_BYTES], signature[ED25519_SIGNATURE_BYTES], key[ED25519_KEY_BYTES];
    struct signer *s = reopen(NULL);
    trees(&one, &two, proof);
    signer_last(s, &last);
    assert_int_equal(last.size, 0);
    assert_int_equal(sign(s, &one, NULL, 0, signature), ERR_NONE);
    signer_public(s, key);
    char text[NOTE_TEXT_MAX];
    struct outbuf o = outbuf_make(text, sizeof text);
    note_body(ORIGIN, &one, &o);
    assert_true(ed25519_verify(key, outbuf_written(&o), signature));
    assert_int_equal(sign(s, &one, NULL, 0, signature), ERR_NONE); /* the same head again */
    fork = one;
    fork.root[0] ^= 1;
    assert_int_equal(sign(s, &fork, NULL, 0, signature), ERR_CORRUPT);
    assert_int_equal(sign(s, &two, NULL, 0, signature), ERR_CORRUPT);
    fork = two;
    fork.root[3] ^= 1;
    assert_int_equal(sign(s, &fork, proof, 1, signature), ERR_CORRUPT);
    assert_int_equal(signer_sign(s, &two, proof, 1, outbuf_written(&o), WAIT_MS, signature),
                     ERR_CORRUPT); /* another text */
    s = reopen(s);                 /* what was refused was not remembered; what was signed was */
    signer_last(s, &last);
    assert_int_equal(last.size, 1);
    assert_memory_equal(last.root, one.root, DIGEST_BYTES);
    assert_int_equal(sign(s, &two, proof, 1, signature), ERR_NONE);
    assert_int_equal(sign(s, &one, NULL, 0, signature), ERR_CORRUPT);
    uint8_t again[ED25519_KEY_BYTES];
    s = reopen(s);
    signer_public(s, again);
    assert_memory_equal(key, again, sizeof key);
    signer_close(s);
}

static void refuses_what_others_may_touch(void **state)
{
    (void)state;
    char path[160];
    struct stat st;
    signer_close(reopen(NULL));
    assert_int_equal(refused("other.test/log"), ERR_DENIED);
    assert_int_equal(refused("with space"), ERR_INVALID);
    assert_int_equal(chmod(dir, 0750), 0);
    assert_int_equal(refused(ORIGIN), ERR_DENIED);
    assert_int_equal(chmod(dir, 0700), 0);
    snprintf(path, sizeof path, "%s/log.key", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(refused(ORIGIN), ERR_DENIED);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 30), 0);
    assert_int_equal(refused(ORIGIN), ERR_CORRUPT);
    snprintf(path, sizeof path, "%s/state", dir);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(refused(ORIGIN), ERR_CORRUPT);
}

/* A request that is not answered in time is owed: its answer is taken later, and nothing is asked twice. */
static void a_late_answer_is_kept(void **state)
{
    (void)state;
    struct tree_head one, two, head;
    struct signer_about about;
    uint8_t proof[DIGEST_BYTES], signature[ED25519_SIGNATURE_BYTES], late[ED25519_SIGNATURE_BYTES];
    struct signer *s = reopen(NULL);
    trees(&one, &two, proof);
    signer_about(s, &about);
    assert_true(about.sealed);
    assert_false(about.own_uid);
    assert_int_equal(signer_late(s, 0, &head, late), ERR_NOT_FOUND);
    assert_int_equal(kill(about.pid, SIGSTOP), 0);
    assert_int_equal(sign(s, &one, NULL, 0, signature), ERR_AGAIN);
    assert_int_equal(sign(s, &one, NULL, 0, signature), ERR_AGAIN);
    assert_int_equal(signer_late(s, 0, &head, late), ERR_AGAIN);
    assert_int_equal(kill(about.pid, SIGCONT), 0);
    struct pollfd ready = {.fd = signer_fd(s), .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 10000), 1);
    assert_int_equal(signer_late(s, 0, &head, late), ERR_NONE);
    assert_int_equal(head.size, 1);
    assert_memory_equal(head.root, one.root, DIGEST_BYTES);
    assert_int_equal(sign(s, &one, NULL, 0, signature), ERR_NONE);
    assert_memory_equal(signature, late, sizeof late); /* Ed25519 is deterministic */
    signer_close(s);
}

static void its_death_is_seen(void **state)
{
    (void)state;
    struct tree_head one, two;
    struct signer_about about;
    uint8_t proof[DIGEST_BYTES], signature[ED25519_SIGNATURE_BYTES];
    struct signer *s = reopen(NULL);
    trees(&one, &two, proof);
    signer_about(s, &about);
    assert_false(signer_ended(s));
    assert_int_equal(kill(about.pid, SIGKILL), 0);
    struct pollfd ready = {.fd = signer_fd(s), .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 10000), 1);
    assert_int_equal(sign(s, &one, NULL, 0, signature), ERR_CLOSED);
    assert_true(signer_ended(s));
    assert_int_equal(signer_fd(s), -1);
    s = reopen(s);
    assert_int_equal(sign(s, &one, NULL, 0, signature), ERR_NONE);
    signer_close(s);
}

/* With the memory gone it signs nothing, whatever the other process says; the command line alone can change that. */
static void a_lost_memory_must_be_adopted(void **state)
{
    (void)state;
    struct tree_head one, two, last;
    char path[160];
    uint8_t proof[DIGEST_BYTES], signature[ED25519_SIGNATURE_BYTES];
    struct signer *s = reopen(NULL);
    trees(&one, &two, proof);
    assert_int_equal(sign(s, &one, NULL, 0, signature), ERR_NONE);
    snprintf(path, sizeof path, "%s/state", dir);
    assert_int_equal(unlink(path), 0);
    s = reopen(s);
    assert_int_equal(sign(s, &two, proof, 1, signature), ERR_DENIED);
    signer_close(s);
    struct signer_start start = {.dir = dir, .uid = geteuid(), .gid = getegid(), .adopt = true};
    assert_int_equal(signer_start(&start, &s), ERR_NONE);
    assert_int_equal(signer_load(s, ORIGIN, message, sizeof message), ERR_NONE);
    assert_int_equal(sign(s, &two, NULL, 0, signature), ERR_NONE);
    s = reopen(s);
    signer_last(s, &last);
    assert_int_equal(last.size, 2);
    signer_close(s);
}

/* Started as root it gives that up, and its directory belongs to its own account. */
static void has_an_account_of_its_own(void **state)
{
    (void)state;
    struct stat st;
    struct signer *s = NULL;
    struct signer_about about;
    struct signer_start start = {.dir = dir, .uid = 65534, .gid = 65534};
    if (geteuid() != 0)
        skip();
    assert_int_equal(signer_start(&start, &s), ERR_NONE);
    assert_int_equal(signer_load(s, ORIGIN, message, sizeof message), ERR_NONE);
    signer_about(s, &about);
    assert_int_equal(about.uid, 65534);
    assert_true(about.own_uid);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_uid, 65534);
    assert_int_equal(st.st_mode & 0777, 0700);
    signer_close(s);
    assert_int_equal(refused(ORIGIN), ERR_DENIED); /* root does not go on with files of another account */
}

/* The example of the documentation of Go's sumdb/note package: another program's key and signature. */
static void reads_the_notes_of_others(void **state)
{
    (void)state;
    static const char vkey[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    static const char text[] = "If you think cryptography is the answer to your problem,\n"
                               "then you don't know what your problem is.\n";
    static const char line[] =
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
    struct note_key key;
    uint8_t blob[4 + ED25519_SIGNATURE_BYTES];
    size_t len = 0;
    char back[NOTE_VKEY_MAX];
    assert_int_equal(note_key_parse(span_text(vkey), &key), ERR_NONE);
    note_key_format(&key, back);
    assert_string_equal(back, vkey);
    assert_int_equal(base64_decode(span_text(line), blob, sizeof blob, &len), ERR_NONE);
    assert_memory_equal(blob, key.hash, 4);
    assert_true(ed25519_verify(key.public_key, span_text(text), blob + 4));
    static const char *const bad[] = {
        "",
        "+",
        "PeterNeumann",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(note_key_parse(span_text(bad[i]), &key), ERR_INVALID);
}

static void checkpoints_are_read_strictly(void **state)
{
    (void)state;
    static const char good[] =
        "a.test/log\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\xe2\x80\x94 a.test/log AAAA\n";
    static const char *const bad[] = {
        "a.test/log\n012\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\xe2\x80\x94 a.test/log AAAA\n",
        "a.test/log\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\xe2\x80\x94 a.test/log AAAA\n",
        "a.test/log\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n\n\xe2\x80\x94 a.test/log AAAA\n",
        "a.test/log\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n\n\xe2\x80\x94 a.test/log AAAA\n",
        "a.test/log\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nx\n\n\xe2\x80\x94 a.test/log AAAA\n",
        "a test/log\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\xe2\x80\x94 a.test/log AAAA\n",
    };
    struct checkpoint c;
    size_t len = 0;
    assert_int_equal(note_checkpoint_parse(span_text(good), &c, &len), ERR_NONE);
    assert_int_equal(c.head.size, 12);
    assert_int_equal(len, sizeof good - 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(note_checkpoint_parse(span_text(bad[i]), &c, &len), ERR_CORRUPT);
    for (size_t i = 0; i + 1 < sizeof good - 1; i++)
        assert_int_equal(note_checkpoint_parse(span_make(good, i), &c, &len), ERR_AGAIN);
}

static int setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(base, sizeof base, "%s/signer.XXXXXX", tmp == NULL || strlen(tmp) > 64 ? "/tmp" : tmp);
    if (mkdtemp(base) == NULL)
        return -1;
    snprintf(dir, sizeof dir, "%s/signer", base);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(signs_only_what_extends_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_others_may_touch, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_answer_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(its_death_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_memory_must_be_adopted, setup, teardown),
        cmocka_unit_test_setup_teardown(has_an_account_of_its_own, setup, teardown),
        cmocka_unit_test(reads_the_notes_of_others),
        cmocka_unit_test(checkpoints_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
