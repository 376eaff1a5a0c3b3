/* SPDX-License-Identifier: Apache-2.0 */
#include "refusal.h"

#include "base/assert.h"
#include "base/outbuf.h"

#include <errno.h>

#define BODY                                                                                                           \
    "{\"error\":\"egress proxy unreachable. This is not a policy decision; it may pass, so trying again later can "    \
    "help.\",\"reason\":\"egress_proxy_unreachable\",\"host\":null,\"port\":null,\"environment\":null,\"rule\":null,"  \
    "\"request_id\":null,\"hint\":\"The relay of this sandbox cannot reach its egress proxy; its standard error says " \
    "why. There is no other way out.\",\"retry\":true}\n"

struct span refusal_text(void)
{
    static char text[1024];
    static size_t len;
    if (len == 0) {
        struct outbuf out = outbuf_make(text, sizeof text);
        outbuf_text(&out, "HTTP/1.1 502 egress proxy unreachable\r\n"
                          "Proxy-Status: sallyport-relay; error=connection_refused\r\n"
                          "X-Sallyport-Reason: egress_proxy_unreachable\r\n"
                          "Content-Type: application/json\r\n"
                          "Content-Length: ");
        outbuf_u64(&out, sizeof BODY - 1);
        outbuf_text(&out, "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n" BODY);
        ASSERT(!out.overflow);
        len = out.len;
    }
    return span_make(text, len);
}

bool refusal_is_for(uint8_t first_byte)
{
    return first_byte >= 'A' && first_byte <= 'Z';
}

struct cause {
    int error;
    const char *of_unix, *of_tcp;
};

const char *refusal_cause(int error, bool is_unix)
{
    static const struct cause causes[] = {
        {ECONNREFUSED, "egress proxy socket refused (restarted? mount the directory, not the file)",
         "egress proxy refused the connection"                                                                                              },
        {ENOENT,       "no such egress proxy socket (is its directory mounted?)",                             "no such proxy"               },
        {ENOTDIR,      "no such egress proxy socket (a file stands where a directory should)",                "no such proxy"               },
        {EACCES,       "may not use the egress proxy socket (its directory and itself must let this uid in)",
         "may not connect to the egress proxy"                                                                                              },
        {EPERM,        "may not use the egress proxy socket (forbidden by the sandbox)",
         "may not connect to the egress proxy (forbidden by the sandbox)"                                                                   },
        {EPROTOTYPE,   "the egress proxy socket is not a stream socket",                                      "not a stream"                },
        {EAGAIN,       "egress proxy does not accept (its queue stays full)",                                 "no local port left"          },
        {ENETUNREACH,  "egress proxy cannot be reached",
         "no route to the egress proxy (a sandbox without network needs --to unix:PATH)"                                                    },
        {EHOSTUNREACH, "egress proxy cannot be reached",                                                      "no route to the egress proxy"},
        {ETIMEDOUT,    "egress proxy does not answer",                                                        "egress proxy does not answer"},
    };
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        if (causes[i].error == error)
            return is_unix ? causes[i].of_unix : causes[i].of_tcp;
    return strerror(error);
}
