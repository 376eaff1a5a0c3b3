/* SPDX-License-Identifier: Apache-2.0 */
/* Heads that are withheld: the list, its bounds and its file. What the writer does with it: test_withhold.c. */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "witness.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err add(struct withheld *w, uint64_t size, unsigned lines, int64_t now_ms)
{
    char text[NOTE_TEXT_MAX];
    struct checkpoint c;
    size_t len = 0;
    struct span note = make_note(text, size, lines);
    assert_int_equal(note_checkpoint_parse(note, &c, &len), ERR_NONE);
    return withheld_add(w, &c, note, now_ms);
}

static void the_newest_are_kept(void **state)
{
    (void)state;
    static struct withheld w;
    w.count = 0;
    assert_null(withheld_newest(&w));
    for (uint64_t i = 1; i <= WITHHELD_MAX; i++)
        assert_int_equal(add(&w, 10 * i, 1, (int64_t)(1000 * i)), ERR_NONE);
    assert_int_equal(w.count, WITHHELD_MAX);
    assert_int_equal(w.heads[0].since_ms, 1000);
    /* One more: the oldest goes, and what covers it has waited for as long. */
    assert_int_equal(add(&w, 1000, 1, 99000), ERR_NONE);
    assert_int_equal(w.count, WITHHELD_MAX);
    assert_int_equal(w.heads[0].head.size, 20);
    assert_int_equal(w.heads[0].since_ms, 1000);
    assert_int_equal(w.heads[1].since_ms, 3000);
    assert_int_equal(withheld_newest(&w)->head.size, 1000);
    assert_null(withheld_find(&w, 10));
    assert_int_equal(withheld_find(&w, 20)->head.root[0], 20);
    assert_int_equal(add(&w, 999, 1, 0), ERR_INVALID);
    assert_int_equal(w.count, WITHHELD_MAX);
    /* The same again changes nothing, with another line it does. */
    assert_int_equal(add(&w, 1000, 1, 100000), ERR_NONE);
    assert_int_equal(withheld_newest(&w)->since_ms, 99000);
    assert_false(withheld_newest(&w)->overlap);
    assert_int_equal(add(&w, 1000, 2, 100000), ERR_NONE);
    assert_true(withheld_newest(&w)->overlap);
    assert_int_equal(withheld_newest(&w)->since_ms, 99000);
    assert_int_equal(w.count, WITHHELD_MAX);
    withheld_drop(&w, 999);
    assert_int_equal(w.count, 1);
    withheld_drop(&w, 1000);
    assert_int_equal(w.count, 0);
}

/* Without them nobody would come from the older key to the newer one. */
static void what_two_keys_signed_is_kept(void **state)
{
    (void)state;
    static struct withheld w;
    w.count = 0;
    assert_int_equal(add(&w, 1, 1, 1), ERR_NONE);
    for (uint64_t i = 0; i < WITHHELD_OVERLAPS_MAX; i++) {
        assert_true(withheld_has_room(&w));
        assert_int_equal(add(&w, 2 + i, 2, 2), ERR_NONE);
    }
    assert_false(withheld_has_room(&w));
    for (uint64_t i = 0; i < 100; i++) /* another of them is like any other, now */
        assert_int_equal(add(&w, 100 + i, i == 3 ? 2 : 1, 3), ERR_NONE);
    assert_int_equal(w.count, WITHHELD_MAX);
    for (uint64_t i = 0; i < WITHHELD_OVERLAPS_MAX; i++)
        assert_int_equal(w.heads[i].head.size, 2 + i);
    assert_int_equal(w.heads[WITHHELD_OVERLAPS_MAX].head.size, 200 - (WITHHELD_MAX - WITHHELD_OVERLAPS_MAX));
    assert_int_equal(w.heads[0].since_ms, 1);
    withheld_drop(&w, 2);
    assert_true(withheld_has_room(&w));
}

static enum err parse(const char *text)
{
    static struct withheld w;
    enum err err = withheld_parse(span_text(text), &w);
    assert_true(err == ERR_NONE || w.count == 0);
    return err;
}

