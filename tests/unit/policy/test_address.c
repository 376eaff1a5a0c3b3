/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: what may be dialled for whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cases.h"

#include <cmocka.h>
#include <stdio.h>

#define LIMITED(hosts) "name: e\nconfig:\n  networking:\n    type: limited\n    allowed_hosts: " hosts "\n"

static const char fixture[] = LIMITED("[allowed.test, \"*.wild.test\"]");

/* One address as the answer for an allowed name: its class, or NULL where it may be dialled. Ranges are asked at both
 * ends, and their neighbours outside. */
static const struct {
    const char *address, *class;
} ranges[] = {
  /* clang-format off */
    {"11.22.33.44",              NULL                              },
    {"0.0.0.0",                  "unspecified"                     },
    {"0.0.0.1",                  "this network (0.0.0.0/8)"        },
    {"0.255.255.255",            "this network (0.0.0.0/8)"        },
    {"1.0.0.0",                  NULL                              },
    {"9.255.255.255",            NULL                              },
    {"10.0.0.0",                 "private (RFC 1918)"              },
    {"10.255.255.255",           "private (RFC 1918)"              },
    {"11.0.0.0",                 NULL                              },
    {"100.63.255.255",           NULL                              },
    {"100.64.0.0",               "carrier-grade NAT"               },
    {"100.100.100.200",          "platform endpoint"               },
    {"100.127.255.255",          "carrier-grade NAT"               },
    {"100.128.0.0",              NULL                              },
    {"126.255.255.255",          NULL                              },
    {"127.0.0.1",                "loopback"                        },
    {"127.255.255.254",          "loopback"                        },
    {"128.0.0.0",                NULL                              },
    {"168.63.129.16",            "platform endpoint"               },
    {"168.63.129.17",            NULL                              },
    {"169.253.255.255",          NULL                              },
    {"169.254.0.0",              "link-local"                      },
    {"169.254.169.254",          "link-local"                      },
    {"169.254.170.2",            "link-local"                      },
    {"169.254.170.23",           "link-local"                      },
    {"169.254.255.255",          "link-local"                      },
    {"169.255.0.0",              NULL                              },
    {"172.15.255.255",           NULL                              },
    {"172.16.0.0",               "private (RFC 1918)"              },
    {"172.31.255.255",           "private (RFC 1918)"              },
    {"172.32.0.0",               NULL                              },
    {"192.0.0.1",                "reserved (protocol assignments)" },
    {"192.0.0.192",              "platform endpoint"               },
    {"192.0.1.0",                NULL                              },
    {"192.0.2.1",                "documentation"                   },
    {"192.88.99.1",              "reserved (6to4 relay)"           },
    {"192.167.255.255",          NULL                              },
    {"192.168.0.0",              "private (RFC 1918)"              },
    {"192.168.255.255",          "private (RFC 1918)"              },
    {"192.169.0.0",              NULL                              },
    {"198.17.255.255",           NULL                              },
    {"198.18.0.0",               "benchmarking"                    },
    {"198.19.255.255",           "benchmarking"                    },
    {"198.20.0.0",               NULL                              },
    {"198.51.100.1",             "documentation"                   },
    {"203.0.113.9",              "documentation"                   },
    {"223.255.255.255",          NULL                              },
    {"224.0.0.0",                "multicast"                       },
    {"239.255.255.255",          "multicast"                       },
    {"240.0.0.0",                "reserved"                        },
    {"255.255.255.254",          "reserved"                        },
    {"255.255.255.255",          "broadcast"                       },
    {"2606:4700::1",             NULL                              },
    {"::",                       "unspecified"                     },
    {"::1",                      "loopback"                        },
    {"::7f00:1",                 "IPv4-compatible"                 },
    {"::ffff:127.0.0.1",         "IPv4-mapped"                     },
    {"::ffff:11.22.33.44",       "IPv4-mapped"                     },
    {"::ffff:0:b16:212c",        "IPv4-translated"                 },
    {"64:ff9b::7f00:1",          "NAT64"                           },
    {"64:ff9b::a9fe:a9fe",       "NAT64"                           },
    {"64:ff9b:1::1",             "NAT64"                           },
    {"64:ff9b:2::1",             "reserved"                        },
    {"100::1",                   "reserved (discard)"              },
    {"2001::1",                  "Teredo"                          },
    {"2001:2::1",                "benchmarking"                    },
    {"2001:10::1",               "reserved (protocol assignments)" },
    {"2001:20::1",               "reserved (protocol assignments)" },
    {"2001:1ff:ffff::1",         "reserved (protocol assignments)" },
    {"2001:200::1",              NULL                              },
    {"2001:db8::1",              "documentation"                   },
    {"2002:b16:212c::1",         "6to4"                            },
    {"2003::1",                  NULL                              },
    {"3ffe:ffff::1",             NULL                              },
    {"3fff::1",                  "documentation"                   },
    {"3fff:fff:ffff::1",         "documentation"                   },
    {"4000::1",                  "reserved"                        },
    {"5f00::1",                  "reserved"                        },
    {"fbff::1",                  "reserved"                        },
    {"fc00::1",                  "private (unique local)"          },
    {"fd00::1",                  "private (unique local)"          },
    {"fd00:ec2::254",            "platform endpoint"               },
    {"fd00:ec2::253",            "private (unique local)"          },
    {"fd20:ce::254",             "platform endpoint"               },
    {"fe00::1",                  "reserved"                        },
    {"fe80::1",                  "link-local"                      },
    {"febf::1",                  "link-local"                      },
    {"fec0::1",                  "site-local"                      },
    {"feff::1",                  "site-local"                      },
    {"ff02::1",                  "multicast"                       },
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"        },
  /* clang-format on */
};

