/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mutator that knows lines: one is doubled, taken out, moved, put in from a list of those that matter, or changed inside
 * by libFuzzer's own mutations. `skip` bytes at the start are the target's own and are changed like any others.
 */
#ifndef FUZZ_MUTATE_LINES_H
#define FUZZ_MUTATE_LINES_H

#include <stddef.h>
#include <stdint.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

size_t mutate_lines(uint8_t *data, size_t size, size_t max_size, unsigned seed, size_t skip);

#endif
