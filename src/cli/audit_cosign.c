/* SPDX-License-Identifier: Apache-2.0 */
/* audit cosign: has witnesses sign the newest checkpoint of a log, and thereby asks them whether it was rolled back. */
#include "audit_verbs.h"
#include "options.h"
#include "ship_stores.h"

#include "audit/cosign.h"
#include "base/text.h"
#include "cli/verbs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS   10000u
#define INTERVAL_MS  60000u
#define INTERVAL_MAX 86400000u

enum { OPT_WITNESSES = 1000, OPT_PUBLISH, OPT_FOLLOW, OPT_INTERVAL, OPT_CA };

struct cosign_args {
    const char *dir, *witnesses, *publish, *ca;
    bool follow;
    uint64_t interval_ms;
};

enum answer { ANSWER_SIGNED, ANSWER_NONE, ANSWER_ROLLBACK };

struct asking {
    const struct cosign_args *args;
    struct cosign_policy *policy;
    uint64_t seen[COSIGN_WITNESSES_MAX]; /* size that each has signed last, as far as this process knows */
    struct tree_head head;
    char note[COSIGN_TEXT_MAX]; /* the checkpoint and the lines so far */
    size_t note_len;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const struct audit_place places[] = {
        AUDIT_PLACE(OPT_WITNESSES, struct cosign_args, witnesses),
        AUDIT_PLACE(OPT_PUBLISH, struct cosign_args, publish),
        AUDIT_PLACE(OPT_FOLLOW, struct cosign_args, follow),
        AUDIT_PLACE(OPT_CA, struct cosign_args, ca),
    };
    struct cosign_args *a = state->input;
    if (key == OPT_INTERVAL) {
        if (text_duration_ms(span_text(arg), &a->interval_ms) != ERR_NONE || a->interval_ms < 100 ||
            a->interval_ms > INTERVAL_MAX)
            argp_error(state, "'%s' is no duration from 100ms to 24h", arg);
        return 0;
    }
    return audit_take(places, sizeof places / sizeof places[0], key, arg, state, &a->dir);
}

static void say(const struct cosign_witness *w, const char *text)
{
    fprintf(stderr, "sallyport audit cosign: %s: %s\n", w->label, text);
}

/* Lines are kept if they are what they say: a witness that answers nonsense has not signed. */
static enum answer take_lines(struct asking *a, size_t index, const char *lines)
{
    bool have[COSIGN_WITNESSES_MAX];
    uint64_t time_s = 0;
    size_t len = strlen(lines);
    const struct cosign_witness *w = cosign_witness(a->policy, index);
    if (len == 0 || lines[len - 1] != '\n' || a->note_len + len >= sizeof a->note) {
        say(w, "its answer is no line of a signature");
        return ANSWER_NONE;
    }
    memcpy(a->note + a->note_len, lines, len);
    cosign_check(a->policy, span_make(a->note, a->note_len + len), have, &time_s);
    if (!have[index]) {
        say(w, "its answer is not signed with the key of the policy");
        return ANSWER_NONE;
    }
    a->note_len += len;
    a->seen[index] = a->head.size;
    return ANSWER_SIGNED;
}

static enum answer refused(const struct cosign_witness *w, long status, const char *text)
{
    char line[256];
    snprintf(line, sizeof line, "it refuses with %ld: %.*s", status, (int)strcspn(text, "\r\n"), text);
    say(w, line);
    if (status == 422)
        say(w, "what it signed before is no beginning of this log: it was forked");
    return status == 422 ? ANSWER_ROLLBACK : ANSWER_NONE;
}

/* A request from `seen`; if the witness has seen another size it says so, and is asked once more from there. */
static enum answer ask(struct asking *a, size_t index)
{
    const struct cosign_witness *w = cosign_witness(a->policy, index);
    char url[600], body[COSIGN_TEXT_MAX], text[COSIGN_TEXT_MAX], why[256] = "";
    for (unsigned tries = 0; tries < 3; tries++) {
        struct outbuf o = outbuf_make(body, sizeof body);
        size_t note = 0;
        long status = 0;
        uint64_t size = 0;
        struct tree_head head;
        enum err err = cosign_request(a->args->dir, a->seen[index], &o, &note, &head);
        if (err != ERR_NONE) {
            say(w, err == ERR_DENIED ? "it has signed a larger log: this one was rolled back" : err_text(err));
            return err == ERR_DENIED ? ANSWER_ROLLBACK : ANSWER_NONE;
        }
        if (a->note_len > 0 && head.size != a->head.size)
            return ANSWER_NONE; /* a newer checkpoint came meanwhile: the next round asks for it */
        a->head = head;
        if (a->note_len == 0) {
            a->note_len = o.len - note;
            memcpy(a->note, body + note, a->note_len);
        }
        snprintf(url, sizeof url, "%s%sadd-checkpoint", w->url, w->url[strlen(w->url) - 1] == '/' ? "" : "/");
        err = http_post(url, a->args->ca, TIMEOUT_MS, outbuf_written(&o), &status, text, sizeof text, why, sizeof why);
        if (err != ERR_NONE) {
            say(w, why);
            return ANSWER_NONE;
        }
        if (status == 200)
            return take_lines(a, index, text);
        text[strcspn(text, "\r\n")] = '\0';
        if (status != 409 || text_u64(span_text(text), UINT64_MAX / 2, &size) != ERR_NONE || size == a->seen[index])
            return refused(w, status, text);
        a->seen[index] = size;
    }
    return ANSWER_NONE;
}

