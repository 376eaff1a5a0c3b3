/* SPDX-License-Identifier: Apache-2.0 */
/* reply_text: the sentences of a refusal, each bounded whatever goes into it. */
#ifndef WIRE_REPLY_TEXT_H
#define WIRE_REPLY_TEXT_H

#include "wire/reply.h"

#define REPLY_PHRASE_MAX 120 /* most clients print the reason phrase and nothing else */
#define REPLY_ERROR_MAX  1152

/* "policy: this host is not allowed: attacker.test (request 0f3c…)", printable ASCII, at most REPLY_PHRASE_MAX. */
void reply_phrase(struct outbuf *out, const struct refusal *refusal);

/* The text of "error" in the body: the phrase's sentence, what kind of refusal it is, and whom to ask. */
void reply_error(struct outbuf *out, const struct refusal *refusal);

/* The given hint cut to a bounded number of bytes, or a general sentence. */
struct span reply_hint(const struct refusal *refusal);

/* The longest start of `s` whose JSON form needs at most `max` bytes. */
struct span reply_json_bounded(struct span s, size_t max);

/* The request id if it is one, else empty. */
struct span reply_request_id(const struct refusal *refusal);

/* RFC 9209 2.3: the proxy error type that fits. */
const char *reply_proxy_error(enum reason reason);

#endif
