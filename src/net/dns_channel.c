/* SPDX-License-Identifier: Apache-2.0 */
#include "dns_channel.h"

#include "net/resolver.h"

#include "base/assert.h"
#include "base/digest.h"
#include "dns_socket.h"
#include "loop_impl.h"

#include <ares.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#define TRIES            3    /* of each server */
#define FIRST_TIMEOUT_MS 1000 /* doubled with each round through the servers */
/* Datagrams that answer nothing, in one event: a flood of them must not keep the loop. The rest is for the next
 * turn. */
#define STRAYS_MAX 64

struct dns_channel {
    struct loop *loop;
    dns_noted_fn *fn;
    void *arg;
    ares_channel ares;
    struct timer timer;
    struct dns_query *pending;
    uint64_t born_ms;
    uint64_t sent;
    unsigned asked;
    unsigned strays; /* in the event under way */
    struct dns_sockets sockets;
};

static void query_link(struct dns_query **list, struct dns_query *query)
{
    query->next = *list;
    query->link = list;
    if (query->next != NULL) {
        query->next->link = &query->next;
    }
    *list = query;
}

static void query_unlink(struct dns_query *query)
{
    *query->link = query->next;
    if (query->next != NULL) {
        query->next->link = query->link;
    }
    query->next = NULL;
    query->link = NULL;
}

static struct dns_query *query_of_id(const struct dns_channel *channel, uint16_t id)
{
    struct dns_query *query = channel->pending;

    while (query != NULL && query->id != id) {
        query = query->next;
    }
    return query;
}

static uint16_t be16(const unsigned char *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* What the library does with its sockets. */

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct dns_channel *channel = data;
    struct dns_socket *s = dns_socket_of(&channel->sockets, fd);

    if (s != NULL) {
        dns_socket_watch(s, readable != 0, writable != 0);
    }
}

static ares_socket_t hook_socket(int family, int type, int protocol, void *data)
{
    struct dns_channel *channel = data;

    return dns_socket_open(&channel->sockets, family, type, protocol);
}

static struct dns_socket *socket_of(struct dns_channel *channel, int fd)
{
    struct dns_socket *s = dns_socket_of(&channel->sockets, fd);

    ASSERT(s != NULL);
    return s;
}

static int hook_close(ares_socket_t fd, void *data)
{
    return dns_socket_close(socket_of(data, fd));
}

static int hook_connect(ares_socket_t fd, const struct sockaddr *sa, ares_socklen_t len, void *data)
{
    return dns_socket_connect(socket_of(data, fd), sa, len);
}

/* True if the datagram answers a query that is under way here. */
static bool is_expected(const struct dns_channel *channel, const struct dns_socket *s, struct span reply)
{
    struct dns_query *query = reply.len < 12 ? NULL : query_of_id(channel, be16(reply.data));

    if (query == NULL || !dnsmsg_echoes(span_make(query->message, query->len), reply)) {
        return false;
    }
    unsigned rcode = reply.data[3] & 0x0fU;

    query->rcode = (uint8_t)rcode;
    query->server = s->server;
    query->tcp = false;
    /* c-ares asks the next server after some of these, and does not tell them when it gives up. */
    if (rcode == 2) {
        query->refused_as = DNS_SERVFAIL;
    } else if (rcode > 3 || rcode == 1) {
        query->refused_as = DNS_REFUSED;
    }
    return true;
}

static ares_ssize_t hook_receive(ares_socket_t fd, void *buf, size_t len, int flags, struct sockaddr *from,
                                 ares_socklen_t *from_len, void *data)
{
    struct dns_channel *channel = data;
    const struct dns_socket *s = socket_of(channel, fd);

    if (from == NULL) {
        return recv(fd, buf, len, flags);
    }
    while (channel->strays < STRAYS_MAX) {
        socklen_t room = *from_len;
        ssize_t n = recvfrom(fd, buf, len, flags, from, &room);

        if (n < 0) {
            return n;
        }
        if (n > 0 && is_expected(channel, s, span_make(buf, (size_t)n))) {
            *from_len = room;
            return n;
        }
        channel->strays++;
    }
    errno = EAGAIN;
    return -1;
}

