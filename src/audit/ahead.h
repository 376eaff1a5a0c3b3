/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ahead: the batches of a segment with the hashes of their leaves, which are computed ahead of whoever asks: by helper
 * threads if the machine has cores for them, else when they are asked for. Batches come in order, and all that is
 * judged is judged by the asking thread.
 */
#ifndef AUDIT_AHEAD_H
#define AUDIT_AHEAD_H

#include "segments.h"

struct ahead;

MUST_CHECK enum err ahead_new(struct ahead **out);
void ahead_free(struct ahead *a); /* NULL is allowed; ends the helpers */

/* From `offset`, where a batch begins, in the file `fd` on, which is borrowed until the next call of this or ahead_free(). */
void ahead_begin(struct ahead *a, int fd, uint64_t offset);

/*
 * As segment_next(); `out->entries` and `*out_hashes`, one a leaf, are valid until the next call. SEGMENT_FAILED also
 * without memory (errno is ENOMEM).
 */
enum segment_result ahead_next(struct ahead *a, struct batch *out, const uint8_t (**out_hashes)[DIGEST_BYTES]);

#endif
