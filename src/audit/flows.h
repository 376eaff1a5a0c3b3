/* SPDX-License-Identifier: Apache-2.0 */
/* flows: a set of flow ids that were allowed and have no outcome yet, each with its index and its start of the log. */
#ifndef AUDIT_FLOWS_H
#define AUDIT_FLOWS_H

#include "audit/record.h"
#include "base/hash.h"

struct flow_row {
    uint8_t id[FLOW_ID_BYTES];
    uint64_t index;   /* of the attempt */
    uint32_t session; /* how many log_started entries came before it */
    bool used;
};

struct flows {
    struct flow_row *rows;
    size_t cap, count;
    struct hash_key key; /* drawn with the first row */
};

MUST_CHECK enum err flows_put(struct flows *f, const uint8_t id[static FLOW_ID_BYTES], uint64_t index,
                              uint32_t session);
bool flows_has(const struct flows *f, const uint8_t id[static FLOW_ID_BYTES]);
bool flows_take(struct flows *f, const uint8_t id[static FLOW_ID_BYTES]); /* false: it was not there */
void flows_free(struct flows *f);

#endif