static void a_file_is_read_as_it_was_written(void **state)
{
    (void)state;
    static struct withheld w, back;
    static char text[WITHHELD_BYTES_MAX + 1], longer[2 * WITHHELD_BYTES_MAX];
    size_t len = 0;
    w.count = 0;
    struct fixture f;
    fixture_make(&f);
    assert_int_equal(mkdir(f.dir, 0700), 0);
    int dir = open(f.dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(withheld_read(dir, &back), ERR_NONE); /* no file: none */
    assert_int_equal(back.count, 0);
    for (uint64_t i = 1; i <= WITHHELD_MAX; i++)
        assert_int_equal(add(&w, i, i == 3 ? 2 : 1, (int64_t)(1700000000000 + i)), ERR_NONE);
    assert_int_equal(withheld_write(dir, &w), ERR_NONE);
    assert_int_equal(withheld_read(dir, &back), ERR_NONE);
    assert_int_equal(back.count, WITHHELD_MAX);
    for (size_t i = 0; i < back.count; i++) {
        assert_int_equal(back.heads[i].since_ms, w.heads[i].since_ms);
        assert_int_equal(back.heads[i].overlap, i == 2);
        assert_int_equal(back.heads[i].head.size, i + 1);
        assert_int_equal(back.heads[i].len, w.heads[i].len);
        assert_memory_equal(back.heads[i].text, w.heads[i].text, w.heads[i].len);
    }
    assert_int_equal(io_read_file(dir, WITHHELD_FILE, text, sizeof text - 1, &len), ERR_NONE);
    /* Cut anywhere it is none, but behind a whole head. */
    unsigned whole = 0;
    for (size_t i = 0; i <= len; i++) {
        enum err err = withheld_parse(span_make(text, i), &back);
        assert_true(err == ERR_NONE || err == ERR_CORRUPT);
        whole += err == ERR_NONE;
    }
    assert_int_equal(whole, WITHHELD_MAX + 1);
    /* One head more than there is room for. */
    char note[NOTE_TEXT_MAX];
    struct span more = make_note(note, 1000, 1);
    int n = snprintf(longer, sizeof longer, "%.*ssince 5\n%.*s\n", (int)len, text, (int)more.len, note);
    assert_int_equal(withheld_parse(span_make(longer, (size_t)n), &back), ERR_CORRUPT);
    assert_int_equal(parse(""), ERR_CORRUPT);
    assert_int_equal(parse("sallyport withheld 2\n"), ERR_CORRUPT);
    assert_int_equal(parse("sallyport withheld 1\n"), ERR_NONE);
    assert_int_equal(parse("sallyport withheld 1\n\n"), ERR_CORRUPT);
    assert_int_equal(parse("sallyport withheld 1\nsince 1\nnonsense\n"), ERR_CORRUPT);
    for (unsigned i = 0; i < 3; i++) { /* a time that is none; twice the same size */
        static const char *const since[] = {"since -1", "since ", "since 99999999999999999999"};
        n = snprintf(longer, sizeof longer, "sallyport withheld 1\n%s\n%.*s\n", since[i], (int)more.len, note);
        assert_int_equal(withheld_parse(span_make(longer, (size_t)n), &back), ERR_CORRUPT);
    }
    n = snprintf(longer, sizeof longer, "sallyport withheld 1\nsince 1\n%.*s\nsince 2\n%.*s\n", (int)more.len, note,
                 (int)more.len, note);
    assert_int_equal(withheld_parse(span_make(longer, (size_t)n), &back), ERR_CORRUPT);
    w.count = 0;
    assert_int_equal(withheld_write(dir, &w), ERR_NONE);
    fixture_shell(&f, "test ! -e " WITHHELD_FILE);
    assert_int_equal(withheld_write(dir, &w), ERR_NONE); /* it is not there already */
    fixture_shell(&f, "head -c 100000 /dev/zero > " WITHHELD_FILE);
    assert_int_equal(withheld_read(dir, &back), ERR_CORRUPT);
    close(dir);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_are_kept),
        cmocka_unit_test(what_two_keys_signed_is_kept),
        cmocka_unit_test(a_file_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
