/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz targets share: a check that ends the process, and copies of an exact size. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include "base/assert.h"
#include "base/span.h"

#include <stdlib.h>

#define CHECK(expression) ASSERT(expression)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A heap copy with nothing behind it, so that a sanitizer sees the first byte read past the end. */
static inline struct span exact_copy(struct span s)
{
    uint8_t *copy = malloc(s.len == 0 ? 1 : s.len);
    CHECK(copy != NULL);
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return span_make(copy, s.len);
}

static inline void free_copy(struct span s)
{
    free((void *)(uintptr_t)s.data);
}

#endif
