/* SPDX-License-Identifier: Apache-2.0 */
/* audit prove, checkpoint, tiles: what is handed to somebody else. */
#include "audit_verbs.h"
#include "options.h"

#include "audit/evidence.h"
#include "base/text.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OPT_INDEX = 1000, OPT_UID, OPT_ENV, OPT_FROM, OPT_TO, OPT_OUT, OPT_KEY, OPT_PIN, OPT_SESSION, OPT_ROTATIONS };

struct evidence_args {
    const char *dir, *out, *key, *uid, *pin;
    struct evidence_bundle bundle;
    bool has_index, rotations;
    uint64_t index;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const struct audit_place places[] = {
        AUDIT_PLACE(OPT_INDEX, struct evidence_args, index),
        AUDIT_PLACE(OPT_UID, struct evidence_args, uid),
        AUDIT_PLACE(OPT_ENV, struct evidence_args, bundle.environment),
        AUDIT_PLACE(OPT_SESSION, struct evidence_args, bundle.session),
        AUDIT_PLACE(OPT_FROM, struct evidence_args, bundle.from_ms),
        AUDIT_PLACE(OPT_TO, struct evidence_args, bundle.to_ms),
        AUDIT_PLACE(OPT_OUT, struct evidence_args, out),
        AUDIT_PLACE(OPT_KEY, struct evidence_args, key),
        AUDIT_PLACE(OPT_PIN, struct evidence_args, pin),
        AUDIT_PLACE(OPT_ROTATIONS, struct evidence_args, rotations),
    };
    struct evidence_args *a = state->input;
    if (key == OPT_INDEX)
        a->has_index = true;
    return audit_take(places, sizeof places / sizeof places[0], key, arg, state, &a->dir);
}

/* ---- prove ---- */

struct search {
    const char *uid;
    size_t len;
    uint64_t index;
    bool found;
};

static enum err find_uid(void *arg, uint64_t index, struct span leaf, const uint8_t hash[static DIGEST_BYTES])
{
    struct search *s = arg;
    (void)hash;
    /* The place of metadata.uid is the first key of that name; those of endpoints and rules stand behind it. */
    static const char key[] = "\"uid\":\"";
    const uint8_t *at = memmem(leaf.data, leaf.len, ",\"uid\":\"", sizeof key);
    if (at == NULL)
        return ERR_NONE;
    struct span rest = span_from(leaf, (size_t)(at - leaf.data) + sizeof key);
    if (rest.len <= s->len || memcmp(rest.data, s->uid, s->len) != 0 || rest.data[s->len] != '"')
        return ERR_NONE;
    s->index = index;
    s->found = true;
    return ERR_EXISTS; /* ends the search */
}

static int prove_one(const struct evidence_args *a, struct evidence *e, uint64_t index)
{
    char text[EVIDENCE_PROOF_MAX];
    struct outbuf o = outbuf_make(text, sizeof text);
    enum err err = evidence_prove(e, index, &o);
    if (err != ERR_NONE)
        return audit_fail("prove", a->dir, ERR_IO,
                          err == ERR_NOT_FOUND ? "that entry is not signed yet" : err_text(err));
    FILE *out = a->out != NULL ? fopen(a->out, "wxe") : stdout;
    if (out == NULL)
        return audit_fail("prove", a->out, ERR_IO, "cannot be made, or exists already");
    bool put = fwrite(text, 1, o.len, out) == o.len && fflush(out) == 0;
    if (a->out != NULL)
        put = fclose(out) == 0 && put;
    return put ? 0 : audit_fail("prove", a->out != NULL ? a->out : "-", ERR_IO, "cannot be written");
}

static int prove_uid(const struct evidence_args *a, struct evidence *e)
{
    struct search search = {.uid = a->uid, .len = strlen(a->uid)};
    enum err err = evidence_each(e, find_uid, &search);
    if (search.found)
        return prove_one(a, e, search.index);
    return audit_fail("prove", a->dir, err == ERR_NONE ? ERR_IO : err,
                      err == ERR_NONE ? "no signed entry has that uid" : err_text(err));
}

