/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact key: what the hashes of redacted secrets are keyed with. The keys lie in a directory of their own, never in
 * the log: a file a key, named after the second it was made in. A new one is made in each new month (UTC) and whenever
 * there is none; old ones stay until whoever answers for privacy removes them, which makes their hashes unlinkable.
 */
#ifndef AUDIT_REDACT_KEY_H
#define AUDIT_REDACT_KEY_H

#include "base/digest.h"

#define REDACT_KEY_NAME 16 /* "20261121T101500Z" */
#define REDACT_KEY_ID   16 /* digits of its identifier, which tells nothing of it */

struct redact_key {
    char name[REDACT_KEY_NAME + 1];
    char id[REDACT_KEY_ID + 1];
    uint8_t bytes[DIGEST_BYTES];
};

/*
 * The newest key of a directory, or a new one. `dir` must be the caller's and closed to all others, and so the files in
 * it. ERR_DENIED: it is not; ERR_CORRUPT: a file is no key; ERR_IO, ERR_NOT_FOUND. `message` says what and where.
 */
MUST_CHECK enum err redact_key_take(const char *dir, int64_t now_ms, struct redact_key *out, bool *out_made,
                                    char *message, size_t message_cap);

/* All of them, oldest first, for whoever looks a value up; the newest `cap` if there are more. Modes are not judged. */
MUST_CHECK enum err redact_key_all(const char *dir, struct redact_key *out, size_t cap, size_t *out_count,
                                   char *message, size_t message_cap);

#endif
