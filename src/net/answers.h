/* SPDX-License-Identifier: Apache-2.0 */
/* answers: one answer out of those of the families. Pure. */
#ifndef NET_ANSWERS_H
#define NET_ANSWERS_H

#include "net/resolver.h"

#define FAMILIES 2U /* A, AAAA */

/* Fills result, count and addresses. NULL: that family has not answered. */
void answers_merge(const struct dns_addresses *const families[static FAMILIES], struct answers *out);

#endif
