/* SPDX-License-Identifier: Apache-2.0 */
/* One host of a policy as a person writes it: a name, a `*.` pattern, a canonical address. */
#include "loader.h"

#include "idn.h"
#include "suffix.h"

static bool has(struct span text, const char *part)
{
    size_t len = strlen(part);
    for (size_t i = 0; i + len <= text.len; i++)
        if (memcmp(text.data + i, part, len) == 0)
            return true;
    return false;
}

static bool only(struct span text, const char *set)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == 0 || strchr(set, text.data[i]) == NULL)
            return false;
    return text.len > 0;
}

static bool has_space(struct span text)
{
    return has(text, " ") || has(text, "\n") || has(text, "\t") || has(text, "\xc2\xa0");
}

/* What a person probably meant by something that is no host name. */
static const char *why_not(struct span text, const char **out_fix)
{
    *out_fix = "write a host name like api.example.com, or *.example.com for everything below a domain";
    if (text.len == 0)
        return "it is empty";
    if (has_space(text))
        return "it contains white space";
    if (has(text, "://"))
        *out_fix = "write the host alone; https://host is taken with egress.accept_url_entries: true";
    if (has(text, "://"))
        return "it is a URL";
    if (only(text, "0123456789abcdefABCDEFxX.:[]") && (has(text, ":") || only(text, "0123456789xXabcdefABCDEF.")))
        *out_fix = "write an address in canonical form: 192.168.1.10, or 2001:db8::1 in lower case and compressed";
    if (has(text, "/"))
        return "it has a path or a prefix length";
    if (has(text, "*"))
        return "a '*' stands only for whole labels at the start: *.example.com";
    if (has(text, ":") && !has(text, "::"))
        *out_fix = "ports stand in egress.hosts: {host: …, ports: […]}; an IPv6 address must be canonical";
    return "it is neither a host name nor a canonical address";
}

static bool has_suffix_in(const struct word_list *list, struct span name, bool below)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (data_covers(name, list->at[i]) || (below && data_covers(list->at[i], name)))
            return true;
    return false;
}

static const char *wildcard_flaw(const struct hostname *base, const struct builtin_data *builtin, unsigned flags,
                                 const char **out_fix)
{
    enum suffix_class class = suffix_classify(base);
    *out_fix = "name the domains that are meant; nobody owns everything below this one";
    if (class == SUFFIX_PUBLIC)
        return "the wildcard covers a public suffix";
    bool shared = class == SUFFIX_SHARED || has_suffix_in(&builtin->shared_suffixes, hostname_span(base), false) ||
                  has_suffix_in(&builtin->shared_trees, hostname_span(base), true);
    *out_fix = "name the hosts that are meant, or say accept_shared_suffix: true in an egress.hosts entry of the same "
               "pattern";
    return shared && (flags & HOST_SHARED) == 0 ? "the wildcard covers hosts of many tenants" : NULL;
}

static bool is_ascii(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] >= 0x80)
            return false;
    return true;
}

static const char *name_flaw(struct span text, struct hostname *out, const char **out_fix)
{
    if (is_ascii(text) || has_space(text))
        return hostname_parse(text, out) == ERR_NONE ? NULL : why_not(text, out_fix);
    const char *why = NULL;
    *out_fix = "write the name in lower case and normal form C, or as A-labels (xn--…)";
    return idn_to_hostname(text, out, &why) == ERR_NONE ? NULL : why;
}

static const char *literal_flaw(const struct ipaddr *addr, unsigned flags, const char **out_fix)
{
    if ((flags & HOST_LITERALS) == 0) {
        *out_fix = "this list takes names only; an address is refused unless it is listed as allowed";
        return "it is an address";
    }
    *out_fix = "write the IPv4 address itself";
    return address_classify(addr)->lift == LIFT_INNER ? "an IPv4 address inside an IPv6 address is never a target"
                                                      : NULL;
}

const char *host_flaw(struct span text, const struct builtin_data *builtin, unsigned flags, struct host_text *out,
                      const char **out_fix)
{
    *out_fix = NULL;
    if (ipaddr_parse(text, &out->addr) == ERR_NONE) {
        out->kind = HOST_LITERAL;
        return literal_flaw(&out->addr, flags, out_fix);
    }
    bool wild = text.len > 2 && text.data[0] == '*' && text.data[1] == '.';
    const char *flaw = name_flaw(wild ? span_from(text, 2) : text, &out->name, out_fix);
    if (flaw != NULL)
        return flaw;
    out->kind = wild ? HOST_WILD : HOST_NAME;
    return wild && (flags & HOST_ALLOWS) != 0 ? wildcard_flaw(&out->name, builtin, flags, out_fix) : NULL;
}

/* https://host, when the policy takes such entries: the host, or the text itself. */
static struct span strip_url(struct loader *l, const struct node *node, unsigned flags)
{
    static const char scheme[] = "https://";
    struct span text = node->text;
    if ((flags & HOST_URLS) == 0 || text.len < sizeof scheme || memcmp(text.data, scheme, sizeof scheme - 1) != 0)
        return text;
    struct span host = span_from(text, sizeof scheme - 1);
    load_lint(l, node, "url_entry", "'%.*s' is taken as the host '%.*s'; scheme and port are not part of the rule",
              SPAN_ARGS(text), SPAN_ARGS(host));
    return host;
}

bool load_host(struct loader *l, struct node *node, unsigned flags, struct host_text *out)
{
    const char *fix = NULL;
    struct span text = strip_url(l, node, flags);
    const char *flaw = host_flaw(text, l->builtin, flags, out, &fix);
    if (flaw == NULL)
        return true;
    const char *code = strstr(flaw, "suffix") != NULL    ? "public_suffix"
                       : strstr(flaw, "tenants") != NULL ? "shared_suffix"
                                                         : "host";
    struct finding *f = load_error(l, node, code, "'%.*s': %s", SPAN_ARGS(node->text), flaw);
    if (fix != NULL)
        diag_fix(f, "%s", fix);
    return false;
}

bool load_name(struct loader *l, enum name_kind kind, const struct host_text *host, uint32_t value)
{
    enum err err = names_add(&l->policy->names, kind, host->kind == HOST_WILD, hostname_span(&host->name), value, 0);
    l->memory |= err != ERR_NONE;
    return err == ERR_NONE;
}
