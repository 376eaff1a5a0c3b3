/* SPDX-License-Identifier: Apache-2.0 */
#include "open_flows.h"

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool open_flows_next(struct span *list, uint8_t out[static FLOW_ID_BYTES])
{
    if (list->len > 0 && list->data[0] == ' ')
        *list = span_from(*list, 1);
    if (list->len < 2 * FLOW_ID_BYTES)
        return false;
    for (size_t i = 0; i < FLOW_ID_BYTES; i++) {
        int high = hex(list->data[2 * i]), low = hex(list->data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    *list = span_from(*list, 2 * FLOW_ID_BYTES);
    return true;
}
