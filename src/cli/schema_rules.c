/* SPDX-License-Identifier: Apache-2.0 */
#include "schema_rules.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- forms of strings ---- */

#define OCTET "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define IPV4  OCTET "(\\." OCTET "){3}"
/* Lower case, no leading zeros, no zero group beside `::`: as much of RFC 5952 as a short pattern holds. */
#define IPV6                                                                                                           \
    "(?=[^/]*:[^/]*:)(?![^/]*(^|:)0[0-9a-f])(?![^/]*:0::)(?![^/]*::0(:|/|$))(?![^/]*:::)"                              \
    "(([0-9a-f]{1,4})?(::?[0-9a-f]{1,4}){1,7}(::)?|[0-9a-f]{1,4}::|::)"
/* No IPv4 inside: such an address is never a target. */
#define IPV6_HOST "(?!::ffff:|64:ff9b:|2002:)" IPV6

#define EDGE  "[A-Za-z0-9_\\u00a1-\\u3001\\u3003-\\ufefe\\uff65-\\uffff]"
#define LABEL EDGE "([A-Za-z0-9_\\u00a1-\\u3001\\u3003-\\ufefe\\uff65-\\uffff-]{0,61}" EDGE ")?"
/* What ends in a number is an address that somebody wrote oddly. */
#define NO_NUMBER "(?!.*(^|\\.)([0-9]+|0[xX][0-9a-fA-F]*)\\.?$)"
#define NAME      NO_NUMBER LABEL "(\\." LABEL ")*\\.?"
/* Nobody owns everything below one label. */
#define WILD_ALLOWING NO_NUMBER "\\*\\." LABEL "(\\." LABEL ")+\\.?"
#define WILD_DENYING  NO_NUMBER "\\*\\." LABEL "(\\." LABEL ")*\\.?"

#define V4_BITS "(/(3[0-2]|[12]?[0-9]))?"
#define V6_BITS "(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?"

#define HOST        "^(" NAME "|" WILD_ALLOWING "|" IPV4 "|" IPV6_HOST ")$"
#define HOST_OR_URL "^(https://)?(" NAME "|" WILD_ALLOWING "|" IPV4 "|" IPV6_HOST ")$"
#define NAMES       "^(" NAME "|" WILD_DENYING ")$"
#define PREFIX      "^(" IPV4 V4_BITS "|" IPV6 V6_BITS ")$"

/* The ranges that a policy may open by naming them. */
#define PRIVATE                                                                                                        \
    "^(?=10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.|"           \
    "198\\.1[89]\\.|f[cd][0-9a-f]{2}:|fe[c-f][0-9a-f]:|2001:2:)(" IPV4 V4_BITS "|" IPV6 V6_BITS ")$"
/* Loopback is opened by single addresses only, link-local by nothing. */
#define PIN                                                                                                            \
    "^(?!127\\.[0-9.]*/(?!32$))(?!169\\.254\\.)(?!fe[89ab][0-9a-f]:)(?!::ffff:)(" IPV4 V4_BITS "|" IPV6 V6_BITS ")"    \
    "$"
#define NAT64 "^(?!f)" IPV6 "/(32|40|48|56|64|96)$"
#define URL   "^[Hh][Tt][Tt][Pp][Ss]?://(?![^/?#]*@)(?![^/?#]*:0*([/?#]|$))[^/?#]+([/?#].*)?$"

#define PORT    "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
#define ADDRESS "(" IPV4 "|\\[" IPV6 "\\])"

