/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include "base/outbuf.h"
#include "wire/ipaddr.h"

#include <sys/un.h>

static void set_tcp(const struct ipaddr *addr, uint16_t port, struct place *out)
{
    char text[IPADDR_TEXT_MAX];
    size_t len = ipaddr_format(addr, text);
    bool six = addr->family == 6;
    *out = (struct place){0};
    out->len = ipaddr_to_sockaddr(addr, port, &out->addr);
    struct outbuf o = outbuf_make(out->text, sizeof out->text - 1);
    outbuf_text(&o, six ? "[" : "");
    outbuf_bytes(&o, text, len);
    outbuf_text(&o, six ? "]:" : ":");
    outbuf_u64(&o, port);
}

static enum err parse_tcp(struct span text, uint16_t min_port, struct place *out)
{
    struct ipaddr addr;
    uint16_t port;
    enum err err = ipaddr_parse_socket(text, min_port, &addr, &port);
    if (err == ERR_NONE)
        set_tcp(&addr, port, out);
    return err;
}

static enum err parse_unix(struct span text, struct span path, struct place *out)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (path.len == 0)
        return ERR_INVALID;
    if (path.len >= sizeof addr.sun_path || text.len >= sizeof out->text)
        return ERR_TOO_BIG;
    memcpy(addr.sun_path, path.data, path.len);
    *out = (struct place){.len = sizeof addr};
    memcpy(&out->addr, &addr, sizeof addr);
    memcpy(out->text, text.data, text.len);
    return ERR_NONE;
}

enum err place_parse_listen(struct span text, struct place *out)
{
    return parse_tcp(text, 0, out);
}

enum err place_parse_dial(struct span text, struct place *out)
{
    if (span_is(span_first(text, 5), "unix:"))
        return parse_unix(text, span_from(text, 5), out);
    if (span_is(span_first(text, 4), "tcp:"))
        return parse_tcp(span_from(text, 4), 1, out);
    return ERR_INVALID;
}

bool place_is_unix(const struct place *place)
{
    return place->addr.ss_family == AF_UNIX;
}

enum err place_of_socket(int fd, struct place *out)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    struct ipaddr ip;
    uint16_t port;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        return ERR_IO;
    enum err err = ipaddr_from_sockaddr((const struct sockaddr *)&addr, &ip, &port);
    if (err == ERR_NONE)
        set_tcp(&ip, port, out);
    return err;
}