static int prove_environment(struct evidence_args *a, struct evidence *e)
{
    struct evidence_bundle *b = &a->bundle;
    enum err err = evidence_bundle(e, b, a->out);
    if (err == ERR_NOT_FOUND)
        return audit_fail("prove", a->dir, ERR_IO, "there is no signed entry of that in that time");
    if (err != ERR_NONE)
        return audit_fail("prove", a->out, err, err_text(err));
    if (b->session != NULL)
        printf("%llu of session %s, among ", (unsigned long long)b->session_entries, b->session);
    printf("%llu entries of %s, numbers %llu to %llu of %llu, against the tree of %llu entries\n",
           (unsigned long long)b->entries, b->environment, (unsigned long long)b->first_env_seq,
           (unsigned long long)b->last_env_seq, (unsigned long long)b->env_entries,
           (unsigned long long)evidence_head(e).size);
    return 0;
}

static int prove_rotations(const struct evidence_args *a, struct evidence *e)
{
    enum err err = evidence_rotations(e, a->out);
    if (err == ERR_NOT_FOUND)
        return audit_fail("prove", a->dir, ERR_IO, "this log was signed with one key only");
    return err == ERR_NONE ? 0 : audit_fail("prove", a->out, err, err_text(err));
}

int audit_verb_prove(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        {"index",     OPT_INDEX,     "N",    0, "the entry with this index (metadata.sequence)", 0},
        {"uid",       OPT_UID,       "ID",   0, "the entry with this metadata.uid", 0},
        {"env",       OPT_ENV,       "NAME", 0, "all entries of this environment, as a directory (--out)", 0},
        {"rotations", OPT_ROTATIONS, 0,      0,
         "the hand-overs of the signing key, as a directory (--out): they lead from an older key to the one that "
         "signs now", 0},
        {"session",   OPT_SESSION,   "ID",   0,
         "of the environment: from the first record of this session to its last", 0},
        {"from",      OPT_FROM,      "TIME", 0, "of the environment: from this time on", 0},
        {"to",        OPT_TO,        "TIME", 0, "of the environment: before this time", 0},
        {"out",       OPT_OUT,       "PATH", 0, "file or directory to make; else standard output", 0},
        {"key",       OPT_KEY,       "VKEY", 0, "the verifier key that you trust, or a file with it", 0},
        {0},
    };
    /* clang-format on */
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Proves to others that an entry is in the signed log in DIR: a C2SP tlog-proof file. For an environment: its "
        "entries, a proof of each, the checkpoint and a manifest, with nothing of other environments.\vExamples:\n"
        "  sallyport audit prove --index 42 --out 42.tlog-proof DIR\n"
        "  sallyport audit prove --env invoice-env --from 2026-11-01 --to 2026-12-01 --out november DIR\n\n"
        "Exit status: 0 done, 1 it failed, 2 the log is not what was signed, 3 no log there, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct evidence_args args = {0};
    struct evidence *e = NULL;
    options_read(&argp, argc, argv, 0, &args);
    if (args.has_index + (args.uid != NULL) + (args.bundle.environment != NULL) + args.rotations != 1) {
        fputs("sallyport audit prove: give one of --index, --uid, --env and --rotations\n", stderr);
        return EXIT_USAGE;
    }
    if (args.bundle.session != NULL && args.bundle.environment == NULL) {
        fputs("sallyport audit prove: --session wants --env, whose numbers it is proven by\n", stderr);
        return EXIT_USAGE;
    }
    if ((args.bundle.environment != NULL || args.rotations) && args.out == NULL) {
        fputs("sallyport audit prove: --env and --rotations want --out, a directory to make\n", stderr);
        return EXIT_USAGE;
    }
    int status = audit_open_evidence("prove", args.dir, args.key, &e);
    if (status != 0)
        return status;
    if (args.rotations)
        status = prove_rotations(&args, e);
    else if (args.uid != NULL)
        status = prove_uid(&args, e);
    else if (args.has_index)
        status = prove_one(&args, e, args.index);
    else
        status = prove_environment(&args, e);
    evidence_close(e);
    return status;
}

/* ---- tiles ---- */

int audit_verb_tiles(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        {"out", OPT_OUT, "DIR2", 0, "directory to make (required)", 0},
        {"key", OPT_KEY, "VKEY", 0, "the verifier key that you trust, or a file with it", 0},
        {0},
    };
    /* clang-format on */
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Writes the signed part of the log in DIR as C2SP tlog-tiles: checkpoint, tile/LEVEL/N, tile/entries/N, which "
        "other programs can read and check.\vExample:\n  sallyport audit tiles DIR --out tiles\n\n"
        "Exit status: 0 done, 1 it failed, 2 the log is not what was signed, 3 no log there, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct evidence_args args = {0};
    struct evidence *e = NULL;
    options_read(&argp, argc, argv, 0, &args);
    if (args.out == NULL) {
        fputs("sallyport audit tiles: --out is missing\n", stderr);
        return EXIT_USAGE;
    }
    int status = audit_open_evidence("tiles", args.dir, args.key, &e);
    if (status != 0)
        return status;
    enum err err = evidence_tiles(e, args.out);
    if (err != ERR_NONE)
        status = audit_fail("tiles", args.out, err, err_text(err));
    evidence_close(e);
    return status;
}

