/* SPDX-License-Identifier: Apache-2.0 */
/* One command in a sandbox of its own, whose only way out is a proxy of its own. */
#include "exec.h"
#include "options.h"

#include "cli/verbs.h"
#include "findings.h"

#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define FEED_MS 100

enum {
    OPT_EGRESS = 1000,
    OPT_AUDIT_DIR,
    OPT_DNS,
};

/* clang-format off */
static const struct argp_option options[] = {
    {"policy",    'p',           "FILE",      0, "environment file that decides (nothing may leave)", 0},
    {"egress",    OPT_EGRESS,    "FILE",      0, "the egress block in a file of its own", 0},
    {"audit-dir", OPT_AUDIT_DIR, "DIR",       0, "audit log (one of its own under the state directory, in exec)", 0},
    {"dns",       OPT_DNS,       "ADDR:PORT", 0, "name server of the proxy, may be repeated (those of the system)", 0},
    {"quiet",     'q',           0,           0, "no lines while the command runs, no summary", 0},
    {0},
};
/* clang-format on */

static const char doc[] =
    "Runs CMD without a network: in user, network, mount, pid and ipc namespaces of its own, with a port of a proxy "
    "that "
    "the policy steers as its only way out. Needs no root. Standard error gets a line for each new host and its "
    "verdict, "
    "and at the end the lines of a policy that would allow what was denied."
    "\vExamples:\n"
    "  sallyport exec -- pip download zod\n"
    "  sallyport exec --policy policies/invoice-env.yaml -- python3 agent.py\n\n"
    "CMD sees a fresh /proc, an empty /run (with the socket of the proxy alone), a /dev without disks, a /sys for "
    "reading; state, audit, signer and policy files of this program are hidden; it has no capabilities and gains none "
    "(no_new_privs). The policy is read once: what CMD writes to it later does not count. Programs of another "
    "architecture do not run.\n\n"
    "What this does not contain:\n"
    "  * files: CMD reads and writes all that you may, so a program that you start later outside (a shell's start "
    "file, a cron job, a build tool's hook) may be one that CMD wrote, and that has a network;\n"
    "  * secrets: CMD has your environment and your keys, and may send them to every host that is allowed;\n"
    "  * Unix sockets in the file system outside /run (an ssh agent's in /tmp, for instance), and descriptors 0, 1 "
    "and 2: whatever is behind them can be reached;\n"
    "  * memory, processor time and disk space; faults of the kernel.\n"
    "As root CMD stays the owner of root's files: start it as an ordinary account where you can.\n\n"
    "Exit status: that of CMD (128 and the number of the signal that killed it); 1 the sandbox or the proxy could not "
    "be "
    "made, 64 wrong usage, 78 wrong configuration, 126 CMD cannot be executed, 127 CMD not found.";

