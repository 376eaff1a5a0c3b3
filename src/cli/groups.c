/* SPDX-License-Identifier: Apache-2.0 */
/* groups: which hosts of package managers there are, and what should be known before they are opened. */
#include "cli/verbs.h"
#include "options.h"

#include "base/json.h"
#include "findings.h"
#include "policy/catalogue.h"

#include <argp.h>
#include <stdio.h>
#include <string.h>

enum { OPT_CATALOGUE = 1000, OPT_JSON };

struct groups_args {
    const char *catalogue, *name;
    bool json, wants_name;
};

/* clang-format off */
static const struct argp_option options[] = {
    {"catalogue", OPT_CATALOGUE, "FILE", 0, "an operator's own catalogue instead of the built-in one", 0},
    {"json",      OPT_JSON,      0,      0, "as JSON", 0},
    {0},
};
/* clang-format on */

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct groups_args *a = state->input;
    switch (key) {
    case OPT_CATALOGUE:
        a->catalogue = arg;
        return 0;
    case OPT_JSON:
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (!a->wants_name || a->name != NULL)
            argp_error(state, "unexpected '%s'", arg);
        a->name = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->wants_name && a->name == NULL)
            argp_error(state, "name a GROUP: 'sallyport groups list' shows them");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- words ---- */

static const char *modes_text(unsigned modes)
{
    static const char *const texts[] = {"-", "compat", "read_only", "compat read_only"};
    return texts[modes & 3];
}

/* The modes that open at least one host of the group. */
static unsigned modes_of(const struct catalogue_group *group)
{
    unsigned modes = 0;
    for (uint32_t i = 0; i < group->host_count; i++)
        modes |= group->hosts[i].modes;
    return modes;
}

static void print_word(const char *key, struct span text)
{
    if (text.len > 0)
        printf("  %-10s %.*s\n", key, (int)text.len, (const char *)text.data);
}

static void print_words(const char *key, const struct word_list *words)
{
    if (words->count == 0)
        return;
    printf("  %-10s", key);
    for (uint32_t i = 0; i < words->count; i++)
        printf(" %.*s", (int)words->at[i].len, (const char *)words->at[i].data);
    putchar('\n');
}

static void print_host(const struct catalogue_group *group, const struct catalogue_host *host)
{
    printf("    %.*s", (int)host->host.len, (const char *)host->host.data);
    if (host->modes != group->modes)
        printf("  (%s)", host->modes == 0 ? "no mode" : modes_text(host->modes));
    for (uint32_t i = 0; i < host->except.count; i++)
        printf("%s%.*s", i == 0 ? "  except " : ", ", (int)host->except.at[i].len,
               (const char *)host->except.at[i].data);
    putchar('\n');
}

static void print_group(const struct catalogue_group *group)
{
    printf("%.*s\n", (int)group->name.len, (const char *)group->name.data);
    print_word("ecosystem", group->ecosystem);
    printf("  %-10s %u, %s\n", "tier", (unsigned)group->tier,
           group->tier == 1 ? "downloads only" : "the same hosts take uploads");
    printf("  %-10s %s\n", "modes",
           modes_of(group) == 0 ? "none: only what a policy lists itself" : modes_text(modes_of(group)));
    print_words("managers", &group->managers);
    print_word("why", group->why);
    print_word("source", group->source);
    print_word("date", group->date);
    print_word("version", group->version);
    if (group->file != NULL)
        printf("  %-10s %s:%u\n", "line", group->file, group->line);
    printf("  %-10s\n", "hosts");
    for (uint32_t i = 0; i < group->host_count; i++)
        print_host(group, &group->hosts[i]);
}

static void print_list(const struct catalogue *catalogue)
{
    printf("version %.*s\n", (int)catalogue->version.len, (const char *)catalogue->version.data);
    printf("%-20s %-4s %-17s %-5s %s\n", "group", "tier", "modes", "hosts", "why");
    for (uint32_t i = 0; i < catalogue->group_count; i++) {
        const struct catalogue_group *group = &catalogue->groups[i];
        printf("%-20.*s %-4u %-17s %-5u %.*s\n", (int)group->name.len, (const char *)group->name.data,
               (unsigned)group->tier, modes_text(modes_of(group)), group->host_count, (int)group->why.len,
               (const char *)group->why.data);
    }
}

/* ---- for programs ---- */

static void json_words(struct json *j, const char *key, const struct word_list *words)
{
    json_key(j, key);
    json_open(j, '[');
    for (uint32_t i = 0; i < words->count; i++)
        json_span(j, words->at[i]);
    json_close(j, ']');
}

static void json_modes(struct json *j, unsigned modes)
{
    json_key(j, "modes");
    json_open(j, '[');
    if ((modes & MODE_COMPAT) != 0)
        json_text(j, "compat");
    if ((modes & MODE_READ_ONLY) != 0)
        json_text(j, "read_only");
    json_close(j, ']');
}

