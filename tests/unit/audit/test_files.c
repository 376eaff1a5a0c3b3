/* SPDX-License-Identifier: Apache-2.0 */
/* The small files beside a log, as a disk or a stranger may have left them: whole, or refused. */
#include "fixture.h"

#include "rotations.h"
#include "ship_state.h"

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

static struct fixture f;
static int dir = -1;
static struct note_key keys[3];
static char vkeys[3][NOTE_VKEY_MAX];

static void leave(const char *name, const char *text, size_t len)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

/* %1 to %3 are keys. */
static size_t fill(const char *format, char *out)
{
    size_t len = 0;
    for (const char *at = format; *at != '\0'; at++) {
        if (*at == '%') {
            const char *key = vkeys[*++at - '1'];
            memcpy(out + len, key, strlen(key));
            len += strlen(key);
        } else {
            out[len++] = *at;
        }
    }
    return len;
}

static void rotations_are_a_chain(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
        size_t count;
    } rows[] = {
        {"",                            ERR_NONE,    0},
        {"3 %1 %2\n",                   ERR_NONE,    1},
        {"3 %1 %2\n7 %2 %3\n",          ERR_NONE,    2},
        {"3 %1 %2\n7 %2 %1\n",          ERR_NONE,    2},
        {"3 %1 %2",                     ERR_CORRUPT, 0},
        {"3 %1 %2\n\n",                 ERR_CORRUPT, 0},
        {"3 %1 %2\n3 %2 %3\n",          ERR_CORRUPT, 0},
        {"7 %1 %2\n3 %2 %3\n",          ERR_CORRUPT, 0},
        {"3 %1 %2\n7 %1 %3\n",          ERR_CORRUPT, 0},
        {"three %1 %2\n",               ERR_CORRUPT, 0},
        {"-3 %1 %2\n",                  ERR_CORRUPT, 0},
        {"9999999999999999999 %1 %2\n", ERR_CORRUPT, 0},
        {"3\n",                         ERR_CORRUPT, 0},
        {"3 %1\n",                      ERR_CORRUPT, 0},
        {"3 %1 \n",                     ERR_CORRUPT, 0},
        {"3 %1 %2 %3\n",                ERR_CORRUPT, 0},
        {"3 x %2\n",                    ERR_CORRUPT, 0},
        {"3 %1 x\n",                    ERR_CORRUPT, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[2048];
        struct rotations r = {0};
        leave(ROTATIONS_FILE, text, fill(rows[i].text, text));
        enum err err = rotations_read(dir, &r);
        if (err != rows[i].err || r.count != rows[i].count)
            fail_msg("%s: %s, %zu rows", rows[i].text, err_text(err), r.count);
        rotations_free(&r);
    }
}

