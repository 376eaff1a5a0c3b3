/* SPDX-License-Identifier: Apache-2.0 */
#include "idn.h"

#include "policy/policy.h"

#include "base/text.h"

#include <idn2.h>

enum err idn_to_hostname(struct span text, struct hostname *out, const char **out_why)
{
    uint8_t lower[4 * HOSTNAME_MAX + 1];
    *out_why = "the name is too long";
    if (text.len >= sizeof lower)
        return ERR_INVALID;
    for (size_t i = 0; i < text.len; i++)
        lower[i] = text_lower(text.data[i]);
    lower[text.len] = 0;
    uint8_t *ascii = NULL;
    /* Without UTS 46: it would quietly map full-width letters and other dots to the plain ones. */
    int rc = idn2_lookup_u8(lower, &ascii, IDN2_NO_TR46);
    if (rc != IDN2_OK) {
        *out_why = rc == IDN2_NOT_NFC ? "the name is not in Unicode normal form C" : idn2_strerror(rc);
        return ERR_INVALID;
    }
    enum err err = hostname_parse(span_text((const char *)ascii), out);
    idn2_free(ascii);
    *out_why = "its A-label form is not a host name";
    return err;
}

const char *policy_idn2_version(void)
{
    return idn2_check_version(NULL);
}
