/* SPDX-License-Identifier: Apache-2.0 */
/* A line with a regular expression, then lines with names: whatever it is, the cage holds and the answer repeats. */
#include "pattern.h"

#include "fuzz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_make(data, size);
    size_t end = span_find(rest, '\n');
    struct pattern *pattern = NULL;
    char why[200];
    size_t offset = 0;
    enum err err = pattern_compile(span_first(rest, end), &pattern, why, sizeof why, &offset);
    CHECK((err == ERR_NONE) == (pattern != NULL));
    for (unsigned names = 0; pattern != NULL && end < rest.len && names < 16; names++) {
        rest = span_from(rest, end + 1);
        end = span_find(rest, '\n');
        struct hostname name;
        if (hostname_parse(span_first(rest, end), &name) == ERR_NONE)
            CHECK(pattern_match(pattern, &name) == pattern_match(pattern, &name));
    }
    pattern_free(pattern);
    return 0;
}