static void a_size_has_its_key(void **state)
{
    (void)state;
    struct rotations r = {0};
    assert_int_equal(unlinkat(dir, ROTATIONS_FILE, 0), 0);
    assert_int_equal(rotations_read(dir, &r), ERR_NONE); /* no file: none */
    assert_null(rotations_key_at(&r, 5));
    rotations_free(&r);
    assert_int_equal(rotations_add(dir, &(struct rotation){3, keys[0], keys[1]}), ERR_NONE);
    assert_int_equal(rotations_add(dir, &(struct rotation){3, keys[0], keys[1]}), ERR_NONE); /* it stands there */
    assert_int_equal(rotations_add(dir, &(struct rotation){7, keys[1], keys[2]}), ERR_NONE);
    assert_int_equal(rotations_read(dir, &r), ERR_NONE);
    assert_int_equal(r.count, 2);
    static const struct {
        uint64_t size;
        size_t key;
    } rows[] = {
        {0,          0},
        {3,          0},
        {4,          1},
        {7,          1},
        {8,          2},
        {UINT64_MAX, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_true(note_key_same(rotations_key_at(&r, rows[i].size), &keys[rows[i].key]));
    rotations_free(&r);
}

static void there_is_a_last_rotation(void **state)
{
    (void)state;
    size_t len = 0;
    char *text = malloc((ROTATIONS_MAX + 1) * (2u * NOTE_VKEY_MAX + 32u));
    assert_non_null(text);
    for (unsigned i = 1; i <= ROTATIONS_MAX; i++) {
        char line[32];
        snprintf(line, sizeof line, "%u %%1 %%1\n", i);
        len += fill(line, text + len);
    }
    leave(ROTATIONS_FILE, text, len);
    struct rotations r = {0};
    assert_int_equal(rotations_read(dir, &r), ERR_NONE);
    assert_int_equal(r.count, ROTATIONS_MAX);
    rotations_free(&r);
    assert_int_equal(rotations_add(dir, &(struct rotation){5000, keys[0], keys[1]}), ERR_TOO_BIG);
    len += fill("5000 %1 %1\n", text + len);
    leave(ROTATIONS_FILE, text, len);
    assert_int_equal(rotations_read(dir, &r), ERR_CORRUPT);
    free(text);
}

#define HEAD "sallyport shipped 1\n"
#define NAME "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* What the shipping process goes on from. */
static void what_was_shipped(void **state)
{
    (void)state;
    static char long_to[700] = HEAD "to ";
    memset(long_to + strlen(HEAD "to "), 's', 600);
    strcat(long_to, "\n");
    const struct {
        const char *text;
        enum err err;
        uint64_t entries;
        size_t blobs;
    } rows[] = {
        {HEAD,                                             ERR_NONE,    0, 0},
        {HEAD "entries 5\nhead 4\nto a store\n",           ERR_NONE,    5, 0},
        {HEAD "entries 5\nblob " NAME "\nblob " NAME "\n", ERR_NONE,    5, 2},
        {HEAD "entries 5\nsomething 7\n",                  ERR_NONE,    5, 0},
        {HEAD "entries 5\nentries 6",                      ERR_NONE,    5, 0}, /* a line that was cut */
        {"",                                               ERR_CORRUPT, 0, 0},
        {"sallyport shipped 1",                            ERR_CORRUPT, 0, 0},
        {"sallyport shipped 2\nentries 5\n",               ERR_CORRUPT, 0, 0},
        {HEAD "entries -5\n",                              ERR_CORRUPT, 0, 0},
        {HEAD "entries 99999999999999999999\n",            ERR_CORRUPT, 0, 0},
        {HEAD "entries\n",                                 ERR_CORRUPT, 0, 0},
        {HEAD "something else\n",                          ERR_CORRUPT, 0, 0},
        {HEAD "blob 0123\n",                               ERR_CORRUPT, 0, 0},
        {long_to,                                          ERR_CORRUPT, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ship_progress p = {0};
        struct ship_blobs blobs = {0};
        leave(SHIP_STATE_NAME, rows[i].text, strlen(rows[i].text));
        enum err err = ship_state_read(dir, SHIP_STATE_NAME, &p, &blobs);
        if (err != rows[i].err || p.entries != rows[i].entries || blobs.count != rows[i].blobs)
            fail_msg("%s: %s, %zu blobs", rows[i].text, err_text(err), blobs.count);
        assert_int_equal(ship_blobs_has(&blobs, NAME), rows[i].blobs > 0);
        free(blobs.names);
    }
}

/* Who asks for the facts alone gets them however long the list of blobs is. */
static void many_blobs_were_shipped(void **state)
{
    (void)state;
    struct ship_blobs blobs = {0}, again = {0};
    struct ship_progress p = {.entries = 77, .head = 76, .through_ms = 9, .signed_size = 78, .written_ms = 10}, q = {0};
    snprintf(p.to, sizeof p.to, "the store");
    for (unsigned i = 0; i < SHIP_BLOBS_MAX; i++) {
        char name[SHIP_BLOB_LEN + 1];
        snprintf(name, sizeof name, "%064u", i);
        assert_int_equal(ship_blobs_add(&blobs, name), ERR_NONE);
    }
    assert_int_equal(ship_blobs_add(&blobs, NAME), ERR_TOO_BIG);
    assert_int_equal(ship_state_write(dir, SHIP_STATE_NAME, &p, &blobs), ERR_NONE);
    assert_int_equal(ship_read_at(dir, &q), ERR_NONE);
    assert_memory_equal(&q, &p, sizeof p);
    memset(&q, 0, sizeof q);
    assert_int_equal(ship_state_read(dir, SHIP_STATE_NAME, &q, &again), ERR_NONE);
    assert_memory_equal(&q, &p, sizeof p);
    assert_int_equal(again.count, SHIP_BLOBS_MAX);
    assert_memory_equal(again.names, blobs.names, SHIP_BLOBS_MAX * sizeof *blobs.names);
    free(blobs.names);
    free(again.names);
    assert_int_equal(ship_read("/nowhere", &q), ERR_NOT_FOUND);
}

static void only_files_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t cap;
        enum err err;
    } rows[] = {
        {"five",       6, ERR_NONE     },
        {"five",       5, ERR_NONE     },
        {"five",       4, ERR_TOO_BIG  },
        {"five",       0, ERR_TOO_BIG  },
        {"empty",      0, ERR_NONE     },
        {"none",       6, ERR_NOT_FOUND},
        {"link",       6, ERR_DENIED   },
        {"folder",     6, ERR_DENIED   },
        {"pipe",       6, ERR_DENIED   },
        {"five/below", 6, ERR_DENIED   },
    };
    leave("five", "12345", 5);
    leave("empty", "", 0);
    assert_int_equal(symlinkat("five", dir, "link"), 0);
    assert_int_equal(mkdirat(dir, "folder", 0700), 0);
    assert_int_equal(mkfifoat(dir, "pipe", 0600), 0); /* nobody writes: it must not be waited for */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[8];
        size_t len = 99;
        enum err err = io_read_file(dir, rows[i].name, text, rows[i].cap, &len);
        if (err != rows[i].err || len != (err != ERR_NONE ? 99u : rows[i].name[0] == 'f' ? 5u : 0u))
            fail_msg("%s into %zu: %s, %zu", rows[i].name, rows[i].cap, err_text(err), len);
    }
}

