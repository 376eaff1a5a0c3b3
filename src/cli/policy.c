/* SPDX-License-Identifier: Apache-2.0 */
/* policy: what was in force, from the audit log and the texts beside it. */
#include "cli/verbs.h"
#include "options.h"

#include "findings.h"
#include "policy_diff.h"
#include "policy_log.h"
#include "policy_print.h"
#include "policy_then.h"
#include "write_whole.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPT_JSON = 1000, OPT_EGRESS, OPT_OUT, OPT_ENVIRONMENT };

struct policy_args {
    const char *words[3];
    size_t count, wanted;
    const char *out, *environment;
    bool json, egress;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct policy_args *a = state->input;
    switch (key) {
    case OPT_JSON:
        a->json = true;
        return 0;
    case OPT_EGRESS:
        a->egress = true;
        return 0;
    case OPT_OUT:
        a->out = arg;
        return 0;
    case OPT_ENVIRONMENT:
        a->environment = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (a->count == a->wanted)
            argp_error(state, "unexpected '%s'", arg);
        a->words[a->count++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->count < a->wanted)
            argp_error(state, "something is missing: --help shows an example");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int say_log(const char *dir, enum err err)
{
    fprintf(stderr, "sallyport: %s: %s\n", dir,
            err == ERR_NOT_FOUND ? "no audit log lies here"
            : err == ERR_CORRUPT ? "the log is damaged"
                                 : err_text(err));
    return 1;
}

static int say_find(const char *dir, const char *id, enum err err)
{
    const char *why = err == ERR_INVALID     ? "an id has 8 to 64 lower-case hexadecimal digits"
                      : err == ERR_NOT_FOUND ? "no load in this log has that id"
                      : err == ERR_EXISTS    ? "it begins more than one: give more digits"
                                             : err_text(err);
    fprintf(stderr, "sallyport: %s: %s: %s\n", dir, id, why);
    return err == ERR_INVALID ? EXIT_USAGE : 1;
}

/* ---- history ---- */

static bool tell_entry(void *arg, const struct policy_entry *entry)
{
    const struct policy_args *a = arg;
    if (a->environment != NULL && strcmp(a->environment, entry->environment) != 0)
        return true;
    if (a->json)
        policy_entry_json(entry);
    else
        policy_entry_print(entry);
    return true;
}

static int history(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        {"environment", OPT_ENVIRONMENT, "NAME", 0, "entries of this environment alone", 0},
        {"json",        OPT_JSON,        0,      0, "one JSON object an entry", 0},
        {0},
    };
    /* clang-format on */
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Lists what was loaded, refused and removed, from the audit log in DIR: when, by whom, why. It reads what "
        "stands there; 'sallyport audit verify' proves it."
        "\vExample:\n  sallyport policy history /var/lib/sallyport/audit --environment invoice-env",
        NULL,
        NULL,
        NULL};
    struct policy_args a = {.wanted = 1};
    options_read(&argp, argc, argv, 0, &a);
    enum err err = policy_log_each(a.words[0], tell_entry, &a);
    return err == ERR_NONE ? 0 : say_log(a.words[0], err);
}

/* ---- texts ---- */

/* The text of a load, or of its egress block; NULL after saying why. */
static char *text_of(const char *dir, const struct policy_entry *entry, bool egress, size_t *out_len)
{
    const char *hash = egress ? entry->egress_text : entry->text;
    char *text = NULL;
    if (hash[0] == '\0') {
        fprintf(stderr, "sallyport: %.16s had no egress block in a text of its own\n", entry->id);
        return NULL;
    }
    enum err err = policy_log_text(dir, hash, &text, out_len);
    if (err == ERR_NONE)
        return text;
    fprintf(stderr, "sallyport: %s/blobs/%s: %s\n", dir, hash,
            err == ERR_CORRUPT ? "the text is not what the log says" : err_text(err));
    return NULL;
}