static void json_group(struct json *j, const struct catalogue_group *group)
{
    json_open(j, '{');
    json_key_span(j, "group", group->name);
    json_key_span(j, "ecosystem", group->ecosystem);
    json_key_u64(j, "tier", group->tier);
    json_modes(j, modes_of(group));
    json_words(j, "managers", &group->managers);
    json_key_span(j, "why", group->why);
    json_key_span(j, "source", group->source);
    json_key_span(j, "date", group->date);
    json_key_span(j, "version", group->version);
    if (group->file != NULL) {
        json_key_text(j, "file", group->file);
        json_key_u64(j, "line", group->line);
    }
    json_key(j, "hosts");
    json_open(j, '[');
    for (uint32_t i = 0; i < group->host_count; i++) {
        const struct catalogue_host *host = &group->hosts[i];
        json_open(j, '{');
        json_key_span(j, "host", host->host);
        json_modes(j, host->modes);
        json_words(j, "except", &host->except);
        json_close(j, '}');
        json_flush(j, stdout);
    }
    json_close(j, ']');
    json_close(j, '}');
    json_flush(j, stdout);
}

/* ---- both ---- */

static const struct catalogue_group *find(const struct catalogue *catalogue, const char *name)
{
    for (uint32_t i = 0; i < catalogue->group_count; i++)
        if (span_is(catalogue->groups[i].name, name))
            return &catalogue->groups[i];
    return NULL;
}

static int tell(const struct groups_args *a, const struct catalogue *catalogue)
{
    static uint8_t buffer[64 * 1024];
    struct outbuf out = outbuf_make(buffer, sizeof buffer);
    struct json j = json_make(&out);
    const struct catalogue_group *group = a->wants_name ? find(catalogue, a->name) : NULL;
    if (a->wants_name && group == NULL) {
        fprintf(stderr, "sallyport: there is no group '%s'; 'sallyport groups list' shows them\n", a->name);
        return 1;
    }
    if (!a->json && group != NULL) {
        print_group(group);
    } else if (!a->json) {
        print_list(catalogue);
    } else if (group != NULL) {
        json_group(&j, group);
        putchar('\n');
    } else {
        json_open(&j, '{');
        json_key_span(&j, "version", catalogue->version);
        json_key_text(&j, "id", catalogue->id);
        json_key(&j, "groups");
        json_open(&j, '[');
        for (uint32_t i = 0; i < catalogue->group_count; i++)
            json_group(&j, &catalogue->groups[i]);
        json_close(&j, ']');
        json_close(&j, '}');
        json_flush(&j, stdout);
        putchar('\n');
    }
    return 0;
}

static int groups(int argc, char **argv, const struct argp *argp, bool wants_name)
{
    struct groups_args a = {.wants_name = wants_name};
    struct catalogue *catalogue = NULL;
    struct diag diag;
    int status = EXIT_CONFIG;
    options_read(argp, argc, argv, 0, &a);
    diag_init(&diag);
    if (catalogue_load(a.catalogue, false, &diag, &catalogue) == ERR_NONE)
        status = tell(&a, catalogue);
    findings_print(&diag, stderr);
    catalogue_free(catalogue);
    diag_clear(&diag);
    return status;
}

static int list(int argc, char **argv)
{
    static const struct argp argp = {options,
                                     parse,
                                     NULL,
                                     "Lists the groups of hosts that allow_package_managers can open: tier 1 serves "
                                     "downloads alone, tier 2 takes uploads on the same hosts."
                                     "\vExample:\n  sallyport groups list\n\n"
                                     "Exit status: 0 done, 64 wrong usage, 78 the catalogue is wrong.",
                                     NULL,
                                     NULL,
                                     NULL};
    return groups(argc, argv, &argp, false);
}

static int show(int argc, char **argv)
{
    static const struct argp argp = {options,
                                     parse,
                                     "GROUP",
                                     "Shows one group with its hosts, the modes of egress.package_managers that open "
                                     "it, and where it was read."
                                     "\vExample:\n  sallyport groups show python\n"
                                     "  sallyport groups show --json --catalogue /etc/sallyport/catalogue.yaml ours\n\n"
                                     "Exit status: 0 done, 1 there is no such group, 64 wrong usage, 78 the catalogue "
                                     "is wrong.",
                                     NULL,
                                     NULL,
                                     NULL};
    return groups(argc, argv, &argp, true);
}

int verb_groups(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    bool is_show = strcmp(word, "show") == 0;
    if (is_show || strcmp(word, "list") == 0) {
        static char name[64];
        snprintf(name, sizeof name, "sallyport groups %s", word);
        argv[1] = name;
        return is_show ? show(argc - 1, argv + 1) : list(argc - 1, argv + 1);
    }
    bool help = strcmp(word, "--help") == 0;
    fputs("Usage: sallyport groups list|show …\n"
          "  list      every group of package managers' hosts\n"
          "  show      one group with its hosts\n"
          "\nExample:\n  sallyport groups show python\n",
          help ? stdout : stderr);
    return help ? 0 : EXIT_USAGE;
}
