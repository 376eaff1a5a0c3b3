/* SPDX-License-Identifier: Apache-2.0 */
#include "suffix.h"

#include "policy/policy.h"

#include <libpsl.h>

enum suffix_class suffix_classify(const struct hostname *domain)
{
    /* The list that is compiled into the library: a file of the system would make the same policy mean different
     * things on different machines. A library without one leaves the rule for single labels. */
    const psl_ctx_t *psl = psl_builtin();
    if (memchr(domain->bytes, '.', domain->len) == NULL)
        return SUFFIX_PUBLIC;
    if (psl == NULL)
        return SUFFIX_NONE;
    if (psl_is_public_suffix2(psl, domain->bytes, PSL_TYPE_ICANN | PSL_TYPE_NO_STAR_RULE) != 0)
        return SUFFIX_PUBLIC;
    if (psl_is_public_suffix2(psl, domain->bytes, PSL_TYPE_PRIVATE | PSL_TYPE_NO_STAR_RULE) != 0)
        return SUFFIX_SHARED;
    return SUFFIX_NONE;
}

const char *policy_psl_version(void)
{
    return psl_get_version();
}