static int find_text(const struct policy_args *a, struct policy_entry *entry, char **out_text, size_t *out_len)
{
    enum err err = policy_log_find(a->words[0], a->words[1], entry);
    if (err != ERR_NONE)
        return say_find(a->words[0], a->words[1], err);
    *out_text = text_of(a->words[0], entry, a->egress, out_len);
    return *out_text == NULL ? 1 : 0;
}

static void say_other_text(const struct policy_args *a, const struct policy_entry *entry)
{
    if (!a->egress && entry->egress_text[0] != '\0')
        fprintf(stderr, "sallyport: its egress block stands in a text of its own: add --egress\n");
}

static int show(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"egress", OPT_EGRESS, 0, 0, "the egress block, where it was a text of its own", 0},
        {0      },
    };
    static const struct argp argp = {
        options,
        parse,
        "DIR ID",
        "Prints the text of a policy as it was loaded, or refused. ID is the policy's or the text's, its first 8 "
        "digits at least; DIR is the audit log's. The text is held against its hash."
        "\vExample:\n  sallyport policy show /var/lib/sallyport/audit d080fb98167856",
        NULL,
        NULL,
        NULL};
    struct policy_args a = {.wanted = 2};
    struct policy_entry entry;
    char *text = NULL;
    size_t len = 0;
    options_read(&argp, argc, argv, 0, &a);
    int status = find_text(&a, &entry, &text, &len);
    if (status != 0)
        return status;
    fwrite(text, 1, len, stdout);
    say_other_text(&a, &entry);
    free(text);
    return 0;
}

/* ---- rollback ---- */

/* In one step: whoever watches the file sees the old text or the new one. */
static bool replace_file(const char *path, const char *text, size_t len)
{
    char fresh[4200];
    struct stat st;
    mode_t mode = stat(path, &st) == 0 ? st.st_mode & 0777 : 0644;
    if (snprintf(fresh, sizeof fresh, "%s.sallyport-new", path) >= (int)sizeof fresh) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool good = write_whole(fd, text, len) && fsync(fd) == 0 && fchmod(fd, mode) == 0 && rename(fresh, path) == 0;
    int error = errno;
    close(fd);
    if (!good)
        unlink(fresh);
    errno = error;
    return good;
}

static int rollback(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        {"out",    OPT_OUT,    "FILE", 0, "file to replace (required)", 0},
        {"egress", OPT_EGRESS, 0,      0, "the egress block, where it was a text of its own", 0},
        {0},
    };
    /* clang-format on */
    static const struct argp argp = {
        options,
        parse,
        "DIR ID --out FILE",
        "Writes the text of an earlier policy to FILE, in one step. What is in force stays what the files say: a "
        "running proxy takes the replaced file by itself, or at once with 'sallyport reload --reason …', checks it "
        "as any other, and records who, when and why."
        "\vExample:\n"
        "  sallyport policy rollback /var/lib/sallyport/audit d080fb98167856 --out /etc/sallyport/invoice-env.yaml\n"
        "  sallyport reload --reason 'back to last week, incident 12'\n\n"
        "List files and agent definitions that the text names are not replaced: their texts of then lie in DIR/blobs, "
        "under "
        "the hashes of the policy_file entries.",
        NULL,
        NULL,
        NULL};
    struct policy_args a = {.wanted = 2};
    struct policy_entry entry;
    char *text = NULL;
    size_t len = 0;
    options_read(&argp, argc, argv, 0, &a);
    if (a.out == NULL) {
        fprintf(stderr, "sallyport policy rollback: --out FILE is required\n");
        return EXIT_USAGE;
    }
    int status = find_text(&a, &entry, &text, &len);
    if (status != 0)
        return status;
    if (!replace_file(a.out, text, len)) {
        fprintf(stderr, "sallyport: %s: %s\n", a.out, strerror(errno));
        status = 1;
    } else {
        fprintf(stderr, "sallyport: %s has the text of generation %llu again\n", a.out,
                (unsigned long long)entry.generation);
        say_other_text(&a, &entry);
    }
    free(text);
    return status;
}

