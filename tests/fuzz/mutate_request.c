/* SPDX-License-Identifier: Apache-2.0 */
#include "mutate_lines.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return mutate_lines(data, size, max_size, seed, 1);
}
