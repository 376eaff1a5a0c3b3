/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idn: Unicode host names of a policy file into A-labels (IDNA 2008, non-transitional, without any mapping: what is not
 * in its canonical spelling already is refused). The one door to libidn2. Requests never come here.
 */
#ifndef POLICY_IDN_H
#define POLICY_IDN_H

#include "wire/hostname.h"

/* ERR_INVALID if it is no such name; out_why (a literal or libidn2's constant text) says what is wrong. */
MUST_CHECK enum err idn_to_hostname(struct span text, struct hostname *out, const char **out_why);

#endif
