/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the listeners of the configuration, in the name of the workers that will accept on them. */
#include "internal.h"

#include "base/log.h"
#include "base/text.h"

#include <errno.h>
#include <grp.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void name_listener(struct daemon *daemon, size_t index, const struct config_listener *listen, uint16_t port)
{
    struct entrance *entrance = &daemon->entrances[index];
    char *name = entrance->name;
    size_t cap = sizeof entrance->name;
    char addr[IPADDR_TEXT_MAX];
    if (listen->is_unix) {
        snprintf(name, cap, "unix:%s", listen->path);
    } else {
        ipaddr_format(&listen->addr, addr);
        snprintf(name, cap, listen->addr.family == 6 ? "[%s]:%u" : "%s:%u", addr, (unsigned)port);
    }
    entrance->listener = (struct tunnel_listener){.name = name, .index = (uint32_t)index};
}

static bool own_add(struct daemon *daemon, const struct ipaddr *addr, uint16_t port)
{
    struct own_socket *own = realloc(daemon->own, (daemon->own_count + 1) * sizeof *own);
    if (own == NULL)
        return false;
    own[daemon->own_count++] = (struct own_socket){.addr = *addr, .port = port};
    daemon->own = own;
    return true;
}

static bool is_wildcard(const struct ipaddr *addr)
{
    static const uint8_t zero[16];
    return memcmp(addr->bytes, zero, sizeof zero) == 0;
}

/* A socket on the wildcard address is reached by every address of the machine. */
static enum err own_everywhere(struct daemon *daemon, uint16_t port)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return ERR_IO;
    enum err err = ERR_NONE;
    for (const struct ifaddrs *i = all; i != NULL && err == ERR_NONE; i = i->ifa_next) {
        struct ipaddr addr;
        if (i->ifa_addr == NULL || ipaddr_from_sockaddr(i->ifa_addr, &addr, NULL) != ERR_NONE)
            continue;
        if (!own_add(daemon, &addr, port))
            err = ERR_NO_MEMORY;
    }
    freeifaddrs(all);
    return err;
}

/* Two processes of one account could share a port by reuse-port, each with half of the clients and a policy of its own:
 * a socket without that option finds out. */
static bool is_taken(const struct config_listener *listen)
{
    if (listen->port == 0)
        return false;
    struct sockaddr_storage sa;
    socklen_t len = ipaddr_to_sockaddr(&listen->addr, listen->port, &sa);
    int on = 1, fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    bool taken = bind(fd, (const struct sockaddr *)&sa, len) != 0 && errno == EADDRINUSE;
    close(fd);
    return taken;
}

static enum err open_tcp(struct daemon *daemon, size_t index, const struct config_listener *listen)
{
    uint16_t port = listen->port;
    /* One worker's: the option by which several share a port was the service manager's to set. */
    int inherited = supervisor_take_tcp(&listen->addr, port);
    if (inherited >= 0) {
        daemon->workers[index % daemon->worker_count].doorways[index].fd = inherited;
        daemon->entrances[index].inherited = true;
    } else if (is_taken(listen)) {
        name_listener(daemon, index, listen, port);
        log_error("cannot listen", "on=%s why=%s", daemon->entrances[index].name, strerror(EADDRINUSE));
        return ERR_EXISTS;
    }
    for (unsigned w = 0; inherited < 0 && w < daemon->worker_count; w++) {
        enum err err = listen_tcp(&listen->addr, port, &daemon->workers[w].doorways[index].fd, &port);
        if (err != ERR_NONE) {
            int error = errno;
            name_listener(daemon, index, listen, listen->port);
            log_error("cannot listen", "on=%s why=%s", daemon->entrances[index].name, strerror(error));
            return err;
        }
    }
    name_listener(daemon, index, listen, port);
    if (is_wildcard(&listen->addr))
        return own_everywhere(daemon, port);
    return own_add(daemon, &listen->addr, port) ? ERR_NONE : ERR_NO_MEMORY;
}

/* The number of an account or group, by name or as it is; -1 if there is none. */
static long long account_of(const char *text, bool group)
{
    uint64_t number;
    if (text_u64(span_text(text), UINT32_MAX - 1, &number) == ERR_NONE)
        return (long long)number;
    const struct group *g = group ? getgrnam(text) : NULL;
    const struct passwd *u = group ? NULL : getpwnam(text);
    return g != NULL ? (long long)g->gr_gid : u != NULL ? (long long)u->pw_uid : -1;
}

/* Not root any more, this account can give a file only to a group of its own. */
static bool give_away(const struct config_listener *listen, char *why, size_t why_cap)
{
    long long uid = listen->owner != NULL ? account_of(listen->owner, false) : -1;
    long long gid = listen->group != NULL ? account_of(listen->group, true) : -1;
    if ((listen->owner != NULL && uid < 0) || (listen->group != NULL && gid < 0)) {
        snprintf(why, why_cap, "there is no account %s",
                 uid < 0 && listen->owner != NULL ? listen->owner : listen->group);
        return false;
    }
    if (lchown(listen->path, (uid_t)uid, (gid_t)gid) == 0)
        return true;
    snprintf(why, why_cap, "the socket cannot be given to %s: %s; the group must be one of this program's own",
             listen->group != NULL ? listen->group : listen->owner, strerror(errno));
    unlink(listen->path);
    return false;
}

static enum err open_unix(struct daemon *daemon, size_t index, const struct config_listener *listen)
{
    char why[256] = "";
    int *fd = &daemon->workers[index % daemon->worker_count].doorways[index].fd;
    *fd = supervisor_take_unix(listen->path);
    if (*fd >= 0) {
        daemon->entrances[index].inherited = true;
        name_listener(daemon, index, listen, 0);
        return ERR_NONE;
    }
    enum err err = listen_unix(listen->path, listen->mode, fd, why, sizeof why);
    if (err == ERR_NONE && !give_away(listen, why, sizeof why))
        err = ERR_DENIED;
    if (err != ERR_NONE)
        log_error("cannot listen", "on=unix:%s why=%s", listen->path, why);
    name_listener(daemon, index, listen, 0);
    return err;
}

enum err entrances_open(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    daemon->entrances = calloc(config->listener_count, sizeof *daemon->entrances);
    if (daemon->entrances == NULL)
        return ERR_NO_MEMORY;
    daemon->entrance_count = config->listener_count;
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listen = &config->listeners[i];
        enum err err = listen->is_unix ? open_unix(daemon, i, listen) : open_tcp(daemon, i, listen);
        if (err != ERR_NONE)
            return err;
    }
    return ERR_NONE;
}

enum err entrances_check_inherited(void)
{
    if (supervisor_untaken() == 0)
        return ERR_NONE;
    log_error("the service manager has opened sockets that no listener names", "count=%zu", supervisor_untaken());
    return ERR_INVALID;
}

void entrances_remove(const struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->config->listener_count; i++)
        if (daemon->config->listeners[i].is_unix && !daemon->entrances[i].inherited)
            unlink(daemon->config->listeners[i].path);
}
