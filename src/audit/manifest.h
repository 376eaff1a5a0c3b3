/* SPDX-License-Identifier: Apache-2.0 */
/* manifest: the rows of an env_manifest entry, "env_seq/index/name", one a line, as they stand inside its JSON string. */
#ifndef AUDIT_MANIFEST_H
#define AUDIT_MANIFEST_H

#include "base/outbuf.h"
#include "envs.h"

#define MANIFEST_KEY      "environments"
#define MANIFEST_NAME_MAX 1024 /* of a name as it stands in a leaf */
#define MANIFEST_PART     2048 /* a part ends with the row that passes this */
#define MANIFEST_PART_MAX (MANIFEST_PART + MANIFEST_NAME_MAX + 64)

struct manifest_row {
    uint64_t env_seq, index;
    struct span name; /* in `text` */
    char text[MANIFEST_NAME_MAX];
};

void manifest_put(const struct env *env, struct outbuf *out);
/* Takes the first row off `list`; false at its end, and *out_bad when it is none. */
bool manifest_next(struct span *list, struct manifest_row *out, bool *out_bad);

#endif