/* Counts a message whose first byte has left. */
static void count_sent(struct dns_channel *channel, const struct iovec *part, const struct dns_socket *s)
{
    const unsigned char *bytes = part->iov_base;
    size_t len = part->iov_len;

    if (s->type == SOCK_STREAM) {
        /* The length stands before the message. What is left of one that was sent in parts has counted already. */
        if (len < 2 || be16(bytes) != len - 2) {
            return;
        }
        bytes += 2;
    }
    struct dns_query *query = query_of_id(channel, be16(bytes));

    channel->sent++;
    if (query != NULL) {
        query->sent++;
        query->server = s->server;
        query->tcp = s->type == SOCK_STREAM;
    }
}

static ares_ssize_t hook_send(ares_socket_t fd, const struct iovec *parts, int count, void *data)
{
    union {
        const struct iovec *from_ares;
        struct iovec *for_sendmsg; /* which does not write to it */
    } list = {.from_ares = parts};
    struct dns_socket *s = socket_of(data, fd);
    struct msghdr message = {.msg_iov = list.for_sendmsg, .msg_iovlen = (size_t)count};
    ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);

    if (n < 0 && errno == ECONNREFUSED && s->type == SOCK_DGRAM) {
        /* An ICMP error for an earlier datagram, which nobody has been told of now. This one has not been sent: send
         * it, and its own error will be read. */
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    }
    size_t left = n > 0 ? (size_t)n : 0;

    for (int i = 0; i < count && left > 0; i++) {
        count_sent(data, &parts[i], s);
        left -= left < parts[i].iov_len ? left : parts[i].iov_len;
    }
    return n;
}

static const struct ares_socket_functions hooks = {
    .asocket = hook_socket,
    .aclose = hook_close,
    .aconnect = hook_connect,
    .arecvfrom = hook_receive,
    .asendv = hook_send,
};

/* Channels. */

static void channel_rearm(struct dns_channel *channel)
{
    struct timeval buffer;
    const struct timeval *wait = ares_timeout(channel->ares, NULL, &buffer);

    if (wait == NULL) {
        timer_cancel(&channel->timer);
        return;
    }
    /* c-ares rounds down; a millisecond more lets its own clock pass. */
    uint64_t wait_ms = (uint64_t)wait->tv_sec * 1000 + (uint64_t)wait->tv_usec / 1000 + 1;

    timer_set(loop_wheel(channel->loop), &channel->timer, loop_now_ms(channel->loop) + wait_ms);
}

static void channel_process(struct dns_channel *channel, int read_fd, int write_fd)
{
    channel->strays = 0;
    ares_process_fd(channel->ares, read_fd, write_fd);
    channel_rearm(channel);
}

