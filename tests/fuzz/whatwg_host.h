/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host parser of the URL standard (url.spec.whatwg.org, "host parsing"), as it says it, for inputs without brackets:
 * a reference that our grammar must never be laxer than. Two things are left out: names that are not ASCII after
 * percent-decoding count as failures, since we never take them, and A-labels are not decoded, since we never decode them.
 */
#ifndef FUZZ_WHATWG_HOST_H
#define FUZZ_WHATWG_HOST_H

#include "base/span.h"

enum whatwg { WHATWG_FAILURE, WHATWG_DOMAIN, WHATWG_IPV4 };

#define WHATWG_MAX 1024

/* For a domain, the lower-cased text in `out`. */
enum whatwg whatwg_host(struct span raw, char out[static WHATWG_MAX], size_t *out_len);

#endif