static const struct {
    const char *path, *pattern;
} by_path[] = {
    {"name",                            "^(?!-$)[^\\n\\r]{1,128}$"                             },
    {"config.networking.allowed_hosts", HOST_OR_URL                                            },
    {"egress.environment_ids",          "^[\\s\\S]{1,128}$"                                    },
    {"egress.mcp_servers[].url",        URL                                                    },
    {"egress.hosts[].host",             HOST                                                   },
    {"egress.hosts[].addresses",        PIN                                                    },
    {"egress.private_networks",         PRIVATE                                                },
    {"egress.nat64",                    NAT64                                                  },
    {"egress.denial_hint",              "^[ -~]{1,256}$"                                       },
    {"egress.observe_until",            "^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"},
    {"environments[].sources",          PREFIX                                                 },
    {"listeners[].listen",              "^(unix:.+|" ADDRESS ":(0|" PORT "))$"                 },
    {"listeners[].mode",                "^0?6[0246][0246]$"                                    },
    {"dns",                             "^" ADDRESS ":" PORT "$"                               },
    {"admin",                           "^unix:.+$"                                            },
    {"drain",                           SCHEMA_DURATION                                        },
    {"audit.unsigned_limit",            SCHEMA_DURATION                                        },
    {"audit.traffic_interval",          SCHEMA_DURATION                                        },
    {"memory",                          SCHEMA_SIZE                                            },
    {"audit.traffic_bytes",             SCHEMA_SIZE                                            },
};

static const struct {
    enum key_type type;
    const char *pattern;
} by_type[] = {
    {KEY_HOSTS,    HOST                                                    },
    {KEY_NAMES,    NAMES                                                   },
    {KEY_PATTERNS, "^(?!.*\\(\\*)(?!.*\\(\\?C)(?!.*\\\\C)[\\s\\S]{1,1024}$"},
    {KEY_PATHS,    "^.+$"                                                  },
    {KEY_PREFIX,   PREFIX                                                  },
    {KEY_PREFIXES, PREFIX                                                  },
};

const char *schema_pattern_of(const struct key_row *row)
{
    for (size_t i = 0; i < sizeof by_path / sizeof by_path[0]; i++)
        if (strcmp(row->path, by_path[i].path) == 0)
            return by_path[i].pattern;
    for (size_t i = 0; i < sizeof by_type / sizeof by_type[0]; i++)
        if (row->type == by_type[i].type)
            return by_type[i].pattern;
    return NULL;
}

/* ---- rules between keys ---- */

static json_t *must(json_t *value)
{
    if (value == NULL)
        abort();
    return value;
}

/* `schema` as what stands at the end of a path of keys; `strict`: each key of the path must be there. */
static json_t *at(const char *path, bool strict, json_t *schema)
{
    const char *dot = strrchr(path, '.');
    const char *name = dot == NULL ? path : dot + 1;
    json_t *map = strict ? must(json_pack("{s:{s:o}, s:[s]}", "properties", name, schema, "required", name))
                         : must(json_pack("{s:{s:o}}", "properties", name, schema));
    if (dot == NULL)
        return map;
    char parent[96];
    snprintf(parent, sizeof parent, "%.*s", (int)(dot - path), path);
    return at(parent, strict, map); /* as deep as the path */
}

static json_t *is(const char *path, const char *word)
{
    return at(path, true, must(json_pack("{s:s}", "const", word)));
}

static json_t *is_true(const char *path)
{
    return at(path, true, must(json_pack("{s:b}", "const", 1)));
}

static json_t *absent(const char *path)
{
    return at(path, false, json_false());
}

static void add(json_t *rules, json_t *condition, json_t *then)
{
    json_array_append_new(rules, must(json_pack("{s:o, s:o}", "if", condition, "then", then)));
}

#define TYPE "config.networking.type"

