/* SPDX-License-Identifier: Apache-2.0 */
/* ipaddr, prefix and admitted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/admitted.h"
#include "wire/admitted_make.h"
#include "wire/ipaddr.h"

#include <arpa/inet.h>

struct row {
    const char *id;
    const char *raw;
    unsigned family;     /* 0: refused */
    const char *printed; /* NULL: as it was written */
};

static const struct row rows[] = {
    {"A-01",                    "11.22.33.44",                                         4, NULL                },
    {"zero",                    "0.0.0.0",                                             4, NULL                },
    {"broadcast",               "255.255.255.255",                                     4, NULL                },
    {"A-02 dword",              "2130706433",                                          0, NULL                },
    {"A-02 hex",                "0x7f000001",                                          0, NULL                },
    {"A-02 hex part",           "0x7f.0.0.1",                                          0, NULL                },
    {"A-02 octal",              "0177.0.0.1",                                          0, NULL                },
    {"A-02 0o",                 "0o177.0.0.1",                                         0, NULL                },
    {"A-03",                    "127.1",                                               0, NULL                },
    {"A-03",                    "127.0.1",                                             0, NULL                },
    {"A-03",                    "0",                                                   0, NULL                },
    {"A-03 padded",             "127.000.000.001",                                     0, NULL                },
    {"A-03 leading zero",       "010.0.0.1",                                           0, NULL                },
    {"A-03 dot",                "127.0.0.1.",                                          0, NULL                },
    {"A-04",                    "256.256.256.256",                                     0, NULL                },
    {"A-04",                    "1.2.3.4294967295",                                    0, NULL                },
    {"A-05",                    "\xe2\x91\xa0.\xe2\x93\xaa.\xe2\x93\xaa.\xe2\x91\xa0", 0, NULL                },
    {"A-08",                    "11.22.33.044",                                        0, NULL                },
    {"five parts",              "1.2.3.4.5",                                           0, NULL                },
    {"space",                   "1.2.3.4 ",                                            0, NULL                },
    {"empty",                   "",                                                    0, NULL                },
    {"name",                    "allowed.test",                                        0, NULL                },
    {"loopback",                "::1",                                                 6, NULL                },
    {"any",                     "::",                                                  6, NULL                },
    {"loopback with a quad",    "::0.0.0.1",                                           0, NULL                },
    {"any with a quad",         "::0.0.0.0",                                           0, NULL                },
    {"A-07 compatible",         "::127.0.0.1",                                         6, NULL                },
    {"A-07 compatible in hex",  "::a9fe:a9fe",                                         6, "::169.254.169.254" },
    {"A-07 translated",         "::ffff:0:127.0.0.1",                                  6, "::ffff:0:7f00:1"   },
    {"A-07 translated in hex",  "::ffff:0:7f00:1",                                     6, NULL                },
    {"A-08 mapped",             "::ffff:11.22.33.44",                                  6, NULL                },
    {"mapped in hex",           "::ffff:b16:212c",                                     6, "::ffff:11.22.33.44"},
    {"mapped, padded quad",     "::ffff:11.22.33.044",                                 0, NULL                },
    {"mapped, upper case",      "::FFFF:11.22.33.44",                                  0, NULL                },
    {"NAT64",                   "64:ff9b::7f00:1",                                     6, NULL                },
    {"NAT64 with a quad",       "64:ff9b::127.0.0.1",                                  0, NULL                },
    {"all groups",              "1:2:3:4:5:6:7:8",                                     6, NULL                },
    {"quad tail elsewhere",     "1:2:3:4:5:6:7.8.9.10",                                0, NULL                },
    {"longest run",             "1:0:0:2::3",                                          6, NULL                },
    {"first of equals",         "1::2:0:0:3:4",                                        6, NULL                },
    {"second of equals",        "1:0:0:2::3:4",                                        0, NULL                },
    {"single zero compressed",  "1:2:3::5:6:7:8",                                      0, NULL                },
    {"single zero written",     "1:2:3:0:5:6:7:8",                                     6, NULL                },
    {"run at the end",          "fe80::",                                              6, NULL                },
    {"run not compressed",      "1:2:3:4:5:6:0:0",                                     0, NULL                },
    {"run at the end of seven", "1:2:3:4:5:6::",                                       6, NULL                },
    {"leading zero",            "2001:0db8::1",                                        0, NULL                },
    {"upper case",              "2001:DB8::1",                                         0, NULL                },
    {"two gaps",                "1::2::3",                                             0, NULL                },
    {"zone",                    "fe80::1%lo",                                          0, NULL                },
    {"brackets",                "[::1]",                                               0, NULL                },
    {"nine groups",             "1:2:3:4:5:6:7:8:9",                                   0, NULL                },
    {"colon",                   ":",                                                   0, NULL                },
    {"longest text",            "1111:2222:3333:4444:5555:6666:7777:8888",             6, NULL                },
    {"too long",                "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa",   0, NULL                },
};

