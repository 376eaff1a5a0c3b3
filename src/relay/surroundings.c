/* SPDX-License-Identifier: Apache-2.0 */
#include "surroundings.h"

#include "cli/client_env.h"
#include "say.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#define VALUE_MAX_BYTES 8192

/* A port on all addresses is reached at the loopback one. */
static const char *host_of(const struct place *listen)
{
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    memcpy(&four, &listen->addr, sizeof four);
    memcpy(&six, &listen->addr, sizeof six);
    if (listen->addr.ss_family == AF_INET && four.sin_addr.s_addr == htonl(INADDR_ANY))
        return "127.0.0.1";
    if (listen->addr.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&six.sin6_addr) != 0)
        return "[::1]";
    return NULL;
}

/* What the image says to its JVMs stays; of two settings of one property the later counts. */
static void put_kept(struct outbuf *out, const char *name)
{
    const char *before = strcmp(name, "JAVA_TOOL_OPTIONS") == 0 ? getenv(name) : NULL;
    if (before == NULL || before[0] == '\0')
        return;
    outbuf_text(out, before);
    outbuf_char(out, ' ');
}

static bool set_one(const struct client_env_row *row, const struct client_env_facts *facts)
{
    char value[VALUE_MAX_BYTES];
    struct outbuf out = outbuf_make(value, sizeof value - 1);
    put_kept(&out, row->name);
    client_env_fill(&out, row->value, facts);
    value[out.len] = '\0';
    if (!out.overflow && setenv(row->name, value, 1) == 0)
        return true;
    say("cannot set %s for the command: %s", row->name, out.overflow ? "its value is too long" : strerror(errno));
    return false;
}

bool surroundings_set(const struct place *listen)
{
    struct span text = span_text(listen->text);
    size_t colon = text.len;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    const char *other = host_of(listen);
    struct span host = other != NULL ? span_text(other) : span_first(text, colon - 1);
    struct span port = span_from(text, colon);
    char url_text[PLACE_TEXT_MAX + 16];
    struct outbuf url = outbuf_make(url_text, sizeof url_text);
    outbuf_text(&url, "http://");
    outbuf_span(&url, host);
    outbuf_char(&url, ':');
    outbuf_span(&url, port);
    if (host.data[0] == '[')
        host = span_make(host.data + 1, host.len - 2);
    const struct client_env_facts facts = {.url = outbuf_written(&url), .host = host, .port = port};
    bool done = true;
    for (size_t i = 0; done && client_env_row(i) != NULL; i++)
        if (client_env_row(i)->kind == CLIENT_ENV_ROUTE)
            done = set_one(client_env_row(i), &facts);
    return done;
}
