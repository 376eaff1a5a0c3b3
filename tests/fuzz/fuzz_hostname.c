/* SPDX-License-Identifier: Apache-2.0 */
/* A host name parses to something that holds its promises and parses to itself, and that a browser's URL parser reads as
 * the same domain: what it would refuse or take for an address, we refuse. */
#include "fuzz_check.h"
#include "whatwg_host.h"

#include "base/text.h"
#include "wire/hostname.h"
#include "wire/ipaddr.h"

#include <arpa/inet.h>

static void check_promises(const struct hostname *name)
{
    CHECK(name->len >= 1 && name->len <= HOSTNAME_MAX && name->bytes[name->len] == '\0');
    CHECK(strlen(name->bytes) == name->len);
    size_t label = 0;
    for (size_t i = 0; i <= name->len; i++) {
        char c = i == name->len ? '.' : name->bytes[i];
        if (c == '.') {
            CHECK(label >= 1 && label <= HOSTNAME_LABEL_MAX);
            CHECK(name->bytes[i - 1] != '-' && name->bytes[i - label] != '-');
            label = 0;
            continue;
        }
        CHECK((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_');
        label++;
    }
    struct in_addr addr; /* never an address, however loosely it is read */
    CHECK(inet_aton(name->bytes, &addr) == 0);
    struct ipaddr strict;
    CHECK(ipaddr_parse(hostname_span(name), &strict) != ERR_NONE);
}

static void check_never_laxer(struct span raw, const struct hostname *name)
{
    char domain[WHATWG_MAX];
    size_t len = 0;
    CHECK(whatwg_host(raw, domain, &len) == WHATWG_DOMAIN);
    if (domain[len - 1] == '.')
        len--;
    CHECK(span_equal(span_make(domain, len), hostname_span(name)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span raw = span_make(data, size);
    struct hostname name;
    memset(&name, 0x55, sizeof name);
    if (hostname_parse(raw, &name) != ERR_NONE) {
        CHECK(name.len == 0x55); /* untouched */
        return 0;
    }
    check_promises(&name);
    check_never_laxer(raw, &name);
    struct span without_dot = span_first(raw, name.len);
    CHECK(span_equal_fold(without_dot, hostname_span(&name)));
    CHECK(raw.len == name.len || (raw.len == name.len + 1u && raw.data[name.len] == '.'));
    struct hostname again;
    CHECK(hostname_parse(hostname_span(&name), &again) == ERR_NONE);
    CHECK(memcmp(&name, &again, sizeof name) == 0);
    CHECK(!hostname_is_below(&name, hostname_span(&name)));
    size_t dot = span_find(hostname_span(&name), '.');
    if (dot < name.len)
        CHECK(hostname_is_below(&name, span_from(hostname_span(&name), dot + 1)));
    return 0;
}
