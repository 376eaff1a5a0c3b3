/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stddef.h>

const char *err_text(enum err err)
{
    static const char *const texts[] = {
#define X(name, text) [name] = text,
        ERR_TABLE(X)
#undef X
    };
    return (size_t)err < sizeof texts / sizeof texts[0] ? texts[err] : "unknown";
}