static void test_ranges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        struct ipaddr addr;
        const char *reason = ranges[i].class == NULL ? "allowed" : "address_forbidden";
        struct policy_case row = {fixture, "connect", "allowed.test:443", ranges[i].address, NULL, reason, NULL};
        cases_run(&row, 1);
        assert_int_equal(ipaddr_parse(span_text(ranges[i].address), &addr), ERR_NONE);
        assert_string_equal(policy_address_class(&addr), ranges[i].class == NULL ? "public" : ranges[i].class);
    }
}

/* One forbidden answer refuses all, wherever it stands. */
static void test_mixed(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {fixture, "connect", "allowed.test:443", "11.22.33.44 127.0.0.1", NULL, "address_forbidden", ""},
        {fixture, "connect", "allowed.test:443", "127.0.0.1 11.22.33.44",    NULL, "address_forbidden", ""},
        {fixture, "connect", "allowed.test:443", "11.22.33.44 ::1",          NULL, "address_forbidden", ""},
        {fixture, "connect", "allowed.test:443", "2606:4700::1 10.0.0.1",    NULL, "address_forbidden", ""},
        {fixture, "connect", "allowed.test:443", "11.22.33.44 2606:4700::1", NULL, "allowed",           ""},
        /* sixteen are looked at, the seventeenth is neither judged nor admitted */
        {fixture, "connect", "allowed.test:443", "11.0.0.1 11.0.0.2 11.0.0.3 11.0.0.4 11.0.0.5 11.0.0.6 11.0.0.7 "
         "11.0.0.8 11.0.0.9 11.0.0.10 11.0.0.11 11.0.0.12 11.0.0.13 11.0.0.14 11.0.0.15 11.0.0.16 127.0.0.1", NULL,
         "allowed", ""},
        {fixture, "connect", "allowed.test:443", "11.0.0.1 11.0.0.2 11.0.0.3 11.0.0.4 11.0.0.5 11.0.0.6 11.0.0.7 "
         "11.0.0.8 11.0.0.9 11.0.0.10 11.0.0.11 11.0.0.12 11.0.0.13 11.0.0.14 11.0.0.15 127.0.0.1", NULL,
         "address_forbidden", ""},
  /* clang-format on */
    };
    CASES_RUN(rows);
}

static void test_index(void **state)
{
    (void)state;
    struct policy *policy = case_load(fixture);
    struct target target = case_target("allowed.test:443");
    struct question question = {.door = DOOR_CONNECT, .method = METHOD_CONNECT, .target = &target};
    struct ipaddr answers[3];
    struct admitted admitted;
    struct decision decision;
    size_t index = 99;
    assert_int_equal(ipaddr_parse(span_text("11.22.33.44"), &answers[0]), ERR_NONE);
    assert_int_equal(ipaddr_parse(span_text("11.22.33.45"), &answers[1]), ERR_NONE);
    assert_int_equal(ipaddr_parse(span_text("::1"), &answers[2]), ERR_NONE);
    policy_ask_address(policy, &question, answers, 3, &admitted, &decision, &index);
    assert_int_equal(index, 2);
    assert_int_equal(decision.stage, STAGE_ADDRESS);
    assert_int_equal(admitted_count(&admitted), 0);
    /* no answer at all admits nothing */
    policy_ask_address(policy, &question, answers, 0, &admitted, &decision, NULL);
    assert_int_equal(decision.verdict, VERDICT_DENY);
    assert_int_equal(admitted_count(&admitted), 0);
    /* what the target stage refuses is not admitted, whatever the addresses */
    target = case_target("other.test:443");
    policy_ask_address(policy, &question, answers, 1, &admitted, &decision, NULL);
    assert_int_equal(decision.reason, REASON_HOST);
    assert_int_equal(decision.stage, STAGE_TARGET);
    assert_int_equal(admitted_count(&admitted), 0);
    policy_unref(policy);
}