static void add_dns(struct argp_state *state, struct exec *e, const char *arg)
{
    if (e->dns_count == DAEMON_DNS_MAX)
        argp_error(state, "more than %d name servers", DAEMON_DNS_MAX);
    struct resolver_server *server = &e->dns[e->dns_count++];
    if (ipaddr_parse_socket(span_text(arg), 1, &server->addr, &server->port) != ERR_NONE)
        argp_error(state, "--dns wants ADDR:PORT, not '%s'", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct exec *e = state->input;
    switch (key) {
    case 'p':
        e->policy_path = arg;
        return 0;
    case OPT_EGRESS:
        e->egress_path = arg;
        return 0;
    case OPT_AUDIT_DIR:
        e->audit_dir = arg;
        return 0;
    case OPT_DNS:
        add_dns(state, e, arg);
        return 0;
    case 'q':
        e->quiet = true;
        return 0;
    case ARGP_KEY_ARGS:
        e->command = state->argv + state->next;
        return 0;
    case ARGP_KEY_END:
        if (e->egress_path != NULL && e->policy_path == NULL)
            argp_error(state, "--egress stands beside --policy");
        if (e->command == NULL)
            argp_error(state, "there is no command; --help has an example");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Before the command could change it: for the list of what it must not see, and for the last words. */
static int load_policy(struct exec *e)
{
    const struct policy_sources sources = {.path = e->policy_text,
                                           .egress_path = e->egress_path != NULL ? e->egress_text : NULL};
    struct diag diag;
    diag_init(&diag);
    enum err err = policy_load(&sources, &diag, &e->policy);
    if (err != ERR_NONE)
        findings_print(&diag, stderr);
    diag_clear(&diag);
    return err == ERR_NONE ? 0 : EXIT_CONFIG;
}

/* ---- while it runs ---- */

/* Heard by a descriptor from here on. Stops of a terminal stay as they are; faults are ours. */
static int take_signals(struct exec *e)
{
    static const int left[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, SIGTSTP, SIGTTIN, SIGTTOU};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        sigdelset(&set, left[i]);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_BLOCK, &set, &e->mask_before);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* True once the sandbox has ended, with its status. */
static bool reap(struct exec *e, int *out_status)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == e->proxy) {
            e->proxy = 0;
            fprintf(stderr, "sallyport exec: the proxy has ended; nothing leaves any more (%s/proxy.log)\n", e->home);
        } else if (pid == e->sandbox) {
            e->sandbox = 0;
            *out_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
    }
    return e->sandbox == 0;
}

static void pass_on(const struct exec *e, int signal_fd)
{
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        int signo = (int)info.ssi_signo;
        /* What a terminal sends reaches the command by itself, but for the hangup, which its leader alone is told. */
        if (signo != SIGCHLD && (info.ssi_code != SI_KERNEL || signo == SIGHUP))
            kill(e->sandbox, signo);
    }
}

static int wait_for_end(struct exec *e, struct exec_feed *feed, int signal_fd)
{
    int status = 1;
    struct pollfd wait = {.fd = signal_fd, .events = POLLIN};
    while (!reap(e, &status)) {
        if (poll(&wait, 1, FEED_MS) > 0)
            pass_on(e, signal_fd);
        feed_read(feed);
    }
    return status;
}

/* ---- the order of things ---- */

static void stop_proxy(struct exec *e)
{
    if (e->proxy == 0)
        return;
    kill(e->proxy, SIGTERM);
    while (waitpid(e->proxy, NULL, 0) < 0 && errno == EINTR)
        ;
    e->proxy = 0;
}

/* Proxy and sandbox are made at the same time; the command waits for both. */
static int prepare(struct exec *e, struct exec_feed *feed)
{
    if ((e->policy_path == NULL && !exec_write_tightest(e)) || !exec_proxy_start(e))
        return 1;
    int status = load_policy(e);
    /* A log of its own lies below what is hidden anyway; another one must be there to be hidden. */
    if (status == 0 && e->audit_dir != NULL)
        status = exec_proxy_wait(e);
    if (status == 0 && (!exec_hide(e) || !exec_sandbox_make(e)))
        status = 1;
    if (status == 0)
        status = exec_proxy_wait(e);
    if (status == 0 && (!feed_open(feed, e->audit, e->quiet) || !exec_sandbox_go(e)))
        status = 1;
    return status;
}

static int run(struct exec *e, int signal_fd)
{
    static struct exec_feed feed;
    int status = prepare(e, &feed);
    bool started = status == 0;
    if (started)
        status = wait_for_end(e, &feed, signal_fd);
    exec_sandbox_stay(e);
    if (e->sandbox > 0)
        waitpid(e->sandbox, NULL, 0);
    stop_proxy(e);
    if (feed.reader != NULL)
        feed_read(&feed);
    if (started && !e->quiet)
        summary_print(&feed, e);
    feed_close(&feed);
    return status;
}

int verb_exec(int argc, char **argv)
{
    /* What follows the first word that is no option is the command's own. */
    static const struct argp argp = {options, parse, "[--] CMD [ARG...]", doc, NULL, NULL, NULL};
    static struct exec e;
    options_read(&argp, argc, argv, ARGP_IN_ORDER, &e);
    int signal_fd = take_signals(&e);
    if (signal_fd < 0) {
        exec_failed("a descriptor for signals");
        return 1;
    }
    int status = exec_place(&e) ? run(&e, signal_fd) : 1;
    exec_unplace(&e);
    policy_unref(e.policy);
    return status;
}
