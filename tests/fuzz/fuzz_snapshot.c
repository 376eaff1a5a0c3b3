/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot is a file that a stranger with the disk may have written: whatever it says, reading it stays in bounds and in
 * linear time, and what it fills a ledger with is what its rows say. Whether it is believed is not asked here: its hash
 * must stand in a signed entry. */
#include "fuzz_check.h"

#include "snapshot.h"

#define ORIGIN "log.test/audit/1"

static size_t count_rows(struct span rows)
{
    size_t count = 0;
    for (size_t i = 0; i < rows.len; i++)
        count += rows.data[i] == '\n';
    return count;
}

static bool lies_within(struct span part, struct span whole)
{
    return part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

static void check_ledger(const struct snapshot *s, const struct ledger *ledger)
{
    size_t bucket = 0, named = 0;
    for (const struct env *env = envs_next(&ledger->envs, &bucket, NULL); env != NULL;
         env = envs_next(&ledger->envs, &bucket, env)) {
        CHECK(env->len > 0 && env->settled > 0 && env->settled == env->last && env->settled_index < s->size);
        named++;
    }
    CHECK(named == ledger->envs.count && named <= count_rows(s->environments));
    CHECK(ledger->open.count <= count_rows(s->flows));
    for (size_t i = 0; i < ledger->open.cap; i++)
        if (ledger->open.rows[i].used)
            CHECK(ledger->open.rows[i].index < s->size && flows_has(&ledger->open, ledger->open.rows[i].id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = span_make(data, size);
    struct snapshot s = {0};
    struct ledger ledger;
    if (!snapshot_parse(bytes, ORIGIN, &s))
        return 0;
    CHECK(s.segment <= s.size && strlen(s.rotated_to) < sizeof s.rotated_to);
    CHECK(lies_within(s.segments, bytes) && lies_within(s.environments, bytes) && lies_within(s.flows, bytes));
    ledger_init(&ledger);
    enum err err = snapshot_fill(&s, &ledger);
    CHECK(err == ERR_NONE || err == ERR_CORRUPT);
    if (err == ERR_NONE)
        check_ledger(&s, &ledger);
    ledger_free(&ledger);
    CHECK(!snapshot_segments_stand(&s, -1)); /* no directory stands for any */
    return 0;
}
