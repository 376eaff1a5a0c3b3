/* SPDX-License-Identifier: Apache-2.0 */
#include "listen.h"

#include "base/json.h"
#include "say.h"

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#define BACKLOG 1024

static bool is_loopback(const struct place *place)
{
    if (place->addr.ss_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, &place->addr, sizeof four);
        return ntohl(four.sin_addr.s_addr) >> 24 == 127;
    }
    struct sockaddr_in6 six;
    memcpy(&six, &place->addr, sizeof six);
    return IN6_IS_ADDR_LOOPBACK(&six.sin6_addr) != 0;
}

static void say_failure(const struct place *place, int error, int loopback_error)
{
    if (error == EADDRINUSE)
        say("cannot listen on %s: something else does already", place->text);
    else if (error == EADDRNOTAVAIL && loopback_error != 0 && is_loopback(place))
        say("cannot listen on %s: lo is down and may not be brought up (%s); run 'ip link set lo up' in this network "
            "namespace",
            place->text, strerror(loopback_error));
    else
        say("cannot listen on %s: %s", place->text, strerror(error));
}

int listen_open(struct place *place, int loopback_error)
{
    int one = 1;
    int fd = socket(place->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (const struct sockaddr *)&place->addr, place->len) != 0 || listen(fd, BACKLOG) != 0) {
        say_failure(place, errno, loopback_error);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (place_of_socket(fd, place) != ERR_NONE) {
        say("cannot tell where it listens: %s", strerror(errno));
        close(fd);
        return -1;
    }
    if (!is_loopback(place))
        say("listening on %s: whoever reaches this address uses the identity of this sandbox", place->text);
    else if (loopback_error != 0)
        say("lo is down and may not be brought up (%s): nobody will reach %s", strerror(loopback_error), place->text);
    return fd;
}

void listen_announce(const struct place *place, int fd)
{
    uint8_t text[PLACE_TEXT_MAX + 32];
    struct outbuf out = outbuf_make(text, sizeof text);
    struct json j = json_make(&out);
    json_open(&j, '{');
    json_key_text(&j, "listen", place->text);
    json_close(&j, '}');
    outbuf_char(&out, '\n');
    if (write(fd, out.data, out.len) != (ssize_t)out.len)
        say("nobody reads the descriptor of --ready-fd: %s", strerror(errno));
    /* Standard output is the command's, too. */
    if (fd > STDERR_FILENO)
        close(fd);
}
