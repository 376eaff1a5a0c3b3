/* SPDX-License-Identifier: Apache-2.0 */
/* The log's side of the signer: asks its process, waits a little, and remembers what it was told. */
#include "audit/signer.h"

#include "base/clock.h"
#include "signer_state.h"
#include "signer_wire.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOAD_MS  10000 /* a first start makes a key and syncs it */
#define ORDER_MS 250   /* whoever waits for durability waits behind this, once in a change of keys */
#define CLOSE_MS 2000
#define NS_MS    1000000u

struct signer {
    int fd;
    pid_t pid;
    uint32_t number; /* of the last request */
    bool owed;       /* its answer has not come */
    bool ended, adopting;
    struct tree_head asked;
    struct signer_request request;
    struct signer_reply told; /* of the last answer */
    char origin[NOTE_ORIGIN_MAX + 1];
};

enum err signer_start(const struct signer_start *start, struct signer **out)
{
    int pair[2];
    struct signer *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NO_MEMORY;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        free(s);
        return ERR_IO;
    }
    s->pid = fork();
    if (s->pid == 0)
        signer_child(pair[1], start);
    int error = errno;
    close(pair[1]);
    if (s->pid < 0) {
        close(pair[0]);
        free(s);
        errno = error;
        return ERR_IO;
    }
    s->fd = pair[0];
    s->adopting = start->adopt;
    *out = s;
    return ERR_NONE;
}

static enum err ask(struct signer *s, enum signer_ask what)
{
    s->request.ask = what;
    s->request.number = ++s->number;
    ssize_t sent = send(s->fd, &s->request, sizeof s->request, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == (ssize_t)sizeof s->request) {
        s->owed = true;
        return ERR_NONE;
    }
    s->ended = sent < 0 && (errno == EPIPE || errno == ECONNRESET);
    return s->ended ? ERR_CLOSED : ERR_IO;
}

static int left_ms(uint64_t until_ns)
{
    uint64_t now = clock_mono_ns();
    return now >= until_ns ? 0 : (int)((until_ns - now + NS_MS - 1) / NS_MS);
}

/* The answer that is owed. ERR_NONE says that it came, not what it says. */
static enum err take(struct signer *s, unsigned wait_ms)
{
    uint64_t until = clock_mono_ns() + (uint64_t)wait_ms * NS_MS;
    struct signer_reply reply;
    for (;;) {
        struct pollfd ready = {.fd = s->fd, .events = POLLIN};
        int n = poll(&ready, 1, left_ms(until));
        if (n == 0 || (n < 0 && left_ms(until) == 0))
            return ERR_AGAIN;
        if (n < 0)
            continue;
        ssize_t got = recv(s->fd, &reply, sizeof reply, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got != (ssize_t)sizeof reply || reply.number != s->number)
            s->ended = true; /* it has ended, or is nothing that we could go on with */
        s->owed = false;
        if (s->ended)
            return ERR_CLOSED;
        s->told = reply;
        return ERR_NONE;
    }
}

static enum err said(const struct signer *s)
{
    errno = s->told.system;
    return s->told.err < 0 || s->told.err > ERR_BUSY ? ERR_IO : (enum err)s->told.err;
}

enum err signer_load(struct signer *signer, const char *origin, char *message, size_t message_cap)
{
    if (strlen(origin) > NOTE_ORIGIN_MAX) {
        snprintf(message, message_cap, "an origin has at most %d characters", NOTE_ORIGIN_MAX);
        return ERR_INVALID;
    }
    snprintf(signer->origin, sizeof signer->origin, "%s", origin);
    memcpy(signer->request.origin, signer->origin, sizeof signer->request.origin);
    enum err err = ask(signer, SIGNER_LOAD);
    if (err == ERR_NONE)
        err = take(signer, LOAD_MS);
    if (err != ERR_NONE) {
        snprintf(message, message_cap, "the signer's process %s", err == ERR_CLOSED ? "has ended" : "does not answer");
        return err;
    }
    signer->told.message[SIGNER_MESSAGE_MAX - 1] = '\0';
    if (said(signer) != ERR_NONE)
        snprintf(message, message_cap, "%s", signer->told.message);
    return said(signer);
}

enum err signer_open(const char *dir, const char *origin, struct signer **out, char *message, size_t message_cap)
{
    struct signer *s = NULL;
    struct signer_start start = {.dir = dir, .uid = geteuid(), .gid = getegid()};
    enum err err = signer_start(&start, &s);
    if (err != ERR_NONE) {
        snprintf(message, message_cap, "the signer's process cannot be started: %s", strerror(errno));
        return err;
    }
    err = signer_load(s, origin, message, message_cap);
    if (err == ERR_NONE)
        *out = s;
    else
        signer_close(s);
    return err;
}