static bool publish(const char *path, struct span note)
{
    char fresh[4096];
    if ((size_t)snprintf(fresh, sizeof fresh, "%s.new", path) >= sizeof fresh)
        return false;
    FILE *file = fopen(fresh, "we");
    if (file == NULL)
        return false;
    bool put = fwrite(note.data, 1, note.len, file) == note.len && fflush(file) == 0 && fsync(fileno(file)) == 0;
    put = fclose(file) == 0 && put;
    return put && rename(fresh, path) == 0;
}

static int cosign_round(struct asking *a)
{
    bool have[COSIGN_WITNESSES_MAX] = {false};
    bool rolled_back = false;
    size_t count = 0;
    a->note_len = 0;
    for (size_t i = 0; i < cosign_count(a->policy); i++) {
        if (cosign_witness(a->policy, i)->url[0] == '\0')
            continue;
        enum answer answer = ask(a, i);
        have[i] = answer == ANSWER_SIGNED;
        count += have[i];
        rolled_back |= answer == ANSWER_ROLLBACK;
    }
    struct span note = span_make(a->note, a->note_len);
    if (count > 0 && cosign_keep(a->args->dir, note) != ERR_NONE)
        return audit_fail("cosign", a->args->dir, ERR_IO, COSIGN_LOG " cannot be written");
    if (rolled_back)
        return 4;
    bool quorum = count > 0 && cosign_quorum(a->policy, have);
    if (quorum && a->args->publish != NULL && !publish(a->args->publish, note))
        return audit_fail("cosign", a->args->publish, ERR_IO, "cannot be written");
    printf("%llu entries: %zu of %zu witnesses signed; %s\n", (unsigned long long)a->head.size, count,
           cosign_count(a->policy), quorum ? "that is the quorum" : "no quorum");
    fflush(stdout);
    return quorum ? 0 : 1;
}

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* A rollback ends it at once; a witness that is away is asked again. */
static int follow(struct asking *a)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    while (!stopped) {
        if (cosign_round(a) == 4)
            return 4;
        struct timespec nap = {.tv_sec = (time_t)(a->args->interval_ms / 1000),
                               .tv_nsec = (long)(a->args->interval_ms % 1000) * 1000000};
        if (!stopped)
            nanosleep(&nap, NULL);
    }
    return 0;
}

int audit_verb_cosign(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        {"witnesses", OPT_WITNESSES, "FILE", 0, "who signs, and how many must: a C2SP tlog-policy (required)", 0},
        {"publish",   OPT_PUBLISH,   "FILE", 0,
         "write the checkpoint there when the quorum has signed it, and only then", 0},
        {"follow",    OPT_FOLLOW,    0,      0, "go on until a signal ends it, or a witness has seen another log", 0},
        {"interval",  OPT_INTERVAL,  "TIME", 0, "with --follow: how often (1m)", 0},
        {"ca",        OPT_CA,        "FILE", 0, "certificates to trust instead of the system's", 0},
        {0},
    };
    /* clang-format on */
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Has witnesses (C2SP tlog-witness) sign the newest checkpoint of the log in DIR, or the newest that is "
        "withheld "
        "until they do (audit.witness of a gateway's configuration). Each signs only what extends the last that it "
        "signed: a log that was rolled back or forked is refused. Their lines are kept in "
        "cosigned.log; 'audit verify --witnesses' counts them.\vThe file:\n"
        "  witness w1 NAME+HASH+KEY https://witness.example.com/\n  witness w2 NAME+HASH+KEY "
        "https://witness.example.net/\n"
        "  group all-of-them all w1 w2\n  quorum all-of-them\n\nExample:\n"
        "  sallyport audit cosign --witnesses /etc/sallyport/witnesses --follow /var/lib/sallyport/audit\n\n"
        "Exit status: 0 the quorum signed, or a signal ended it; 1 it did not, 4 a witness has signed another or a "
        "larger log: rollback or fork, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct cosign_args args = {.interval_ms = INTERVAL_MS};
    char why[256] = "";
    options_read(&argp, argc, argv, 0, &args);
    if (args.witnesses == NULL) {
        fputs("sallyport audit cosign: --witnesses is missing\n", stderr);
        return EXIT_USAGE;
    }
    struct asking *a = calloc(1, sizeof *a);
    if (a == NULL)
        return 1;
    a->args = &args;
    enum err err = cosign_policy_load(args.witnesses, &a->policy, why, sizeof why);
    int status = err != ERR_NONE ? audit_fail("cosign", args.witnesses, ERR_IO, why)
                 : args.follow   ? follow(a)
                                 : cosign_round(a);
    if (err == ERR_NONE)
        cosign_policy_free(a->policy);
    free(a);
    return status;
}
