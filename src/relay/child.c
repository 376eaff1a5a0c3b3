/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND      127
#define EXIT_SIGNAL         128

/* Left alone: faults of our own, what stops a process of a terminal, and SIGPIPE, which splice(2) cannot suppress. */
static void read_signals(sigset_t *set)
{
    static const int left[] = {SIGSEGV, SIGBUS,  SIGILL,  SIGFPE,  SIGABRT, SIGTRAP,
                               SIGSYS,  SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE};
    sigfillset(set);
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        sigdelset(set, left[i]);
}

bool child_take_signals(struct child *child)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;
    read_signals(&set);
    /* A SIGCHLD that our parent ignores would be ignored here too, and no status would ever come. */
    sigaction(SIGCHLD, &by_default, &child->chld_before);
    sigaction(SIGPIPE, &ignore, &child->pipe_before);
    sigprocmask(SIG_BLOCK, &set, &child->mask_before);
    child->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (child->signal_fd < 0)
        say("no descriptor for signals: %s", strerror(errno));
    return child->signal_fd >= 0;
}

static _Noreturn void become(const struct child *child, char *const *command)
{
    setrlimit(RLIMIT_NOFILE, &child->files_before);
    sigaction(SIGCHLD, &child->chld_before, NULL);
    sigaction(SIGPIPE, &child->pipe_before, NULL);
    sigprocmask(SIG_SETMASK, &child->mask_before, NULL);
    execvp(command[0], command);
    bool missing = errno == ENOENT || errno == ENOTDIR;
    say("%s: %s", command[0], missing ? "command not found" : strerror(errno));
    _exit(missing ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE);
}

bool child_start(struct child *child, char *const *command)
{
    child->pid = fork();
    if (child->pid == 0)
        become(child, command);
    if (child->pid < 0)
        say("cannot start %s: %s", command[0], strerror(errno));
    return child->pid > 0;
}

static enum child_news reap(const struct child *child, int *out_status)
{
    int status;
    enum child_news news = CHILD_GOES_ON;
    /* Several children may stand behind one SIGCHLD, and process 1 inherits those of others. */
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid != child->pid)
            continue;
        *out_status = WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
        news = CHILD_ENDED;
    }
    return news;
}

static bool came_from_terminal(const struct signalfd_siginfo *info)
{
    /* Of a hangup the kernel tells the leader of the session alone. */
    return info->ssi_code == SI_KERNEL && info->ssi_signo != SIGHUP;
}

static enum child_news act(const struct child *child, const struct signalfd_siginfo *info, int *out_status)
{
    int signo = (int)info->ssi_signo;
    if (signo == SIGCHLD)
        return reap(child, out_status);
    if (child->pid > 0) {
        if (!came_from_terminal(info))
            kill(child->pid, signo);
        return CHILD_GOES_ON;
    }
    if (signo != SIGTERM && signo != SIGINT && signo != SIGHUP && signo != SIGQUIT)
        return CHILD_GOES_ON;
    *out_status = 0;
    return CHILD_ENDED;
}

enum child_news child_signals(struct child *child, int *out_status)
{
    struct signalfd_siginfo info;
    enum child_news news = CHILD_GOES_ON;
    while (news == CHILD_GOES_ON && read(child->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        news = act(child, &info, out_status);
    return news;
}
