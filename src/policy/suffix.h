/* SPDX-License-Identifier: Apache-2.0 */
/* suffix: is a domain one under which strangers register names? The one door to libpsl. */
#ifndef POLICY_SUFFIX_H
#define POLICY_SUFFIX_H

#include "wire/hostname.h"

enum suffix_class {
    SUFFIX_NONE,   /* below it there is one owner, as far as the list knows */
    SUFFIX_PUBLIC, /* a registry's: com, co.uk, any single label */
    SUFFIX_SHARED, /* a company gives names below it to its customers */
};

enum suffix_class suffix_classify(const struct hostname *domain);

#endif
