/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"
#include "options.h"

#include "base/digest.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "policy/policy.h"

#include <argp.h>
#include <jansson.h>
#include <stdio.h>

enum { OPT_JSON = 1000 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    bool *json = state->input;
    (void)arg;
    if (key == OPT_JSON)
        *json = true;
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

int verb_version(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", OPT_JSON, 0, 0, "as one JSON object", 0},
        {0    },
    };
    static const struct argp argp = {options,
                                     parse,
                                     NULL,
                                     "Versions of this program and of the libraries it runs with."
                                     "\vExample:\n  sallyport version --json",
                                     NULL,
                                     NULL,
                                     NULL};
    bool json = false;
    options_read(&argp, argc, argv, 0, &json);
    const char *const rows[][2] = {
        {"sallyport", SALLYPORT_VERSION         },
        {"libevent",  loop_library_version()    },
        {"openssl",   digest_library_version()  },
        {"c-ares",    resolver_library_version()},
        {"libyaml",   policy_yaml_version()     },
        {"pcre2",     policy_pcre2_version()    },
        {"libidn2",   policy_idn2_version()     },
        {"libpsl",    policy_psl_version()      },
        {"jansson",   jansson_version_str()     },
    };
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (json)
            json_object_set_new(object, rows[i][0], json_string(rows[i][1]));
        else
            printf("%-10s %s\n", rows[i][0], rows[i][1]);
    }
    if (json)
        json_dumpf(object, stdout, JSON_COMPACT);
    if (json)
        putchar('\n');
    json_decref(object);
    return 0;
}
