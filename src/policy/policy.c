/* SPDX-License-Identifier: Apache-2.0 */
#include "inside.h"

#include "base/assert.h"

#include <stdlib.h>

struct policy *policy_ref(struct policy *policy)
{
    unsigned before = atomic_fetch_add_explicit(&policy->references, 1, memory_order_relaxed);
    ASSERT(before > 0 && before < UINT32_MAX / 2);
    return policy;
}

static void policy_free(struct policy *policy)
{
    for (uint32_t i = 0; i < policy->allow_patterns.count; i++)
        pattern_free(policy->allow_patterns.at[i].pattern);
    for (uint32_t i = 0; i < policy->deny_patterns.count; i++)
        pattern_free(policy->deny_patterns.at[i].pattern);
    names_clear(&policy->names);
    arena_clear(&policy->arena);
    free(policy);
}

void policy_unref(struct policy *policy)
{
    if (policy == NULL)
        return;
    unsigned before = atomic_fetch_sub_explicit(&policy->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1)
        policy_free(policy);
}

const char *policy_id(const struct policy *policy)
{
    return policy->id;
}

struct span policy_name(const struct policy *policy)
{
    return policy->name;
}

bool policy_is_limited(const struct policy *policy)
{
    return policy->limited;
}

int64_t policy_observes_until_ms(const struct policy *policy)
{
    return policy->observes_until_ms;
}

const struct limits *policy_limits(const struct policy *policy)
{
    return &policy->limits;
}

struct span policy_denial_hint(const struct policy *policy)
{
    return policy->denial_hint;
}

const struct policy_file *policy_files(const struct policy *policy, size_t *out_count)
{
    *out_count = policy->read.count;
    return policy->read.at;
}

struct span policy_source_text(const struct policy *policy, size_t index)
{
    return index < 2 ? policy->texts[index] : span_make(NULL, 0);
}

size_t policy_environment_id_count(const struct policy *policy)
{
    return policy->environment_ids.count;
}

struct span policy_environment_id(const struct policy *policy, size_t index)
{
    return index < policy->environment_ids.count ? policy->environment_ids.at[index] : span_make(NULL, 0);
}