/* What has no meaning where everything is allowed that is not denied. */
static void unrestricted(json_t *rules)
{
    static const char *const keys[] = {"config.networking.allowed_hosts", "config.networking.allow_mcp_servers",
                                       "config.networking.allow_package_managers", "egress.allowed_host_files",
                                       "egress.host_patterns.allow"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        add(rules, is(TYPE, "unrestricted"), absent(keys[i]));
}

/* A manager with a list that is not empty: packages are to be installed. */
static void packages(json_t *rules)
{
    json_t *empty =
        must(json_pack("{s:{s:{s:s, s:i}}}", "additionalProperties", "not", "type", "array", "minItems", 1));
    json_t *some = must(json_pack("{s:s, s:o}", "type", "object", "not", empty));
    json_t *condition = must(json_pack("{s:[o, o]}", "allOf", is(TYPE, "limited"), at("config.packages", true, some)));
    add(rules, condition, is_true("config.networking.allow_package_managers"));
}

static void observing(json_t *rules)
{
    add(rules, is("egress.mode", "observe"), at("egress.observe_until", true, must(json_object())));
    add(rules, at("egress.observe_until", true, must(json_object())), is("egress.mode", "observe"));
}

static void urls(json_t *rules)
{
    json_t *plain = must(json_pack("{s:{s:{s:s}}}", "items", "not", "pattern", "^https://"));
    json_t *otherwise = must(json_pack("{s:o}", "not", is_true("egress.accept_url_entries")));
    add(rules, otherwise, at("config.networking.allowed_hosts", false, plain));
}

/* Loopback is opened by address and port together. */
static void loopback(json_t *rules)
{
    json_t *local = must(json_pack("{s:{s:s}}", "contains", "pattern", "^(127\\.|::1(/|$))"));
    json_t *entry =
        must(json_pack("{s:o, s:{s:[s]}}", "if", at("addresses", true, local), "then", "required", "ports"));
    json_array_append_new(rules, at("egress.hosts", false, must(json_pack("{s:o}", "items", entry))));
}

void schema_rules_environment(json_t *schema)
{
    json_t *rules = must(json_array());
    unrestricted(rules);
    packages(rules);
    observing(rules);
    urls(rules);
    loopback(rules);
    add(rules, is_true("egress.blocked_ports_replace"), at("egress.blocked_ports", true, must(json_object())));
    if (json_object_set_new(schema, "allOf", rules) != 0)
        abort();
}

static json_t *both(const char *one, const char *other)
{
    return must(json_pack("{s:[s, s]}", "required", one, other));
}

/* An entry of the environments says its environment once, in a file or here, and its egress block likewise. */
static json_t *one_environment(void)
{
    json_t *once = must(json_pack("{s:[{s:[s]}, {s:[s]}]}", "oneOf", "required", "file", "required", "environment"));
    json_t *block = must(json_pack("{s:o}", "not", both("egress_file", "egress")));
    return must(json_pack("{s:{s:[o, o]}}", "items", "allOf", once, block));
}

/* Permissions belong to Unix sockets, source addresses to the others. */
static json_t *one_listener(void)
{
    json_t *owned = must(json_pack("{s:[{s:[s]}, {s:[s]}, {s:[s]}]}", "anyOf", "required", "mode", "required", "owner",
                                   "required", "group"));
    json_t *is_unix = must(json_pack("{s:{s:{s:s}}}", "properties", "listen", "pattern", "^unix:"));
    json_t *is_other = must(json_pack("{s:{s:{s:{s:s}}}}", "properties", "listen", "not", "pattern", "^unix:"));
    json_t *permissions = must(json_pack("{s:o, s:o}", "if", owned, "then", is_unix));
    json_t *sources = must(json_pack("{s:{s:[s]}, s:o}", "if", "required", "by", "then", is_other));
    json_t *choice = must(json_pack("{s:o}", "not", both("by", "environment")));
    return must(json_pack("{s:{s:[o, o, o]}}", "items", "allOf", permissions, sources, choice));
}

/* What stands in the two blocks has the schema of an environment. */
static json_t *ceiling(void)
{
    return must(json_pack("{s:s, s:[s], s:{s:{}, s:{}}, s:b}", "type", "object", "required", "networking", "properties",
                          "networking", "egress", "additionalProperties", 0));
}

void schema_rules_config(json_t *schema)
{
    json_t *rules = must(json_pack("[o, o, o]", at("environments", false, one_environment()),
                                   at("listeners", false, one_listener()), at("ceiling", false, ceiling())));
    if (json_object_set_new(schema, "allOf", rules) != 0)
        abort();
}
