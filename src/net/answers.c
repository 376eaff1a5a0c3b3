/* SPDX-License-Identifier: Apache-2.0 */
#include "answers.h"

static bool says_no(enum dns_result result)
{
    return result == DNS_NODATA || result == DNS_NXDOMAIN;
}

/* Without an address: a family that failed says more than one that has nothing, since it might have had something. */
static enum dns_result worst(const struct dns_addresses *const families[static FAMILIES])
{
    enum dns_result results[FAMILIES];

    for (size_t f = 0; f < FAMILIES; f++) {
        results[f] = families[f] == NULL ? DNS_TIMEOUT : families[f]->result;
    }
    if (!says_no(results[0])) {
        return results[0];
    }
    if (!says_no(results[1])) {
        return results[1];
    }
    return results[0] == DNS_NXDOMAIN && results[1] == DNS_NXDOMAIN ? DNS_NXDOMAIN : DNS_NODATA;
}

void answers_merge(const struct dns_addresses *const families[static FAMILIES], struct answers *out)
{
    out->count = 0;
    /* They take turns until the answer is full, so that neither crowds the other out. */
    for (uint8_t i = 0; i < DNSMSG_ADDRESSES_MAX; i++) {
        for (size_t f = 0; f < FAMILIES; f++) {
            const struct dns_addresses *family = families[f];

            if (family != NULL && family->result == DNS_OK && i < family->count && out->count < ANSWERS_MAX) {
                out->addresses[out->count++] = family->addresses[i];
            }
        }
    }
    out->result = out->count > 0 ? DNS_OK : worst(families);
}