static void a_file_is_replaced_whole(void **state)
{
    (void)state;
    char text[8], name[300];
    size_t len = 0;
    int below = -1;
    leave("kept", "old", 3);
    leave(".kept.new", "of a start that was killed", 26);
    assert_int_equal(io_replace_file(dir, "kept", span_text("new!"), 0600), ERR_NONE);
    assert_int_equal(io_read_file(dir, "kept", text, sizeof text, &len), ERR_NONE);
    assert_int_equal(len, 4);
    assert_memory_equal(text, "new!", 4);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(io_replace_file(dir, name, span_text("x"), 0600), ERR_TOO_BIG);
    assert_int_equal(io_replace_file(dir, "folder", span_text("x"), 0600), ERR_IO); /* not in place of a directory */
    assert_int_equal(faccessat(dir, ".folder.new", F_OK, 0), -1);
    assert_int_equal(io_subdir(dir, "folder", &below), ERR_NONE);
    close(below);
    assert_int_equal(io_subdir(dir, "fresh", &below), ERR_NONE);
    assert_int_equal(io_replace_file(below, "x", span_text("x"), 0600), ERR_NONE);
    close(below);
    below = -1;
    assert_int_equal(io_subdir(dir, "five", &below), ERR_DENIED);
    assert_int_equal(io_subdir(dir, "link", &below), ERR_DENIED);
    assert_int_equal(io_subdir(dir, "none/below", &below), ERR_NOT_FOUND);
    assert_int_equal(below, -1);
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f);
    dir = open(f.base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    for (size_t i = 0; i < 3; i++) {
        uint8_t seed[ED25519_KEY_BYTES] = {(uint8_t)(i + 1)}, public_key[ED25519_KEY_BYTES];
        assert_int_equal(ed25519_public(seed, public_key), ERR_NONE);
        assert_int_equal(note_key_make(FIXTURE_ORIGIN, public_key, &keys[i]), ERR_NONE);
        note_key_format(&keys[i], vkeys[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(dir);
    fixture_remove(&f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotations_are_a_chain),    cmocka_unit_test(a_size_has_its_key),
        cmocka_unit_test(there_is_a_last_rotation), cmocka_unit_test(what_was_shipped),
        cmocka_unit_test(many_blobs_were_shipped),  cmocka_unit_test(only_files_are_read),
        cmocka_unit_test(a_file_is_replaced_whole),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
