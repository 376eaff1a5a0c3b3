/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact: what of a request may stand in a record. Redaction happens before a record exists: there is no unredacted
 * copy to leak or to erase. A secret becomes "h:" and half of a keyed hash, so that whoever knows it and holds the key
 * can ask whether it was used.
 */
#ifndef WIRE_REDACT_H
#define WIRE_REDACT_H

#include "base/digest.h"
#include "base/outbuf.h"

#define REDACT_TARGET_MAX   320
#define REDACT_NAMES_MAX    192
#define REDACT_UNPARSED_MAX 65
#define REDACT_HASH_TEXT    18 /* "h:" and 16 digits */

/*
 * What an operator calls a secret: a word hides what begins with it, "acme_live_", or, with a '/' at its end, the whole
 * segment behind a segment of that name, "invite/". Words are 3 to 64 of A-Z a-z 0-9 . _ ~ + - (the '/' not counted).
 */
struct redact_words {
    const struct span *words;
    size_t count;
};
#define REDACT_WORDS_MAX 64
bool redact_word_valid(struct span word);

struct redactor {
    struct hmac *hmac; /* NULL: secrets become "***" */
    const struct redact_words *words;
};

/* "h:" and 16 digits, or "***". Gives the length; no NUL. */
size_t redact_hash(const struct redactor *redactor, struct span secret, char out[static REDACT_HASH_TEXT]);

/*
 * A raw target with user-info replaced by "***@", what looks like a secret in the path by its keyed hash, each query
 * value by "***" (a part without '=' counts as a value) and the fragment dropped; at most REDACT_TARGET_MAX - 1 bytes,
 * cut at the end with *out_truncated set. Bytes are copied as they are: the JSON writer escapes them.
 */
void redact_target(const struct redactor *redactor, struct span raw, struct outbuf *out, bool *out_truncated);

/* The path of a target, in the same way, without its query. */
void redact_path(const struct redactor *redactor, struct span path, struct outbuf *out, bool *out_truncated);

/* The names of a query's keys, separated by '&'; at most REDACT_NAMES_MAX - 1 bytes. `path` is that of a target. */
void redact_query_names(const struct redactor *redactor, struct span path, struct outbuf *out, bool *out_truncated);

/*
 * For a target that could not be parsed: at most REDACT_UNPARSED_MAX - 1 bytes, with everything up to the last '@' and
 * from the first '?' or '#' on cut away and secrets as above. `whole` says that its end was seen: without it, an '@'
 * may have been about to come, and what has no path behind it is not shown.
 */
void redact_unparsed(const struct redactor *redactor, struct span raw, bool whole, struct outbuf *out,
                     bool *out_truncated);

#endif
