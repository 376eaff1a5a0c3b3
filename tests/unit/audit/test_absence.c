/* SPDX-License-Identifier: Apache-2.0 */
/* "It never contacted that host": what counts as a contact, in which time, and when it cannot be said at all. */
#include "forge.h"

#include "audit/evidence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct fixture f;

struct row {
    const char *script;
    struct evidence_absence asked;
    enum err err;
    unsigned entries, then, refused, contacts, unknown, first;
};

static void try_row(const struct row *row)
{
    static struct forge g;
    struct evidence *e = NULL;
    char message[128] = "";
    struct evidence_absence a = row->asked;
    a.contacts = a.refused = a.unknown = a.entries = 99; /* what is left over from before does not count */
    forge_log(&g, &f, row->script);
    if (evidence_open(f.dir, NULL, &e, message, sizeof message) != ERR_NONE)
        fail_msg("%s: %s", row->script, message);
    enum err err = evidence_absence(e, &a);
    if (err != row->err)
        fail_msg("%s: %s", row->script, err_text(err));
    if (err == ERR_NONE) {
        unsigned got[] = {(unsigned)a.entries,  (unsigned)a.entries_then, (unsigned)a.refused,
                          (unsigned)a.contacts, (unsigned)a.unknown,      (unsigned)a.first_contact};
        unsigned wanted[] = {row->entries, row->then, row->refused, row->contacts, row->unknown, row->first};
        for (size_t i = 0; i < sizeof got / sizeof got[0]; i++)
            if (got[i] != wanted[i])
                fail_msg("%s: figure %zu is %u, not %u", row->script, i, got[i], wanted[i]);
    }
    evidence_close(e);
    forge_free(&g);
}

#define ASK(name)                                                                                                      \
    {                                                                                                                  \
        .environment = "env-a", .host = "" name ""                                                                     \
    }

static void whole_logs(void **state)
{
    (void)state;
    static const struct row rows[] = {
  /*                                                                          entries then refused contacts unknown first */
        {"start a1 o1 stop !",                            ASK("files.test"), ERR_NONE,      2, 2, 0, 1, 0, 2},
        {"start a1 o1 stop !",                            ASK("other.test"), ERR_NONE,      2, 2, 0, 0, 0, 0},
        {"start a1 o1 stop !",                            ASK("*.test"),     ERR_NONE,      2, 2, 0, 1, 0, 2},
        {"start a1 o1 stop !",                            ASK("FILES.test"), ERR_NONE,      2, 2, 0, 1, 0, 2},
        {"start d1 stop !",                               ASK("files.test"), ERR_NONE,      1, 1, 1, 0, 0, 0},
        {"start a1 r1 stop !",                            ASK("files.test"), ERR_NONE,      2, 2, 1, 0, 0, 0},
        {"start a1 x1 stop !",                            ASK("files.test"), ERR_NONE,      2, 2, 0, 1, 0, 2},
        {"start a1 stop !",                               ASK("files.test"), ERR_NONE,      1, 1, 0, 0, 1, 1},
        {"start a1 t1 stop !",                            ASK("files.test"), ERR_NONE,      2, 2, 0, 0, 1, 1},
        {"start a1 a2 o2 stop !",                         ASK("files.test"), ERR_NONE,      3, 3, 0, 1, 1, 1},
        {"start a2 o2 a1 stop !",                         ASK("files.test"), ERR_NONE,      3, 3, 0, 1, 1, 2},
        {"start a1 o1 a2 o2 a3 x3 d4 stop !",             ASK("files.test"), ERR_NONE,      7, 7, 1, 3, 0, 2},
        {"start A1 O1 a2 r2 stop !",                      ASK("files.test"), ERR_NONE,      2, 2, 1, 0, 0, 0},
        {"start A1 O1 stop !",                            ASK("files.test"), ERR_NOT_FOUND, 0, 0, 0, 0, 0, 0},
        {"start @other.test a1 o1 @files.test d2 stop !", ASK("files.test"), ERR_NONE,      3, 3, 1, 0, 0, 0},
 /* A number that is missing might have said otherwise, wherever it is. */
        {"start gap d1 stop !",                           ASK("files.test"), ERR_CORRUPT,   0, 0, 0, 0, 0, 0},
        {"start d1 d2 gap d3 stop !",                     ASK("other.test"), ERR_CORRUPT,   0, 0, 0, 0, 0, 0},
        {"start d1 GAP D2 stop !",                        ASK("files.test"), ERR_NONE,      1, 1, 1, 0, 0, 0},
        {"start d1 junk stop !",                          ASK("files.test"), ERR_CORRUPT,   0, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        try_row(&rows[i]);
}

/* The attempt decides whether a flow is of the time that was asked for; its outcome may come later. */
static void a_part_of_the_time(void **state)
{
    (void)state;
#define BETWEEN(from, to)                                                                                              \
    {                                                                                                                  \
        .environment = "env-a", .host = "files.test", .from_ms = (from), .to_ms = (to)                                 \
    }
    static const struct row rows[] = {
        {"start =100 a1 o1 =200 d2 =300 d3 stop !",  BETWEEN(0,   0),   ERR_NONE,    4, 4, 2, 1, 0, 2},
        {"start =100 a1 o1 =200 d2 =300 d3 stop !",  BETWEEN(101, 0),   ERR_NONE,    4, 2, 2, 0, 0, 0},
        {"start =100 a1 o1 =200 d2 =300 d3 stop !",  BETWEEN(200, 300), ERR_NONE,    4, 1, 1, 0, 0, 0},
        {"start =100 a1 o1 =200 d2 =300 d3 stop !",  BETWEEN(0,   100), ERR_NONE,    4, 0, 0, 0, 0, 0},
        {"start =100 a1 =900 o1 stop !",             BETWEEN(100, 101), ERR_NONE,    2, 1, 0, 1, 0, 2},
        {"start =100 a1 =900 o1 stop !",             BETWEEN(900, 0),   ERR_NONE,    2, 1, 0, 0, 0, 0},
        {"start =100 a1 o1 =200 gap =300 d3 stop !", BETWEEN(0,   200), ERR_CORRUPT, 0, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        try_row(&rows[i]);
}

static void names_that_are_too_long(void **state)
{
    (void)state;
    static char name[1200];
    memset(name, 'n', sizeof name - 1);
    const struct row rows[] = {
        {"start d1 stop !", {.environment = name, .host = "files.test"}, ERR_NOT_FOUND, 0, 0, 0, 0, 0, 0},
        {"start d1 stop !", {.environment = "env-a", .host = name},      ERR_TOO_BIG,   0, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        try_row(&rows[i]);
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_remove(&f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_logs),
        cmocka_unit_test(a_part_of_the_time),
        cmocka_unit_test(names_that_are_too_long),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
