/* SPDX-License-Identifier: Apache-2.0 */
/* The table of names, against a slow and simple one; and that a large one costs a question no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define ITEMS 3000

struct entry {
    enum name_kind kind;
    bool wild;
    char name[40];
};

static uint32_t seed = 1;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* Few labels of few letters, so that much is below much. */
static void draw_name(char *out, size_t cap)
{
    static const char *const labels[] = {"a", "b", "c", "aa", "ab", "test", "x-y"};
    size_t len = 0;
    for (uint32_t i = 0, count = 1 + draw(5); i < count; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s%s", i == 0 ? "" : ".", labels[draw(7)]);
}

static bool is_below(const char *name, const char *suffix)
{
    size_t a = strlen(name), b = strlen(suffix);
    return a > b + 1 && name[a - b - 1] == '.' && strcmp(name + a - b, suffix) == 0;
}

/* The first of the most specific that match. */
static int slow_find(const struct entry *entries, enum name_kind kind, const char *name)
{
    int best = -1;
    size_t best_len = 0;
    for (int i = 0; i < ITEMS; i++) {
        const struct entry *e = &entries[i];
        if (e->kind != kind)
            continue;
        if (!e->wild && strcmp(e->name, name) == 0 && best_len < 1000) {
            best = i;
            best_len = 1000;
        } else if (e->wild && is_below(name, e->name) && strlen(e->name) > best_len) {
            best = i;
            best_len = strlen(e->name);
        }
    }
    return best;
}

static void test_against_slow(void **state)
{
    (void)state;
    static struct entry entries[ITEMS];
    static const enum name_kind kinds[] = {NAME_ALLOWED, NAME_DENIED, NAME_FILE, NAME_ENTRY};
    struct names names;
    names_init(&names);
    for (int i = 0; i < ITEMS; i++) {
        entries[i].kind = kinds[draw(4)];
        entries[i].wild = draw(3) == 0;
        draw_name(entries[i].name, sizeof entries[i].name);
        assert_int_equal(names_add(&names, entries[i].kind, entries[i].wild,
                                   span_make(entries[i].name, strlen(entries[i].name)), (uint32_t)i, 0),
                         ERR_NONE);
    }
    assert_int_equal(names_seal(&names), ERR_NONE);
    for (int i = 0; i < 20000; i++) {
        char text[40];
        struct hostname host;
        struct name_hit hits[NAME_KINDS];
        draw_name(text, sizeof text);
        assert_int_equal(hostname_parse(span_text(text), &host), ERR_NONE);
        names_find(&names, &host, false, hits);
        for (size_t k = 0; k < 4; k++) {
            int wanted = slow_find(entries, kinds[k], text);
            const struct name_hit *hit = &hits[kinds[k]];
            assert_int_equal(hit->item == 0 ? -1 : (int)names.items[hit->item - 1].value, wanted);
            if (wanted >= 0)
                assert_int_equal(hit->exact, !entries[wanted].wild);
        }
        assert_int_equal(hits[NAME_GROUP].item, 0);
    }
    names_clear(&names);
}

static void test_lookup(void **state)
{
    (void)state;
    struct names names;
    struct hostname host;
    struct name_hit hits[NAME_KINDS];
    names_init(&names);
    assert_int_equal(names_lookup(&names, NAME_ALLOWED, false, span_text("a.test")), 0);
    assert_int_equal(hostname_parse(span_text("a.test"), &host), ERR_NONE);
    names_find(&names, &host, false, hits); /* an empty table answers nothing */
    assert_int_equal(hits[NAME_ALLOWED].item, 0);
    assert_int_equal(names_add(&names, NAME_ALLOWED, true, span_text("a.test"), 7, 0), ERR_NONE);
    assert_int_equal(names_add(&names, NAME_ALLOWED, true, span_text("a.test"), 8, 0), ERR_NONE);
    assert_int_equal(names_seal(&names), ERR_NONE);
    assert_int_equal(names_lookup(&names, NAME_ALLOWED, true, span_text("a.test")), 1);
    assert_int_equal(names_lookup(&names, NAME_ALLOWED, false, span_text("a.test")), 0);
    assert_int_equal(names_lookup(&names, NAME_DENIED, true, span_text("a.test")), 0);
    assert_true(span_is(names_whole(&names, 0), "*.a.test"));
    names_clear(&names);
}

/* What a group's wildcard leaves out takes nothing else away. */
static void test_except(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        int group;
    } rows[] = {
        {"x.a.test",      1 },
        {"no.a.test",     -1},
        {"y.no.a.test",   -1},
        {"yes.no.a.test", 2 },
        {"other.a.test",  1 }
    };
    struct names names;
    names_init(&names);
    assert_int_equal(names_add(&names, NAME_GROUP_EXCEPT, false, span_text("no.a.test"), 1, 0), ERR_NONE);
    assert_int_equal(names_add(&names, NAME_GROUP_EXCEPT, true, span_text("no.a.test"), 1, 0), ERR_NONE);
    assert_int_equal(names_add(&names, NAME_GROUP_EXCEPT, false, span_text("other.a.test"), 5, 0), ERR_NONE);
    assert_int_equal(names_add(&names, NAME_GROUP, true, span_text("a.test"), 1, 0), ERR_NONE);
    assert_int_equal(names_add(&names, NAME_GROUP, false, span_text("yes.no.a.test"), 2, 0), ERR_NONE);
    assert_int_equal(names_seal(&names), ERR_NONE);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hostname host;
        struct name_hit hits[NAME_KINDS];
        assert_int_equal(hostname_parse(span_text(rows[i].host), &host), ERR_NONE);
        names_find(&names, &host, false, hits);
        const struct name_hit *hit = &hits[NAME_GROUP];
        assert_int_equal(hit->item == 0 ? -1 : (int)names.items[hit->item - 1].value, rows[i].group);
    }
    names_clear(&names);
}

/* Two hundred thousand names: each is found, and its neighbours are not. */
static void test_large(void **state)
{
    (void)state;
    struct names names;
    names_init(&names);
    const uint32_t count = 200000;
    assert_int_equal(names_reserve(&names, count, count * 24u), ERR_NONE);
    for (uint32_t i = 0; i < count; i++) {
        char text[40];
        int len = snprintf(text, sizeof text, "host-%u.example%u.test", i, i % 97);
        assert_int_equal(names_add(&names, NAME_FILE, false, span_make(text, (size_t)len), i, 0), ERR_NONE);
    }
    assert_int_equal(names_seal(&names), ERR_NONE);
    for (uint32_t i = 0; i < count; i += 7) {
        char text[40];
        struct hostname host;
        struct name_hit hits[NAME_KINDS];
        snprintf(text, sizeof text, "host-%u.example%u.test", i, i % 97);
        assert_int_equal(hostname_parse(span_text(text), &host), ERR_NONE);
        names_find(&names, &host, false, hits);
        assert_int_equal(hits[NAME_FILE].item, i + 1);
        snprintf(text, sizeof text, "host-%u.example%u.test", i, (i + 1) % 97);
        assert_int_equal(hostname_parse(span_text(text), &host), ERR_NONE);
        names_find(&names, &host, false, hits);
        assert_int_equal(hits[NAME_FILE].item, 0);
    }
    names_clear(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_slow),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_except),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests_name("policy: the table of names", tests, NULL, NULL);
}