static void reads_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct ipaddr addr;
        memset(&addr, 0x55, sizeof addr);
        enum err err = ipaddr_parse(span_text(row->raw), &addr);
        if (row->family == 0) {
            if (err != ERR_INVALID || addr.family != 0x55)
                fail_msg("%s: '%s' not refused, or output touched", row->id, row->raw);
            continue;
        }
        if (err != ERR_NONE || addr.family != row->family)
            fail_msg("%s: '%s' refused", row->id, row->raw);
        char text[IPADDR_TEXT_MAX];
        size_t len = ipaddr_format(&addr, text);
        assert_int_equal(len, strlen(text));
        assert_string_equal(text, row->printed != NULL ? row->printed : row->raw);
        char libc[INET6_ADDRSTRLEN];
        assert_string_equal(text, inet_ntop(addr.family == 4 ? AF_INET : AF_INET6, addr.bytes, libc, sizeof libc));
    }
}

static void refuses_nul(void **state)
{
    (void)state;
    struct ipaddr addr;
    assert_int_equal(ipaddr_parse(span_make("1.2.3.4\0", 8), &addr), ERR_INVALID);
    assert_int_equal(ipaddr_parse(span_make("1.2.3.4\0x", 9), &addr), ERR_INVALID);
    assert_int_equal(ipaddr_parse(span_make("1.2.3.4", 7), &addr), ERR_NONE);
}

static struct ipaddr parsed(const char *text)
{
    struct ipaddr addr;
    assert_int_equal(ipaddr_parse(span_text(text), &addr), ERR_NONE);
    return addr;
}

