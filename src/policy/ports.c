/* SPDX-License-Identifier: Apache-2.0 */
#include "ports.h"

#include <stdlib.h>

static int by_number(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

struct ports ports_make(struct arena *arena, const uint16_t *list, size_t count)
{
    uint16_t *own = arena_array(arena, count, sizeof *own);
    if (own == NULL)
        return (struct ports){0};
    if (count > 0)
        memcpy(own, list, count * sizeof *own);
    qsort(own, count, sizeof *own, by_number);
    uint32_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || own[kept - 1] != own[i])
            own[kept++] = own[i];
    return (struct ports){.list = own, .count = kept};
}

bool ports_have(const struct ports *ports, uint16_t port)
{
    if (ports->all)
        return true;
    uint32_t low = 0, high = ports->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ports->list[middle] == port)
            return true;
        if (ports->list[middle] < port)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

void ports_print(const struct ports *ports, struct outbuf *out)
{
    if (ports->all)
        outbuf_text(out, "every port");
    else if (ports->count == 0)
        outbuf_text(out, "none");
    for (uint32_t i = 0; i < ports->count && !ports->all; i++) {
        if (i > 0)
            outbuf_text(out, ", ");
        outbuf_u64(out, ports->list[i]);
    }
}
