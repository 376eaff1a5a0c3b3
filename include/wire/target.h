/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target: where a client wants to go, made once from raw bytes and carried as a type from then on. A name or an
 * address, and a port.
 */
#ifndef WIRE_TARGET_H
#define WIRE_TARGET_H

#include "wire/hostname.h"
#include "wire/ipaddr.h"

enum target_kind { TARGET_NONE, TARGET_NAME, TARGET_ADDRESS };

struct target {
    enum target_kind kind;
    uint16_t port; /* 1 to 65535 */
    union {
        struct hostname name;
        struct ipaddr addr;
    };
};

/* "host:port" or "[v6]:port" in authority form (RFC 9112 3.2.3); the port must be there. */
MUST_CHECK enum err target_parse_authority(struct span raw, struct target *out);

/* "host", "host:port", "[v6]", "[v6]:port" as in a Host field (RFC 9110 7.2); without a port `default_port` is taken.
 * out_has_port says which. Brackets stand only around an IPv6 address, and an IPv6 address only in brackets. */
MUST_CHECK enum err target_parse_host(struct span raw, uint16_t default_port, struct target *out, bool *out_has_port);

/* "http://authority[/path][?query]" (absolute form, RFC 9112 3.2.2; scheme in any case, http alone, default port 80).
 * out_path borrows the path with its query, empty when there is none; user-info and fragments are ERR_INVALID. */
MUST_CHECK enum err target_parse_absolute(struct span raw, struct target *out, struct span *out_path);

/* Same kind and same name or address; ports are not looked at. */
bool target_same_host(const struct target *a, const struct target *b);

#define TARGET_TEXT_MAX (HOSTNAME_MAX + 9)

/* Host alone (an IPv6 address without brackets), or "host:port" (with brackets), with NUL; gives the length. */
size_t target_format_host(const struct target *t, char out[static TARGET_TEXT_MAX]);
size_t target_format(const struct target *t, char out[static TARGET_TEXT_MAX]);

#endif
