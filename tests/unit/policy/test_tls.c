/* SPDX-License-Identifier: Apache-2.0 */
/* The hello stage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cases.h"

#include <cmocka.h>

static const char limited[] = "name: e\nconfig: {networking: {type: limited, allowed_hosts: [a.test, \"*.wild.test\", "
                              "11.22.33.44]}}\n"
                              "egress:\n"
                              "  hosts:\n"
                              "    - {host: silent.test, tls: {non_tls: allow}}\n"
                              "    - {host: nameless.test, tls: {sni: optional}}\n"
                              "    - {host: browser.test, tls: {ech: outer}}\n"
                              "    - {host: 11.22.33.45, tls: {sni: required}}\n";

static void test_limited(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {limited, "connect", "a.test:443",        NULL, "sni=a.test",          "allowed",         "egress.tls"     },
        {limited, "connect", "A.Test.:443",       NULL, "sni=A.TEST",          "allowed",         ""               },
        {limited, "connect", "a.test:443",        NULL, "sni=denied.test",     "sni_mismatch",    "egress.tls"     },
        {limited, "connect", "a.wild.test:443",   NULL, "sni=b.wild.test",     "sni_mismatch",    ""               },
        {limited, "connect", "a.test:443",        NULL, "no-sni",              "sni_absent",      ""               },
        {limited, "connect", "a.test:443",        NULL, "sni=a.test+ech",      "ech_refused",     ""               },
        {limited, "connect", "a.test:443",        NULL, "sni=cdn.test+ech",    "ech_refused",     ""               },
        {limited, "connect", "a.test:443",        NULL, "no-tls",              "not_tls",         ""               },
        {limited, "connect", "a.test:443",        NULL, "silence",             "hello_timeout",   ""               },
        {limited, "socks5",  "a.test:443",        NULL, "sni=denied.test",     "sni_mismatch",    ""               },
        {limited, "tls",     "a.test:443",        NULL, "sni=denied.test",     "sni_mismatch",    ""               },
        {limited, "connect", "11.22.33.44:443",   NULL, "no-sni",              "allowed",         ""               },
        {limited, "connect", "11.22.33.44:443",   NULL, "sni=a.test",          "sni_mismatch",    ""               },
        {limited, "connect", "11.22.33.45:443",   NULL, "no-sni",              "allowed",         "egress.hosts[3]"},
        {limited, "connect", "silent.test:443",   NULL, "no-tls",              "allowed",         "egress.hosts[0]"},
        {limited, "connect", "silent.test:443",   NULL, "silence",             "allowed",         ""               },
        {limited, "connect", "silent.test:443",   NULL, "no-sni",              "sni_absent",      ""               },
        {limited, "connect", "nameless.test:443", NULL, "no-sni",              "allowed",         ""               },
        {limited, "connect", "nameless.test:443", NULL, "sni=x.test",          "sni_mismatch",    ""               },
        {limited, "connect", "browser.test:443",  NULL, "sni=browser.test+ech", "allowed",        ""               },
        {limited, "connect", "browser.test:443",  NULL, "sni=cdn.test+ech",    "sni_mismatch",    ""               },
        {limited, "connect", "browser.test:443",  NULL, "no-sni+ech",          "sni_absent",      ""               },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

static const char unrestricted[] = "name: e\nconfig: {networking: {type: unrestricted}}\n"
                                   "egress: {hosts: [{host: strict.test, tls: {non_tls: refuse, sni: required}}]}\n";

static void test_unrestricted(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {unrestricted, "connect", "a.test:443",      NULL, "sni=a.test",     "allowed",       ""},
        {unrestricted, "connect", "a.test:443",      NULL, "sni=b.test",     "sni_mismatch",  ""},
        {unrestricted, "connect", "a.test:443",      NULL, "no-sni",         "allowed",       ""},
        {unrestricted, "connect", "a.test:443",      NULL, "sni=a.test+ech", "allowed",       ""},
        {unrestricted, "connect", "a.test:443",      NULL, "no-tls",         "allowed",       ""},
        {unrestricted, "connect", "a.test:443",      NULL, "silence",        "allowed",       ""},
        {unrestricted, "connect", "strict.test:443", NULL, "no-tls",         "not_tls",       "egress.hosts[0]"},
        {unrestricted, "connect", "strict.test:443", NULL, "silence",        "hello_timeout", ""},
        {unrestricted, "connect", "strict.test:443", NULL, "no-sni",         "sni_absent",    ""},
        {unrestricted, "connect", "11.22.33.44:443", NULL, "sni=a.test",     "sni_mismatch",  ""},
        {unrestricted, "connect", "11.22.33.44:443", NULL, "no-sni",         "allowed",       ""},
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* What holds for all hosts lets pass what begins without TLS, but waits for nobody: silence is a host's own matter. */
static const char env_wide[] = "name: e\nconfig: {networking: {type: limited, allowed_hosts: [a.test]}}\n"
                               "egress:\n"
                               "  tls: {sni: optional, ech: outer, non_tls: allow}\n"
                               "  hosts:\n"
                               "    - {host: strict.test, tls: {sni: required, ech: refuse, non_tls: refuse}}\n"
                               "    - {host: partly.test, tls: {sni: required}}\n";

static void test_env_wide(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {env_wide, "connect", "a.test:443",      NULL, "no-sni",              "allowed",       "egress.tls"     },
        {env_wide, "connect", "a.test:443",      NULL, "sni=a.test+ech",      "allowed",       ""               },
        {env_wide, "connect", "a.test:443",      NULL, "no-tls",              "allowed",       ""               },
        {env_wide, "connect", "a.test:443",      NULL, "silence",             "hello_timeout", ""               },
        {env_wide, "connect", "strict.test:443", NULL, "no-sni",              "sni_absent",    "egress.hosts[0]"},
        {env_wide, "connect", "strict.test:443", NULL, "sni=strict.test+ech", "ech_refused",   ""               },
        {env_wide, "connect", "strict.test:443", NULL, "no-tls",              "not_tls",       ""               },
        {env_wide, "connect", "partly.test:443", NULL, "no-sni",              "sni_absent",    ""               },
        {env_wide, "connect", "partly.test:443", NULL, "no-tls",              "allowed",       ""               },
        {env_wide, "connect", "partly.test:443", NULL, "silence",             "hello_timeout", ""               },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limited),
        cmocka_unit_test(test_unrestricted),
        cmocka_unit_test(test_env_wide),
    };
    return cmocka_run_group_tests_name("policy: the hello stage", tests, NULL, NULL);
}