static void sockaddr_round_trip(void **state)
{
    (void)state;
    static const char *const texts[] = {"11.22.33.44", "2001:db8:1::5"};
    for (size_t i = 0; i < 2; i++) {
        struct ipaddr addr = parsed(texts[i]);
        struct ipaddr back;
        struct sockaddr_storage storage;
        uint16_t port = 0;
        socklen_t len = ipaddr_to_sockaddr(&addr, 8443, &storage);
        assert_int_equal(len, i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        assert_int_equal(ipaddr_from_sockaddr((const struct sockaddr *)&storage, &back, &port), ERR_NONE);
        assert_int_equal(port, 8443);
        assert_true(ipaddr_equal(&addr, &back));
        assert_int_equal(ipaddr_from_sockaddr((const struct sockaddr *)&storage, &back, NULL), ERR_NONE);
    }
    struct ipaddr untouched = parsed("1.2.3.4");
    struct sockaddr other = {.sa_family = AF_UNIX};
    assert_int_equal(ipaddr_from_sockaddr(&other, &untouched, NULL), ERR_INVALID);
    assert_int_equal(untouched.bytes[0], 1);
}

struct socket_row {
    const char *raw;
    int family; /* 0: refused */
    int port;
};

static const struct socket_row sockets[] = {
    {"127.0.0.1:3128",         4, 3128 },
    {"127.0.0.1:65535",        4, 65535},
    {"127.0.0.1:1",            4, 1    },
    {"[::1]:53",               6, 53   },
    {"[2001:db8::1]:443",      6, 443  },
    {"127.0.0.1:65536",        0, 0    },
    {"127.0.0.1:",             0, 0    },
    {"127.0.0.1",              0, 0    },
    {"127.0.0.1:08",           0, 0    },
    {"127.0.0.1:+8",           0, 0    },
    {"127.0.0.1: 8",           0, 0    },
    {"[127.0.0.1]:80",         0, 0    },
    {"::1:80",                 0, 0    },
    {"[::1]80",                0, 0    },
    {"[::1:80",                0, 0    },
    {"[]:80",                  0, 0    },
    {"[:80",                   0, 0    },
    {"[::1%lo]:80",            0, 0    },
    {"localhost:80",           0, 0    },
    {":80",                    0, 0    },
    {":",                      0, 0    },
    {"",                       0, 0    },
    {"127.0.0.1:3128:3128",    0, 0    },
    {"18446744073709551616:1", 0, 0    },
};

static void reads_sockets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sockets / sizeof sockets[0]; i++) {
        const struct socket_row *row = &sockets[i];
        struct ipaddr addr = {.family = 0x55};
        uint16_t port = 7;
        enum err err = ipaddr_parse_socket(span_text(row->raw), 1, &addr, &port);
        if (row->family == 0 && (err != ERR_INVALID || addr.family != 0x55 || port != 7))
            fail_msg("'%s' not refused, or an output touched", row->raw);
        if (row->family != 0 && (err != ERR_NONE || addr.family != row->family || port != row->port))
            fail_msg("'%s' refused, or read as another", row->raw);
    }
    struct ipaddr addr;
    uint16_t port = 7;
    assert_int_equal(ipaddr_parse_socket(span_text("127.0.0.1:0"), 1, &addr, &port), ERR_INVALID);
    assert_int_equal(ipaddr_parse_socket(span_text("127.0.0.1:0"), 0, &addr, &port), ERR_NONE);
    assert_int_equal(port, 0);
}

static void families_are_never_equal(void **state)
{
    (void)state;
    struct ipaddr mapped = parsed("::ffff:11.22.33.44");
    struct ipaddr plain = parsed("11.22.33.44");
    assert_false(ipaddr_equal(&mapped, &plain));
    struct ipaddr none = {0};
    char text[IPADDR_TEXT_MAX];
    assert_int_equal(ipaddr_format(&none, text), 0);
    assert_string_equal(text, "");
}

struct prefix_row {
    const char *raw;
    int bits; /* -1: refused */
};

static const struct prefix_row prefixes[] = {
    {"10.0.0.0/8",         8  },
    {"10.1.2.3/32",        32 },
    {"10.1.2.3",           32 },
    {"0.0.0.0/0",          0  },
    {"2001:db8::/32",      32 },
    {"::1/128",            128},
    {"::1",                128},
    {"::/0",               0  },
    {"172.16.0.0/12",      12 },
    {"255.255.255.254/31", 31 },
    {"10.0.0.1/8",         -1 },
    {"10.0.0.0/33",        -1 },
    {"10.128.0.0/8",       -1 },
    {"10.128.0.0/9",       9  },
    {"10.0.0.0/",          -1 },
    {"10.0.0.0/08",        -1 },
    {"10.0.0.0/+8",        -1 },
    {"10.0.0.0/8/8",       -1 },
    {"2001:db8::1/32",     -1 },
    {"2001:db8::/129",     -1 },
    {"/8",                 -1 },
    {"",                   -1 },
    {"10.0.0/8",           -1 },
    {"172.16.1.0/20",      -1 },
    {"10.0.0.0/255.0.0.0", -1 },
};

