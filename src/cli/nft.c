/* SPDX-License-Identifier: Apache-2.0 */
/* nft: rules for the kernel beside the proxy. audit-counter: an independent count of what the proxy's account sends. */
#include "audit_counter.h"
#include "audit_verbs.h"
#include "cli/verbs.h"
#include "options.h"

#include "base/text.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TABLE "sallyport_audit"

enum { OPT_UID = 1000, OPT_DNS_PORT };

struct nft_args {
    uint64_t uid, dns_port;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct nft_args *a = state->input;
    switch (key) {
    case OPT_UID:
        if (text_u64(span_text(arg), UINT32_MAX - 1, &a->uid) != ERR_NONE)
            argp_error(state, "'%s' is no uid", arg);
        return 0;
    case OPT_DNS_PORT:
        if (text_u64(span_text(arg), 65535, &a->dns_port) != ERR_NONE || a->dns_port == 0)
            argp_error(state, "'%s' is no port", arg);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is one word too many", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static uint64_t default_uid(void)
{
    static const char *const names[] = {"sallyport", "nobody"};
    if (geteuid() != 0)
        return geteuid();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct passwd *entry = getpwnam(names[i]);
        if (entry != NULL)
            return entry->pw_uid;
    }
    return 65534;
}

/* A SYN that is sent again is the same connection: its four numbers are remembered for as long as the kernel tries, and
 * its sequence number, since a port may be used again for another one sooner than that. In sets of their own: nft 1.0.6
 * fails on a concatenation with the sequence number when it lists it. Packets of no account known are nobody's SYN. */
static void print_rules(const struct nft_args *a)
{
    unsigned uid = (unsigned)a->uid, port = (unsigned)a->dns_port;
    printf("table inet " TABLE " {\n"
           "    counter connects { }\n"
           "    counter dns_queries { }\n"
           "    counter dns_over_tcp { }\n"
           "    set seen4 { type ipv4_addr . inet_service . ipv4_addr . inet_service; flags dynamic, timeout; "
           "timeout 3m; size 1048576; }\n"
           "    set seen6 { type ipv6_addr . inet_service . ipv6_addr . inet_service; flags dynamic, timeout; "
           "timeout 3m; size 1048576; }\n"
           "    set sequences { typeof tcp sequence; flags dynamic, timeout; timeout 3m; size 1048576; }\n"
           "    chain output {\n"
           "        type filter hook output priority 0; policy accept;\n"
           "        meta skuid %u jump counted\n"
           "    }\n"
           "    chain counted {\n"
           "        udp dport %u counter name dns_queries return\n"
           "        tcp flags & (fin | syn | rst | ack) != syn return\n"
           "        tcp dport %u counter name dns_over_tcp return\n"
           "        ip saddr . tcp sport . ip daddr . tcp dport @seen4 tcp sequence @sequences return\n"
           "        ip6 saddr . tcp sport . ip6 daddr . tcp dport @seen6 tcp sequence @sequences return\n"
           "        update @sequences { tcp sequence }\n"
           "        meta nfproto ipv4 update @seen4 { ip saddr . tcp sport . ip daddr . tcp dport }\n"
           "        meta nfproto ipv6 update @seen6 { ip6 saddr . tcp sport . ip6 daddr . tcp dport }\n"
           "        counter name connects\n"
           "    }\n"
           "}\n",
           uid, port, port);
}

static int audit_counter(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        {"uid",      OPT_UID,      "UID",  0,
         "the account that the proxy runs as; else that of sallyport, or nobody", 0},
        {"dns-port", OPT_DNS_PORT, "PORT", 0, "where its name servers listen (53)", 0},
        {0},
    };
    /* clang-format on */
    static const struct argp argp = {
        options,
        parse,
        "",
        "Prints rules for nft(8) that count the connections and DNS queries of the proxy's account, outside the proxy. "
        "Load them before the log is begun; 'audit verify --counter' holds the count against the log: equal numbers "
        "say that nothing left unrecorded.\vExample:\n"
        "  sallyport nft audit-counter --uid 998 | nft -f -\n"
        "  nft -j list counters table inet " TABLE " > counted.json\n"
        "  sallyport audit verify --counter counted.json /var/lib/sallyport/audit\n\n"
        "Exit status: 0 done, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct nft_args args = {.uid = default_uid(), .dns_port = 53};
    options_read(&argp, argc, argv, 0, &args);
    print_rules(&args);
    return fflush(stdout) == 0 ? 0 : 1;
}

int verb_nft(int argc, char **argv)
{
    static const char usage[] =
        "Usage: sallyport nft audit-counter [--uid UID] [--dns-port PORT]\n\n"
        "  audit-counter  rules that count what the proxy's account sends, to be held against the audit log\n\n"
        "Example:\n  sallyport nft audit-counter | nft -f -\n\nExit status: 0 done, 64 wrong usage.\n";
    argp_err_exit_status = EXIT_USAGE;
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc < 2 || strcmp(argv[1], "audit-counter") != 0) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    char name[] = "sallyport nft audit-counter";
    argv[1] = name;
    return audit_counter(argc - 1, argv + 1);
}

/* ---- what it says ---- */

static bool take_counter(const json_t *counters, const char *name, uint64_t *out)
{
    size_t i;
    json_t *row;
    json_array_foreach(counters, i, row)
    {
        const json_t *c = json_object_get(row, "counter");
        const char *table = json_string_value(json_object_get(c, "table"));
        const char *have = json_string_value(json_object_get(c, "name"));
        const json_t *packets = json_object_get(c, "packets");
        if (table == NULL || have == NULL || strcmp(table, TABLE) != 0 || strcmp(have, name) != 0)
            continue;
        if (!json_is_integer(packets) || json_integer_value(packets) < 0)
            return false;
        *out = (uint64_t)json_integer_value(packets);
        return true;
    }
    return false;
}

bool audit_read_counter(const char *path, struct verify_counter *out)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    const json_t *counters = json_object_get(root, "nftables");
    bool good =
        take_counter(counters, "connects", &out->connects) && take_counter(counters, "dns_queries", &out->dns_queries);
    if (!good)
        fprintf(stderr, "sallyport audit verify: %s: not what 'nft -j list counters table inet " TABLE "' prints\n",
                path);
    json_decref(root);
    return good;
}