/* ---- diff ---- */

static struct policy *load_entry(const char *dir, const struct policy_entry *entry, struct diag *diag)
{
    struct policy_texts texts;
    struct policy *policy = NULL;
    enum err err = policy_then_load(dir, entry, diag, &texts, &policy);
    if (err != ERR_NONE && diag->errors == 0)
        fprintf(stderr, "sallyport: the texts of %.16s beside the log: %s\n", entry->id, err_text(err));
    if (policy != NULL && strcmp(policy_id(policy), entry->id) != 0)
        fprintf(stderr, "sallyport: the texts that were kept make another policy than %.16s\n", entry->id);
    policy_texts_free(&texts);
    return policy;
}

/* A file if there is one of that name, else an id in the log. */
static struct policy *load_side(const char *dir, const char *word)
{
    struct diag diag;
    struct policy *policy = NULL;
    struct policy_entry entry;
    diag_init(&diag);
    if (access(word, F_OK) == 0) {
        const struct policy_sources sources = {.path = word};
        if (policy_load(&sources, &diag, &policy) != ERR_NONE)
            policy = NULL;
    } else {
        enum err err = policy_log_find(dir, word, &entry);
        if (err == ERR_NONE)
            policy = load_entry(dir, &entry, &diag);
        else
            say_find(dir, word, err);
    }
    if (policy == NULL)
        findings_print(&diag, stderr);
    diag_clear(&diag);
    return policy;
}

static int diff(int argc, char **argv)
{
    static const struct argp argp = {
        NULL,
        parse,
        "DIR A B",
        "Says what B decides otherwise than A: each is an id in the audit log in DIR, or an environment file. Names, "
        "patterns of labels, ports and doors are compared by asking both, so an entry that another one covers opens "
        "nothing; then the lines of the two that differ: addresses, TLS, limits. Regular expressions and list files "
        "are compared as lines and marked as undecided."
        "\vExample:\n  sallyport policy diff /var/lib/sallyport/audit d080fb98167856 "
        "/etc/sallyport/invoice-env.yaml\n\n"
        "Exit status: 0 they are the same, 1 they differ, 2 one of them cannot be read, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct policy_args a = {.wanted = 3};
    options_read(&argp, argc, argv, 0, &a);
    struct policy *before = load_side(a.words[0], a.words[1]), *after = load_side(a.words[0], a.words[2]);
    int status = 2;
    if (before != NULL && after != NULL)
        status = policy_diff(before, after, stdout) ? 1 : 0;
    policy_unref(before);
    policy_unref(after);
    return status;
}

int verb_policy(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*fn)(int argc, char **argv);
        const char *sentence;
    } verbs[] = {
        {"history",  history,  "what was loaded, refused and removed, by whom and why"},
        {"show",     show,     "the text of a policy that was loaded"                 },
        {"diff",     diff,     "what one policy decides otherwise than another"       },
        {"rollback", rollback, "an earlier text back into its file"                   },
    };
    const char *word = argc > 1 ? argv[1] : "";
    bool help = strcmp(word, "--help") == 0;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0] && !help; i++) {
        if (strcmp(word, verbs[i].name) != 0)
            continue;
        char name[64];
        snprintf(name, sizeof name, "sallyport policy %s", word);
        argv[1] = name;
        return verbs[i].fn(argc - 1, argv + 1);
    }
    FILE *out = help ? stdout : stderr;
    fputs("Usage: sallyport policy history|show|diff|rollback …\n", out);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        fprintf(out, "  %-9s %s\n", verbs[i].name, verbs[i].sentence);
    fputs("\nExample:\n  sallyport policy history /var/lib/sallyport/audit\n", out);
    return help ? 0 : EXIT_USAGE;
}
