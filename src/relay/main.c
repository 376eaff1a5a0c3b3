/* SPDX-License-Identifier: Apache-2.0 */
/* sallyport-relay: the port is open first, then the command starts, then connections are carried. */
#include "listen.h"
#include "loopback.h"
#include "options.h"
#include "say.h"
#include "server.h"
#include "surroundings.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define EXIT_FAILED 1
#define EXIT_USAGE  64

/* A wrong mount is told at once, not with the first connection; it is no error, since the proxy may come later. */
static void look_at(const struct place *to)
{
    struct sockaddr_un addr;
    struct stat found;
    if (!place_is_unix(to))
        return;
    memcpy(&addr, &to->addr, sizeof addr);
    if (stat(addr.sun_path, &found) != 0)
        say("there is no egress proxy socket yet at %s: %s", to->text, strerror(errno));
    else if (!S_ISSOCK(found.st_mode))
        say("%s is not a socket", to->text);
}

static bool is_loop(const struct options *o)
{
    if (strcmp(o->listen.text, o->to.text) != 0)
        return false;
    say("--to names the relay's own port %s", o->to.text);
    return true;
}

static int run(struct options *o, struct child *child)
{
    static struct server server;
    size_t pipes = 0;
    int fd = listen_open(&o->listen, loopback_up());
    if (fd < 0)
        return EXIT_FAILED;
    if (is_loop(o))
        return EXIT_USAGE;
    look_at(&o->to);
    unsigned max = server_fit(o->max, &child->files_before, &pipes);
    if (!server_init(&server, child, &o->to, fd, max, pipes) || (o->env && !surroundings_set(&o->listen)))
        return EXIT_FAILED;
    if (o->ready_fd >= 0)
        listen_announce(&o->listen, o->ready_fd);
    if (o->command != NULL && !child_start(child, o->command))
        return EXIT_FAILED;
    return server_run(&server);
}

int main(int argc, char **argv)
{
    static struct options options;
    static struct child child;
    switch (options_parse(argc, argv, &options)) {
    case OPTIONS_WRONG:
        return EXIT_USAGE;
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_RUN:
        break;
    }
    return child_take_signals(&child) ? run(&options, &child) : EXIT_FAILED;
}