static void channel_ready(void *arg, int fd, bool readable, bool writable)
{
    channel_process(arg, readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
}

static void channel_due(struct timer *timer)
{
    channel_process((struct dns_channel *)(void *)((char *)timer - offsetof(struct dns_channel, timer)),
                    ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void server_node(const struct resolver_server *server, struct ares_addr_port_node *out)
{
    *out = (struct ares_addr_port_node){.udp_port = server->port, .tcp_port = server->port};
    if (server->addr.family == 4) {
        out->family = AF_INET;
        memcpy(&out->addr.addr4, server->addr.bytes, 4);
    } else {
        out->family = AF_INET6;
        memcpy(&out->addr.addr6, server->addr.bytes, 16);
    }
}

static int channel_init(struct dns_channel *channel, const struct resolver_server *servers, size_t count)
{
    struct ares_addr_port_node nodes[DNS_SERVERS_MAX];
    /* Everything that a file or the environment could set otherwise. With one server its refusals are answers, since
     * there is nobody else to ask. */
    struct ares_options options = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | (count == 1 ? ARES_FLAG_NOCHECKRESP : 0),
        .timeout = FIRST_TIMEOUT_MS,
        .tries = TRIES,
        .ndots = 0,
        .udp_port = 53,
        .tcp_port = 53,
        .lookups = (char[]){"b"},
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = channel,
        .ednspsz = 512,
        .resolvconf_path = (char[]){"/dev/null"},
    };
    int set = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_UDP_PORT |
              ARES_OPT_TCP_PORT | ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
              ARES_OPT_SORTLIST | ARES_OPT_EDNSPSZ | ARES_OPT_NOROTATE | ARES_OPT_RESOLVCONF;
    int status = ares_init_options(&channel->ares, &options, set);

    if (status != ARES_SUCCESS) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        server_node(&servers[i], &nodes[i]);
        nodes[i].next = i + 1 < count ? &nodes[i + 1] : NULL;
    }
    status = ares_set_servers_ports(channel->ares, nodes);
    if (status != ARES_SUCCESS) {
        ares_destroy(channel->ares);
        return status;
    }
    ares_set_socket_functions(channel->ares, &hooks, channel);
    return ARES_SUCCESS;
}

struct dns_channel *dns_channel_new(struct loop *loop, const struct resolver_server *servers, size_t count,
                                    dns_noted_fn *fn, void *arg)
{
    struct dns_channel *channel = calloc(1, sizeof(*channel));

    ASSERT(count > 0 && count <= DNS_SERVERS_MAX);
    if (channel == NULL) {
        return NULL;
    }
    channel->loop = loop;
    channel->sockets = (struct dns_sockets){.loop = loop, .fn = channel_ready, .arg = channel};
    channel->fn = fn;
    channel->arg = arg;
    channel->born_ms = loop_now_ms(loop);
    timer_init(&channel->timer, channel_due);
    if (channel_init(channel, servers, count) != ARES_SUCCESS) {
        free(channel);
        return NULL;
    }
    return channel;
}

void dns_channel_free(struct dns_channel *channel)
{
    ares_destroy(channel->ares);
    timer_cancel(&channel->timer);
    ASSERT(channel->pending == NULL);
    free(channel);
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    struct dns_query *query = arg;
    struct span reply = span_make(bytes, len > 0 ? (size_t)len : 0);

    (void)timeouts;
    if (status == ARES_SUCCESS && dnsmsg_echoes(span_make(query->message, query->len), reply)) {
        query->rcode = reply.data[3] & 0x0fU;
        dnsmsg_answer(reply, &query->name, query->type, &query->answer);
    } else if (status == ARES_SUCCESS) {
        query->answer = (struct dns_addresses){.result = DNS_MALFORMED}; /* over TCP, where nothing can be dropped */
    } else {
        enum dns_result silent = status == ARES_ETIMEOUT ? DNS_TIMEOUT : DNS_NO_SERVER;

        query->answer = (struct dns_addresses){.result = query->refused_as != DNS_OK ? query->refused_as : silent};
    }
    struct dns_channel *channel = query->channel;

    query_unlink(query);
    query->channel = NULL;
    channel->fn(channel->arg, query);
}

static void compose(struct dns_channel *channel, struct dns_query *query)
{
    uint8_t case_bits[32];
    struct outbuf out = outbuf_make(query->message, sizeof(query->message));

    do {
        random_bytes(&query->id, sizeof(query->id));
    } while (query_of_id(channel, query->id) != NULL);
    random_bytes(case_bits, sizeof(case_bits));
    dnsmsg_query(&out, query->id, &query->name, query->type, case_bits);
    ASSERT(!out.overflow);
    query->len = (uint16_t)out.len;
}

void dns_channel_send(struct dns_channel *channel, struct dns_query *query)
{
    compose(channel, query);
    query->rcode = DNS_RCODE_NONE;
    query->channel = channel;
    query_link(&channel->pending, query);
    channel->asked++;
    ares_send(channel->ares, query->message, query->len, on_answer, query);
    channel_rearm(channel);
}

bool dns_channel_idle(const struct dns_channel *channel)
{
    return channel->pending == NULL;
}

unsigned dns_channel_asked(const struct dns_channel *channel)
{
    return channel->asked;
}

uint64_t dns_channel_sent(const struct dns_channel *channel)
{
    return channel->sent;
}

uint64_t dns_channel_born_ms(const struct dns_channel *channel)
{
    return channel->born_ms;
}

const char *resolver_library_version(void)
{
    return ares_version(NULL);
}