static void reads_prefixes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        struct prefix p;
        memset(&p, 0x55, sizeof p);
        enum err err = prefix_parse(span_text(prefixes[i].raw), &p);
        int got = err == ERR_NONE ? p.bits : -1;
        if (got != prefixes[i].bits || (err != ERR_NONE && p.bits != 0x55))
            fail_msg("'%s': got %d, want %d", prefixes[i].raw, got, prefixes[i].bits);
    }
}

static struct prefix prefix_of(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(span_text(text), &p), ERR_NONE);
    return p;
}

static bool contains(const char *prefix, const char *addr)
{
    struct prefix p = prefix_of(prefix);
    struct ipaddr a = parsed(addr);
    return prefix_contains(&p, &a);
}

static bool covers(const char *outer, const char *inner)
{
    struct prefix a = prefix_of(outer);
    struct prefix b = prefix_of(inner);
    return prefix_covers(&a, &b);
}

static void prefixes_contain(void **state)
{
    (void)state;
    assert_false(contains("172.16.0.0/12", "172.15.255.255")); /* */
    assert_true(contains("172.16.0.0/12", "172.16.0.0"));
    assert_true(contains("172.16.0.0/12", "172.31.255.255"));
    assert_false(contains("172.16.0.0/12", "172.32.0.0"));
    assert_true(contains("100.64.0.0/10", "100.127.255.255")); /* */
    assert_false(contains("100.64.0.0/10", "100.128.0.0"));
    assert_true(contains("240.0.0.0/4", "255.255.255.255")); /* */
    assert_true(contains("ff00::/8", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    assert_false(contains("ff00::/8", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    assert_true(contains("0.0.0.0/0", "8.8.8.8"));
    assert_false(contains("0.0.0.0/0", "::1"));
    assert_false(contains("::/0", "127.0.0.1"));
    assert_true(contains("10.1.2.3", "10.1.2.3"));
    assert_false(contains("10.1.2.3", "10.1.2.4"));
    assert_true(covers("10.0.0.0/8", "10.20.0.0/16"));
    assert_true(covers("10.0.0.0/8", "10.0.0.0/8"));
    assert_false(covers("10.20.0.0/16", "10.0.0.0/8"));
    assert_false(covers("10.0.0.0/8", "11.0.0.0/16"));
    assert_false(covers("::/0", "10.0.0.0/8"));
}

static void admitted_holds_what_was_added(void **state)
{
    (void)state;
    struct admitted a;
    memset(&a, 0, sizeof a);
    assert_int_equal(admitted_count(&a), 0);
    assert_int_equal(admitted_port(&a), 0);
    admitted_begin(&a, 443);
    for (size_t i = 0; i < ADMITTED_MAX; i++) {
        struct ipaddr addr = {
            .family = i % 2 ? 6 : 4, .bytes = {11, 22, 33, (uint8_t)i}
        };
        assert_true(admitted_add(&a, &addr));
    }
    struct ipaddr more = parsed("1.2.3.4");
    assert_false(admitted_add(&a, &more));
    assert_int_equal(admitted_count(&a), ADMITTED_MAX);
    assert_int_equal(admitted_port(&a), 443);
    assert_int_equal(admitted_at(&a, 15)->bytes[3], 15);
    assert_int_equal(admitted_at(&a, 15)->family, 6);
    assert_int_equal(admitted_at(&a, 0)->family, 4);
    admitted_begin(&a, 8443);
    assert_int_equal(admitted_count(&a), 0);
    assert_int_equal(admitted_port(&a), 8443);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rows),
        cmocka_unit_test(refuses_nul),
        cmocka_unit_test(reads_sockets),
        cmocka_unit_test(sockaddr_round_trip),
        cmocka_unit_test(families_are_never_equal),
        cmocka_unit_test(reads_prefixes),
        cmocka_unit_test(prefixes_contain),
        cmocka_unit_test(admitted_holds_what_was_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
