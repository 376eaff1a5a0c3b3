/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": the word of a table that is nearest to one that is in none. */
#include "schema.h"

#include "base/text.h"

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein distance in one row of memory; words longer than SCHEMA_WORD_MAX are far from everything. */
static size_t distance(struct span a, struct span b)
{
    size_t row[SCHEMA_WORD_MAX + 1];
    if (a.len > SCHEMA_WORD_MAX || b.len > SCHEMA_WORD_MAX)
        return SCHEMA_WORD_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 0; i < a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.len; j++) {
            size_t swap = diagonal + (text_lower(a.data[i]) != text_lower(b.data[j]));
            diagonal = row[j + 1];
            row[j + 1] = least(swap, 1 + least(row[j], row[j + 1]));
        }
    }
    return row[b.len];
}

void schema_nearer(struct span word, struct span candidate, struct span *best, size_t *best_distance)
{
    size_t d = distance(word, candidate);
    if (d < *best_distance && d <= 1 + candidate.len / 4) {
        *best = candidate;
        *best_distance = d;
    }
}

struct span schema_nearest(struct span word, const char *words)
{
    struct span best = {0};
    size_t best_distance = SCHEMA_WORD_MAX;
    for (struct span rest = span_text(words); rest.len > 0;) {
        size_t end = span_find(rest, ' ');
        schema_nearer(word, span_first(rest, end), &best, &best_distance);
        rest = span_from(rest, end + 1);
    }
    return best;
}