/* Private networks open for names that stand in the file, not for names whose owner chose the address. */
static const char private_nets[] =
    "name: e\nconfig:\n  networking: {type: limited, allowed_hosts: [exact.test, \"*.wild.test\", 10.1.2.3, 10.9.9.9], "
    "allow_mcp_servers: true, allow_package_managers: true}\n"
    "egress:\n"
    "  private_networks: [10.1.2.3/32, 192.168.0.0/16, \"fd12::/16\"]\n"
    "  mcp_servers: [{type: url, name: a, url: \"https://mcp.wild.test:8443/\"}]\n"
    "  host_patterns: {allow: ['p[0-9]\\.pat\\.test']}\n"
    "  hosts: [{host: entry.test}, {host: \"*.entries.test\"}]\n";
static const char private_unrestricted[] = "name: e\nconfig: {networking: {type: unrestricted}}\n"
                                           "egress: {private_networks: [10.0.0.0/8], hosts: [{host: entry.test}]}\n";

static void test_private(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {private_nets, "connect", "exact.test:443", "10.1.2.3", NULL, "allowed", "egress.private_networks[0]"},
        {private_nets, "connect", "exact.test:443", "10.1.2.4", NULL, "address_forbidden", "builtin.addresses"},
        {private_nets, "connect", "exact.test:443", "192.168.255.255", NULL, "allowed", "egress.private_networks[1]"},
        {private_nets, "connect", "exact.test:443",      "fd12::1",         NULL, "allowed",           ""},
        {private_nets, "connect", "exact.test:443",      "fd13::1",         NULL, "address_forbidden", ""},
        {private_nets, "connect", "exact.test:443",      "127.0.0.1",       NULL, "address_forbidden", ""},
        {private_nets, "connect", "exact.test:443",      "169.254.169.254", NULL, "address_forbidden", ""},
        {private_nets, "connect", "entry.test:443",      "10.1.2.3",        NULL, "allowed",           ""},
        {private_nets, "connect", "a.entries.test:443",  "10.1.2.3",        NULL, "address_forbidden", ""},
        {private_nets, "connect", "a.wild.test:443",     "10.1.2.3",        NULL, "address_forbidden", ""},
        {private_nets, "connect", "p1.pat.test:443",     "10.1.2.3",        NULL, "address_forbidden", ""},
        {private_nets, "connect", "pypi.org:443",        "10.1.2.3",        NULL, "address_forbidden", ""},
        /* the endpoint's host, but only on the endpoint's port: on the other the wildcard allowed it */
        {private_nets, "connect", "mcp.wild.test:8443",  "10.1.2.3",        NULL, "allowed",           ""},
        {private_nets, "connect", "mcp.wild.test:443",   "10.1.2.3",        NULL, "address_forbidden", ""},
        {private_nets, "connect", "10.1.2.3:443",        "10.1.2.3",        NULL, "allowed",           ""},
        {private_nets, "connect", "10.9.9.9:443",        "10.9.9.9",        NULL, "address_forbidden", ""},
        /* a literal is dialled as it was asked for */
        {private_nets, "connect", "10.1.2.3:443",        "192.168.0.1",     NULL, "address_forbidden", ""},
        {private_unrestricted, "connect", "any.test:443",   "10.0.0.1",     NULL, "address_forbidden", ""},
        {private_unrestricted, "connect", "entry.test:443", "10.0.0.1",     NULL, "allowed",           ""},
        {private_unrestricted, "connect", "10.0.0.1:443",   "10.0.0.1",     NULL, "address_forbidden", ""},
        {private_unrestricted, "connect", "127.0.0.1:443",  "127.0.0.1",    NULL, "address_forbidden", ""},
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* Pins, and loopback by exact address and port. */
static const char pins[] =
    LIMITED("[free.test]") "egress:\n"
                           "  hosts:\n"
                           "    - {host: pin.test, addresses: [10.20.3.0/24, 11.22.33.0/24]}\n"
                           "    - {host: \"*.pin.test\", addresses: [10.20.4.0/24]}\n"
                           "    - {host: wide.test, addresses: [0.0.0.0/0]}\n"
                           "    - {host: local.test, addresses: [127.0.0.1/32, \"::1/128\"], ports: [8443]}\n"
                           "    - {host: \"*.local.test\", addresses: [127.0.0.2/32], ports: [8443]}\n"
                           "    - {host: 127.0.0.1, addresses: [127.0.0.1/32], ports: [9000]}\n"
                           "    - {host: nothing.test, addresses: []}\n";

static void test_pins(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {pins, "connect", "pin.test:443",       "10.20.3.9",   NULL, "allowed",           "egress.hosts[0].addresses"},
        {pins, "connect", "pin.test:443",       "11.22.33.44", NULL, "allowed",           ""                         },
        {pins, "connect", "pin.test:443",       "10.20.4.1",   NULL, "address_forbidden", "egress.hosts[0].addresses"},
        {pins, "connect", "pin.test:443",       "11.22.34.1",  NULL, "address_forbidden", "egress.hosts[0].addresses"},
        {pins, "connect", "pin.test:443",       "2606:4700::1", NULL, "address_forbidden", "egress.hosts[0].addresses"},
        {pins, "connect", "a.pin.test:443",     "10.20.4.1",   NULL, "allowed",           "egress.hosts[1].addresses"},
        {pins, "connect", "a.pin.test:443",     "10.20.3.1",   NULL, "address_forbidden", ""                         },
        {pins, "connect", "wide.test:443",      "11.22.33.44", NULL, "allowed",           ""                         },
        {pins, "connect", "wide.test:443",      "10.0.0.1",    NULL, "address_forbidden", "builtin.addresses"        },
        {pins, "connect", "wide.test:443",      "169.254.1.1", NULL, "address_forbidden", "builtin.addresses"        },
        {pins, "connect", "local.test:8443",    "127.0.0.1",   NULL, "allowed",           "egress.hosts[3].addresses"},
        {pins, "connect", "local.test:8443",    "::1",         NULL, "allowed",           ""                         },
        {pins, "connect", "local.test:8443",    "127.0.0.2",   NULL, "address_forbidden", ""                         },
        {pins, "connect", "local.test:8443",    "11.22.33.44", NULL, "address_forbidden", ""                         },
        {pins, "connect", "a.local.test:8443",  "127.0.0.2",   NULL, "allowed",           ""                         },
        {pins, "http",    "local.test:8443",    "127.0.0.1",   NULL, "allowed",           ""                         },
        {pins, "connect", "127.0.0.1:9000",     "127.0.0.1",   NULL, "allowed",           ""                         },
        {pins, "connect", "127.0.0.1:9001",     "127.0.0.1",   NULL, "port_not_allowed",  ""                         },
        {pins, "connect", "nothing.test:443",   "11.22.33.44", NULL, "address_forbidden", "egress.hosts[6].addresses"},
        {pins, "connect", "free.test:443",      "127.0.0.1",   NULL, "address_forbidden", ""                         },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* This program's own sockets: refused even where the address is admitted, and only with their port. */
static void test_own(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {pins,    "connect", "local.test:8443",  "127.0.0.1 own=127.0.0.1:8443",     NULL, "address_is_self", ""},
        {pins,    "connect", "local.test:8443",  "127.0.0.1 own=127.0.0.1:8444",     NULL, "allowed",         ""},
        {pins,    "connect", "local.test:8443",  "127.0.0.1 own=127.0.0.2:8443",     NULL, "allowed",         ""},
        {pins,    "connect", "local.test:8443",  "127.0.0.1 own=0.0.0.0:8443",       NULL, "address_is_self", ""},
        {pins,    "connect", "local.test:8443",  "127.0.0.1 own=[::]:8443",          NULL, "address_is_self", ""},
        {pins,    "connect", "local.test:8443",  "::1 own=[::]:8443",                NULL, "address_is_self", ""},
        {pins,    "connect", "local.test:8443",  "::1 own=0.0.0.0:8443",             NULL, "allowed",         ""},
        {fixture, "connect", "allowed.test:443", "11.22.33.44 own=11.22.33.44:443",  NULL, "address_is_self", ""},
        {fixture, "connect", "allowed.test:443", "127.0.0.1 own=127.0.0.1:443",      NULL, "address_is_self", ""},
        {fixture, "connect", "allowed.test:443", "11.22.33.44 own=11.22.33.44:3128", NULL, "allowed",         ""},
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* NAT64: the address inside, at the place that the length gives, must be admissible. */
static const char nat64_96[] = LIMITED("[allowed.test]") "egress: {nat64: \"64:ff9b::/96\"}\n";
static const char nat64_48[] = LIMITED("[allowed.test]") "egress: {nat64: \"64:ff9b:1::/48\"}\n";
static const char nat64_32[] = LIMITED("[allowed.test]") "egress: {nat64: \"2a00:1234::/32\"}\n";
static const char nat64_40[] = LIMITED("[allowed.test]") "egress: {nat64: \"2a00:1234:5600::/40\"}\n";
static const char nat64_56[] = LIMITED("[allowed.test]") "egress: {nat64: \"2a00:1234:5600:7700::/56\"}\n";
static const char nat64_64[] = LIMITED("[allowed.test]") "egress: {nat64: \"2a00:1234:5600:7700::/64\"}\n";
static const char nat64_private[] =
    LIMITED("[allowed.test, \"*.wild.test\"]") "egress: {nat64: \"64:ff9b::/96\", private_networks: [10.0.0.0/8]}\n";

static void test_nat64(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {nat64_96, "connect", "allowed.test:443", "64:ff9b::b16:212c",            NULL, "allowed",           ""},
        {nat64_96, "connect", "allowed.test:443", "64:ff9b::7f00:1",              NULL, "address_forbidden", ""},
        {nat64_96, "connect", "allowed.test:443", "64:ff9b::a9fe:a9fe",           NULL, "address_forbidden", ""},
        {nat64_96, "connect", "allowed.test:443", "64:ff9b::a00:1",               NULL, "address_forbidden", ""},
        {nat64_96, "connect", "allowed.test:443", "64:ff9b:1::b16:212c",          NULL, "address_forbidden", ""},
        {nat64_96, "connect", "allowed.test:443", "::ffff:11.22.33.44",           NULL, "address_forbidden", ""},
        {nat64_96, "connect", "allowed.test:443", "64:ff9b::b16:212c own=11.22.33.44:443", NULL, "address_is_self", ""},
        {nat64_96, "connect", "[64:ff9b::b16:212c]:443", NULL,                    NULL, "literal_not_allowed", ""},
        /* a private address at the place of the length, a public decoy at the end */
        {nat64_48, "connect", "allowed.test:443", "64:ff9b:1:a00:1:0:b16:212c",  NULL, "address_forbidden", ""},
        {nat64_48, "connect", "allowed.test:443", "64:ff9b:1:b16:21:2c00::",      NULL, "allowed",           ""},
        {nat64_48, "connect", "allowed.test:443", "64:ff9b:1:b16:21:2c00:0:1",     NULL, "address_forbidden", ""},
        {nat64_48, "connect", "allowed.test:443", "64:ff9b:1:b16:121:2c00::",     NULL, "address_forbidden", ""},
        {nat64_32, "connect", "allowed.test:443", "2a00:1234:b16:212c::",         NULL, "allowed",           ""},
        {nat64_32, "connect", "allowed.test:443", "2a00:1234:7f00:1::",           NULL, "address_forbidden", ""},
        {nat64_40, "connect", "allowed.test:443", "2a00:1234:560b:1621:2c::",     NULL, "allowed",           ""},
        {nat64_40, "connect", "allowed.test:443", "2a00:1234:560a:1:1::",         NULL, "address_forbidden", ""},
        {nat64_56, "connect", "allowed.test:443", "2a00:1234:5600:770b:16:212c::", NULL, "allowed",          ""},
        {nat64_56, "connect", "allowed.test:443", "2a00:1234:5600:770a:16:212c::", NULL, "address_forbidden", ""},
        {nat64_64, "connect", "allowed.test:443", "2a00:1234:5600:7700:b:1621:2c00:0", NULL, "allowed",      ""},
        {nat64_64, "connect", "allowed.test:443", "2a00:1234:5600:7700:7f:0:100:0", NULL, "address_forbidden", ""},
        {nat64_private, "connect", "allowed.test:443", "64:ff9b::a00:1",          NULL, "allowed",           ""},
        {nat64_private, "connect", "a.wild.test:443",  "64:ff9b::a00:1",          NULL, "address_forbidden", ""},
  /* clang-format on */
    };
    CASES_RUN(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),  cmocka_unit_test(test_mixed), cmocka_unit_test(test_index),
        cmocka_unit_test(test_private), cmocka_unit_test(test_pins),  cmocka_unit_test(test_own),
        cmocka_unit_test(test_nat64),
    };
    return cmocka_run_group_tests_name("policy: the address stage", tests, NULL, NULL);
}