/* Its end of the socket closes when it ends: that is waited for, since only then does waitpid() not hang. */
void signer_close(struct signer *signer)
{
    if (signer == NULL)
        return;
    shutdown(signer->fd, SHUT_WR);
    uint64_t until = clock_mono_ns() + (uint64_t)CLOSE_MS * NS_MS;
    bool gone = false;
    while (!gone && left_ms(until) > 0) {
        struct pollfd hup = {.fd = signer->fd, .events = 0};
        int n = poll(&hup, 1, left_ms(until));
        gone = n > 0 && (hup.revents & (POLLHUP | POLLERR)) != 0;
    }
    if (!gone)
        gone = kill(signer->pid, SIGKILL) == 0; /* one of another uid cannot be killed: it ends when it wakes */
    if (gone)
        while (waitpid(signer->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    close(signer->fd);
    secret_wipe(signer, sizeof *signer);
    free(signer);
}

void signer_last(const struct signer *signer, struct tree_head *out)
{
    *out = signer->told.last;
}

bool signer_state_missing(const struct signer *signer)
{
    return signer->told.state_missing;
}

const char *signer_origin(const struct signer *signer)
{
    return signer->origin;
}

enum err signer_late(struct signer *signer, unsigned wait_ms, struct tree_head *out_head,
                     uint8_t out_signature[static ED25519_SIGNATURE_BYTES])
{
    if (signer->ended)
        return ERR_CLOSED;
    if (!signer->owed)
        return ERR_NOT_FOUND;
    enum err err = take(signer, wait_ms);
    if (err == ERR_NONE && signer->request.ask != SIGNER_SIGN)
        return ERR_NOT_FOUND;
    if (err == ERR_NONE)
        err = said(signer);
    if (err != ERR_NONE)
        return err;
    *out_head = signer->asked;
    memcpy(out_signature, signer->told.signature, ED25519_SIGNATURE_BYTES);
    return ERR_NONE;
}

enum err signer_sign(struct signer *signer, const struct tree_head *head, const uint8_t *proof, size_t proof_count,
                     struct span note_body, unsigned wait_ms, uint8_t out_signature[static ED25519_SIGNATURE_BYTES])
{
    struct signer_request *r = &signer->request;
    if (signer->ended)
        return ERR_CLOSED;
    if (signer->owed)
        return ERR_AGAIN;
    if (proof_count > TREE_PROOF_MAX || note_body.len > sizeof r->body)
        return ERR_TOO_BIG;
    r->head = signer->asked = *head;
    r->proof_count = (uint32_t)proof_count;
    r->body_len = (uint32_t)note_body.len;
    if (proof_count > 0)
        memcpy(r->proof, proof, proof_count * DIGEST_BYTES);
    memcpy(r->body, note_body.data, note_body.len);
    enum err err = ask(signer, SIGNER_SIGN);
    if (err == ERR_NONE)
        err = take(signer, wait_ms);
    if (err == ERR_NONE)
        err = said(signer);
    if (err == ERR_NONE)
        memcpy(out_signature, signer->told.signature, ED25519_SIGNATURE_BYTES);
    return err;
}

static enum err order(struct signer *signer, enum signer_ask what)
{
    if (signer->ended)
        return ERR_CLOSED;
    if (signer->owed)
        return ERR_AGAIN;
    enum err err = ask(signer, what);
    if (err == ERR_NONE)
        err = take(signer, ORDER_MS);
    return err == ERR_NONE ? said(signer) : err;
}

enum err signer_prepare(struct signer *signer)
{
    return order(signer, SIGNER_PREPARE);
}

enum err signer_turn(struct signer *signer)
{
    return order(signer, SIGNER_TURN);
}

bool signer_next(const struct signer *signer, uint8_t out_public[static ED25519_KEY_BYTES])
{
    memcpy(out_public, signer->told.next_public, ED25519_KEY_BYTES);
    return signer->told.has_next;
}

void signer_set_overlap(struct signer *signer, bool overlap)
{
    signer->request.overlap = overlap;
}

bool signer_overlap(const struct signer *signer, uint8_t out_signature[static ED25519_SIGNATURE_BYTES])
{
    memcpy(out_signature, signer->told.next_signature, ED25519_SIGNATURE_BYTES);
    return signer->told.has_overlap;
}

int signer_fd(const struct signer *signer)
{
    return signer->ended ? -1 : signer->fd;
}

bool signer_owes(const struct signer *signer)
{
    return signer->owed && !signer->ended;
}

bool signer_ended(const struct signer *signer)
{
    return signer->ended;
}

void signer_notice_end(struct signer *signer)
{
    signer->ended = true;
}

void signer_public(const struct signer *signer, uint8_t out_public[static ED25519_KEY_BYTES])
{
    memcpy(out_public, signer->told.public_key, ED25519_KEY_BYTES);
}

void signer_about(const struct signer *signer, struct signer_about *out)
{
    *out = (struct signer_about){
        .pid = signer->pid,
        .uid = (uid_t)signer->told.uid,
        .own_uid = signer->told.uid != (uint32_t)geteuid(),
        .sealed = signer->told.sealed,
        .adopting = signer->adopting,
    };
}
