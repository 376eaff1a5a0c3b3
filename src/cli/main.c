/* SPDX-License-Identifier: Apache-2.0 */
/* sallyport: one program, one verb a task. */
#include "cli/verbs.h"

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct verb {
    const char *name;
    int (*fn)(int argc, char **argv);
    const char *sentence;
};

static const struct verb verbs[] = {
    {"run",     verb_run,     "the proxy"                                                     },
    {"check",   verb_check,   "would this policy load, what does it open, and from which line"},
    {"explain", verb_explain, "one decision, the line that made it, and what would change it" },
    {"groups",  verb_groups,  "hosts of package managers that a policy can open"              },
    {"exec",    verb_exec,    "one command in a sandbox of its own, with a proxy of its own"  },
    {"audit",   verb_audit,   "verify, read and prove the audit log"                          },
    {"nft",     verb_nft,     "rules for the kernel: an independent count of what leaves"     },
    {"env",     verb_env,     "variables and files that make clients use the proxy"           },
    {"session", verb_session, "open, narrow and close a session with a socket of its own"     },
    {"status",  verb_status,  "what a running proxy is doing"                                 },
    {"health",  verb_health,  "is a running proxy ready"                                      },
    {"policy",  verb_policy,  "what was in force, its texts, and what changed"                },
    {"reload",  verb_reload,  "make a running proxy load its policy now"                      },
    {"schema",  verb_schema,  "JSON Schema of the files that people write"                    },
    {"version", verb_version, "versions of this program and its libraries"                    },
};

static void usage(FILE *out)
{
    fputs(
        "Usage: sallyport VERB [OPTION...]\n"
        "An egress-filtering forward proxy: what may leave is decided by a policy, and every attempt is recorded.\n\n",
        out);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        fprintf(out, "  %-9s %s\n", verbs[i].name, verbs[i].sentence);
    fputs("\nEvery verb has --help with an example. First steps:\n"
          "  sallyport check policies/invoice-env.yaml\n"
          "  sallyport explain --policy policies/invoice-env.yaml pypi.org\n"
          "  sallyport run --policy policies/invoice-env.yaml\n",
          out);
}

int main(int argc, char **argv)
{
    argp_err_exit_status = EXIT_USAGE;
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0)
        return verb_version(argc - 1, argv + 1);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(argv[1], verbs[i].name) != 0)
            continue;
        char name[64];
        snprintf(name, sizeof name, "sallyport %s", verbs[i].name);
        argv[1] = name;
        return verbs[i].fn(argc - 1, argv + 1);
    }
    fprintf(stderr, "sallyport: there is no verb '%s'; 'sallyport --help' lists them\n", argv[1]);
    return EXIT_USAGE;
}
