/* SPDX-License-Identifier: Apache-2.0 */
/* The signer's process: a loop over one socket, forked before there were threads and before root was given up. */
#include "signer_core.h"
#include "signer_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOCKET_FD 3 /* the only descriptor that it keeps besides 0 to 2 */

struct child {
    const struct signer_start *start;
    struct signer_core *core; /* NULL until loaded */
    int dir;
    int dir_error; /* errno of opening it */
    bool sealed;
};

static bool become(const struct signer_start *start)
{
    if (geteuid() != 0 || start->uid == 0)
        return true;
    return setgroups(0, NULL) == 0 && setresgid(start->gid, start->gid, start->gid) == 0 &&
           setresuid(start->uid, start->uid, start->uid) == 0 && geteuid() == start->uid;
}

/* The terminal's signals and a service manager's are for the program, which ends the signer behind the last head. */
static void ignore_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGTSTP};
    sigset_t none;
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool keep_only(int socket)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
        return false;
    if (socket != SOCKET_FD && dup2(socket, SOCKET_FD) < 0)
        return false;
    return close_range(SOCKET_FD + 1, ~0u, 0) == 0;
}

/* With the rights it was started with: what lies above the directory may be closed to the signer's own account. */
static void open_dir(struct child *c)
{
    const struct signer_start *start = c->start;
    if (mkdir(start->dir, 0700) == 0 && geteuid() == 0 && lchown(start->dir, start->uid, start->gid) != 0)
        errno = EPERM;
    c->dir = open(start->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    c->dir_error = c->dir < 0 ? errno : 0;
}

static void load(struct child *c, const struct signer_request *ask, struct signer_reply *reply)
{
    char origin[NOTE_ORIGIN_MAX + 1];
    memcpy(origin, ask->origin, sizeof origin);
    origin[NOTE_ORIGIN_MAX] = '\0';
    reply->err = ERR_BUSY; /* a process signs for one log */
    if (c->core != NULL)
        return;
    if (c->dir < 0) {
        snprintf(reply->message, sizeof reply->message, "%.160s: %s", c->start->dir, strerror(c->dir_error));
        reply->err = ERR_DENIED;
        return;
    }
    reply->err = (int32_t)signer_core_open(c->dir, c->start->dir, c->start->adopt, origin, &c->core, reply->message,
                                           sizeof reply->message);
}

static void sign(struct child *c, const struct signer_request *ask, struct signer_reply *reply)
{
    reply->err = ERR_INVALID;
    if (c->core == NULL || ask->proof_count > TREE_PROOF_MAX || ask->body_len > sizeof ask->body)
        return;
    errno = 0;
    reply->err = (int32_t)signer_core_sign(c->core, &ask->head, ask->proof, ask->proof_count,
                                           span_make(ask->body, ask->body_len), reply->signature,
                                           ask->overlap != 0 ? reply->next_signature : NULL);
    reply->has_overlap = ask->overlap != 0 && reply->err == ERR_NONE;
    reply->system = errno;
}

static void answer(struct child *c, const struct signer_request *ask, struct signer_reply *reply)
{
    memset(reply, 0, sizeof *reply);
    reply->number = ask->number;
    reply->uid = (uint32_t)geteuid();
    reply->sealed = c->sealed;
    switch (ask->ask) {
    case SIGNER_LOAD:
        load(c, ask, reply);
        break;
    case SIGNER_SIGN:
        sign(c, ask, reply);
        break;
    case SIGNER_PREPARE:
        reply->err = (int32_t)(c->core == NULL ? ERR_INVALID : signer_core_prepare(c->core));
        break;
    case SIGNER_TURN:
        reply->err = (int32_t)(c->core == NULL ? ERR_INVALID : signer_core_turn(c->core));
        break;
    default:
        reply->err = ERR_INVALID;
    }
    if (c->core == NULL)
        return;
    signer_core_last(c->core, &reply->last);
    signer_core_public(c->core, reply->public_key);
    reply->has_next = signer_core_next(c->core, reply->next_public);
    reply->state_missing = signer_core_state_missing(c->core);
}

_Noreturn void signer_child(int socket, const struct signer_start *start)
{
    struct child c = {.start = start, .dir = -1};
    struct signer_request ask;
    struct signer_reply reply;
    ignore_signals();
    prctl(PR_SET_NAME, "sallyport-sign");
    if (!keep_only(socket))
        _exit(1);
    open_dir(&c);
    if (!become(start) || chdir("/") != 0)
        _exit(1);
    umask(0077);
    c.sealed = signer_seal();
    for (;;) {
        ssize_t got = recv(SOCKET_FD, &ask, sizeof ask, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got != (ssize_t)sizeof ask)
            break;
        answer(&c, &ask, &reply);
        if (send(SOCKET_FD, &reply, sizeof reply, MSG_NOSIGNAL) != (ssize_t)sizeof reply)
            break;
    }
    signer_core_close(c.core); /* wipes the key */
    _exit(0);
}
