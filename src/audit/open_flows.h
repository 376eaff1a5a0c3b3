/* SPDX-License-Identifier: Apache-2.0 */
/* open flows: the list of flow ids in an open_flows entry, hexadecimal with a space between. */
#ifndef AUDIT_OPEN_FLOWS_H
#define AUDIT_OPEN_FLOWS_H

#include "audit/record.h"

#define OPEN_FLOWS_KEY      "flows"
#define OPEN_FLOWS_AN_ENTRY 190 /* 33 bytes each: below RECORD_LEAF_MAX with the rest of the leaf */

bool open_flows_next(struct span *list, uint8_t out[static FLOW_ID_BYTES]);

#endif
