/* SPDX-License-Identifier: Apache-2.0 */
/* policy_print: one entry of the history, for people and as JSON. */
#ifndef CLI_POLICY_PRINT_H
#define CLI_POLICY_PRINT_H

#include "policy_log.h"

void policy_entry_print(const struct policy_entry *entry);
void policy_entry_json(const struct policy_entry *entry);

#endif
