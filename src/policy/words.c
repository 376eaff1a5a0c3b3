/* SPDX-License-Identifier: Apache-2.0 */
#include "inside.h"

const char *door_text(enum door door)
{
    static const char *const texts[] = {"connect", "http", "socks5", "tls", "plain"};
    return (size_t)door < sizeof texts / sizeof texts[0] ? texts[door] : "unknown";
}

bool door_is_http(enum door door)
{
    return door == DOOR_HTTP || door == DOOR_PLAIN;
}

static const char *const methods[] = {[METHOD_UNKNOWN] = "",
#define X(name) [METHOD_##name] = #name,
                                      METHOD_TABLE(X)
#undef X
};

uint32_t method_bit(enum method method)
{
    return 1u << method;
}

enum method method_by_name(struct span name)
{
    for (size_t i = 1; i < sizeof methods / sizeof methods[0]; i++)
        if (span_is(name, methods[i]))
            return (enum method)i;
    return METHOD_UNKNOWN;
}

const char *method_name(enum method method)
{
    return (size_t)method < sizeof methods / sizeof methods[0] ? methods[method] : "";
}

void methods_print(uint32_t mask, struct outbuf *out)
{
    bool first = true;
    for (size_t i = 1; i < sizeof methods / sizeof methods[0]; i++) {
        if ((mask & method_bit((enum method)i)) == 0)
            continue;
        outbuf_text(out, first ? "" : ", ");
        outbuf_text(out, methods[i]);
        first = false;
    }
    if (first)
        outbuf_text(out, "none");
}

void prefix_print(const struct prefix *prefix, struct outbuf *out)
{
    char text[IPADDR_TEXT_MAX];
    outbuf_bytes(out, text, ipaddr_format(&prefix->addr, text));
    outbuf_char(out, '/');
    outbuf_u64(out, prefix->bits);
}

const char *tls_word_sni(enum tls_choice c)
{
    return c == TLS_LOOSE ? "optional" : "required";
}

const char *tls_word_ech(enum tls_choice c)
{
    return c == TLS_LOOSE ? "outer" : "refuse";
}

const char *tls_word_non_tls(enum tls_choice c)
{
    return c == TLS_LOOSE ? "allow" : "refuse";
}