/* ---- checkpoint ---- */

/* The head of a checkpoint that was pinned before. */
static enum err read_pinned(FILE *file, const char *origin, struct tree_head *out)
{
    enum { ROOT_TEXT_MAX = 64 };
    char text[1024] = "";
    struct tree_head head = {0};
    size_t len = fread(text, 1, sizeof text - 1, file), root_len = 0;
    text[len] = '\0';
    char *size = strchr(text, '\n');
    char *third = size == NULL ? NULL : strchr(size + 1, '\n');
    char *end = third == NULL ? NULL : strchr(third + 1, '\n');
    if (end == NULL || end - third > ROOT_TEXT_MAX || strncmp(text, origin, (size_t)(size - text)) != 0 ||
        origin[size - text] != '\0')
        return ERR_INVALID;
    if (text_u64(span_make(size + 1, (size_t)(third - size - 1)), UINT64_MAX / 2, &head.size) != ERR_NONE ||
        base64_decode(span_make(third + 1, (size_t)(end - third - 1)), head.root, DIGEST_BYTES, &root_len) !=
            ERR_NONE ||
        root_len != DIGEST_BYTES)
        return ERR_INVALID;
    *out = head;
    return ERR_NONE;
}

/* Only a head that the log still extends makes place for a newer one. */
static int check_pinned(const char *path, struct evidence *e)
{
    struct tree_head head;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0; /* the first */
    enum err err = read_pinned(file, evidence_origin(e), &head);
    fclose(file);
    if (err != ERR_NONE)
        return audit_fail("checkpoint", path, ERR_IO, "is there and is no checkpoint of this log");
    if (evidence_extends(e, &head))
        return 0;
    audit_fail("checkpoint", path, ERR_IO, "the log does not extend what was pinned: rollback or fork");
    return 4;
}

static int pin(const char *path, struct evidence *e)
{
    char fresh[4096];
    int status = check_pinned(path, e);
    if (status != 0)
        return status;
    if ((size_t)snprintf(fresh, sizeof fresh, "%s.new", path) >= sizeof fresh)
        return audit_fail("checkpoint", path, ERR_IO, "the name is too long");
    struct span text = evidence_checkpoint(e);
    FILE *file = fopen(fresh, "we");
    if (file == NULL)
        return audit_fail("checkpoint", fresh, ERR_IO, "cannot be written");
    bool put = fwrite(text.data, 1, text.len, file) == text.len && fflush(file) == 0 && fsync(fileno(file)) == 0;
    put = fclose(file) == 0 && put;
    if (!put || rename(fresh, path) != 0)
        return audit_fail("checkpoint", path, ERR_IO, "cannot be written");
    return 0;
}

int audit_verb_checkpoint(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        {"pin", OPT_PIN, "FILE", 0, "keep it in FILE, if the log still extends the one that FILE holds", 0},
        {"key", OPT_KEY, "VKEY", 0, "the verifier key that you trust, or a file with it", 0},
        {0},
    };
    /* clang-format on */
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Prints the newest signed tree head of the log in DIR, after reading all that it covers. Kept where the log's "
        "owner cannot change it, it proves later (verify --pinned) that nothing was rolled back.\vExample:\n"
        "  sallyport audit checkpoint DIR --pin /mnt/elsewhere/gate.checkpoint\n\n"
        "Exit status: 0 done, 1 it failed, 2 the log is not what was signed, 3 no log there, 4 it does not extend what "
        "was "
        "pinned, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct evidence_args args = {0};
    struct evidence *e = NULL;
    options_read(&argp, argc, argv, 0, &args);
    int status = audit_open_evidence("checkpoint", args.dir, args.key, &e);
    if (status != 0)
        return status;
    struct span text = evidence_checkpoint(e);
    if (args.pin != NULL)
        status = pin(args.pin, e);
    if (status == 0)
        status = fwrite(text.data, 1, text.len, stdout) == text.len && fflush(stdout) == 0 ? 0 : 1;
    evidence_close(e);
    return status;
}
