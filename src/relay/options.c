/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include "base/text.h"
#include "say.h"

#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

static const char help[] =
    "Usage: sallyport-relay --to unix:PATH|tcp:ADDR:PORT [OPTION...] [-- CMD [ARG...]]\n"
    "A port inside a sandbox for programs that only know HTTP_PROXY. Every connection to it is carried, byte for byte, "
    "to\n"
    "the egress proxy. It decides nothing: policy and identity belong to the proxy and to the socket that it listens "
    "on.\n"
    "\n"
    "  --to WHERE         the proxy: unix:PATH, tcp:ADDR:PORT or tcp:[V6]:PORT (required)\n"
    "  --listen WHERE     ADDR:PORT or [V6]:PORT (127.0.0.1:3128); port 0 takes a free one\n"
    "  --max N            connections at the same time (512)\n"
    "  --ready-fd N       descriptor that gets {\"listen\":\"ADDR:PORT\"} and a newline when the port is open\n"
    "  --env              gives CMD the variables that make programs use the port\n"
    "  --help, --version\n"
    "\n"
    "With CMD the port is open before CMD starts; signals are passed on to CMD, and the relay ends with the status of "
    "CMD\n"
    "(128 and the number of the signal that killed it). It may be process 1. Without CMD it runs until SIGTERM.\n"
    "\n"
    "Exit status: that of CMD; 0 ended by SIGTERM, SIGINT or SIGHUP, 1 failed, 64 wrong usage, 126 CMD cannot be\n"
    "executed, 127 CMD not found.\n"
    "\n"
    "Example:\n"
    "  sallyport-relay --to unix:/run/sallyport/proxy.sock --env -- curl https://pypi.org/\n";

enum {
    OPT_LISTEN = 1000,
    OPT_TO,
    OPT_READY_FD,
    OPT_MAX,
    OPT_ENV,
    OPT_HELP,
    OPT_VERSION,
};

static const struct option long_options[] = {
    {"listen",   required_argument, NULL, OPT_LISTEN  },
    {"to",       required_argument, NULL, OPT_TO      },
    {"ready-fd", required_argument, NULL, OPT_READY_FD},
    {"max",      required_argument, NULL, OPT_MAX     },
    {"env",      no_argument,       NULL, OPT_ENV     },
    {"help",     no_argument,       NULL, OPT_HELP    },
    {"version",  no_argument,       NULL, OPT_VERSION },
    {NULL,       0,                 NULL, 0           },
};

static enum options_result print(const char *text)
{
    ssize_t ignored = write(STDOUT_FILENO, text, strlen(text));
    (void)ignored;
    return OPTIONS_HELP;
}

static enum options_result wrong(const char *what, const char *value)
{
    say("%s, not '%s'; --help explains", what, value);
    return OPTIONS_WRONG;
}

static enum options_result take_listen(struct options *o, const char *arg)
{
    if (place_parse_listen(span_text(arg), &o->listen) != ERR_NONE)
        return wrong("--listen wants ADDR:PORT or [V6]:PORT", arg);
    return OPTIONS_RUN;
}

static enum options_result take_to(struct options *o, const char *arg)
{
    enum err err = place_parse_dial(span_text(arg), &o->to);
    if (err == ERR_TOO_BIG)
        return wrong("--to wants a path of at most 107 bytes", arg);
    if (err != ERR_NONE)
        return wrong("--to wants unix:PATH, tcp:ADDR:PORT or tcp:[V6]:PORT with an address literal", arg);
    return OPTIONS_RUN;
}

static enum options_result take_ready_fd(struct options *o, const char *arg)
{
    uint64_t fd = 0;
    if (text_u64(span_text(arg), 1048576, &fd) != ERR_NONE || fd == 0 || fcntl((int)fd, F_GETFD) < 0)
        return wrong("--ready-fd wants the number of an open descriptor", arg);
    o->ready_fd = (int)fd;
    return OPTIONS_RUN;
}

static enum options_result take_max(struct options *o, const char *arg)
{
    uint64_t max = 0;
    if (text_u64(span_text(arg), RELAY_MAX_LIMIT, &max) != ERR_NONE || max == 0)
        return wrong("--max wants a number from 1 to 16384", arg);
    o->max = (unsigned)max;
    return OPTIONS_RUN;
}

static enum options_result take(struct options *o, int key, const char *arg, const char *last)
{
    switch (key) {
    case OPT_LISTEN:
        return take_listen(o, arg);
    case OPT_TO:
        return take_to(o, arg);
    case OPT_READY_FD:
        return take_ready_fd(o, arg);
    case OPT_MAX:
        return take_max(o, arg);
    case OPT_ENV:
        o->env = true;
        return OPTIONS_RUN;
    case OPT_HELP:
        return print(help);
    case OPT_VERSION:
        return print("sallyport-relay " SALLYPORT_VERSION "\n");
    case ':':
        say("%s lacks its value; --help explains", last);
        return OPTIONS_WRONG;
    default:
        say("there is no option '%s'; --help lists them", last);
        return OPTIONS_WRONG;
    }
}

enum options_result options_parse(int argc, char **argv, struct options *out)
{
    *out = (struct options){.ready_fd = -1, .max = RELAY_MAX_DEFAULT};
    enum options_result result = take_listen(out, "127.0.0.1:3128");
    /* '+': the first word that is no option begins CMD; ':': no words of getopt's own. */
    for (int key; result == OPTIONS_RUN && (key = getopt_long(argc, argv, "+:", long_options, NULL)) != -1;)
        result = take(out, key, optarg, argv[optind - 1]);
    if (result != OPTIONS_RUN)
        return result;
    if (out->to.len == 0) {
        say("--to is required: unix:PATH or tcp:ADDR:PORT of the egress proxy; --help explains");
        return OPTIONS_WRONG;
    }
    if (optind < argc)
        out->command = argv + optind;
    if (out->env && out->command == NULL) {
        say("--env is for CMD, and there is none; --help explains");
        return OPTIONS_WRONG;
    }
    return OPTIONS_RUN;
}
