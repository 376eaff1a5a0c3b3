/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit hmac: was this value used? A record shows what looks like a secret as a keyed hash; whoever has the keys and
 * the value finds it again. Values come by standard input: an argument would stand in the process list and in the
 * shell's history.
 */
#include "audit_verbs.h"
#include "options.h"

#include "audit/reader.h"
#include "audit/redact_key.h"
#include "base/outbuf.h"
#include "cli/verbs.h"
#include "wire/redact.h"
#include "wire/secret.h"

#include <argp.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX    256
#define VALUES_MAX  1000
#define VALUE_MAX   65536
#define EXIT_UNUSED 5

enum { OPT_KEYS = 1000, OPT_JSON };

struct hmac_args {
    const char *dir, *keys;
    bool json;
};

/* One value under one key. */
struct wanted {
    size_t value; /* number of the line, from 1 */
    const struct redact_key *key;
    char hash[REDACT_HASH_TEXT];
    uint64_t records, first, last;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const struct audit_place places[] = {
        AUDIT_PLACE(OPT_KEYS, struct hmac_args, keys),
        AUDIT_PLACE(OPT_JSON, struct hmac_args, json),
    };
    struct hmac_args *a = state->input;
    if (key == ARGP_KEY_ARG && a->dir != NULL)
        argp_error(state, "one directory is enough; values come by standard input");
    return audit_take(places, sizeof places / sizeof places[0], key, arg, state, &a->dir);
}

/* ---- the hashes ---- */

static bool add_value(struct wanted *all, size_t *count, size_t line, struct span value, const struct redact_key *keys,
                      size_t key_count)
{
    for (size_t i = 0; i < key_count; i++) {
        struct redactor redactor = {0};
        if (hmac_new(span_make(keys[i].bytes, sizeof keys[i].bytes), &redactor.hmac) != ERR_NONE)
            return false;
        struct wanted *w = &all[(*count)++];
        *w = (struct wanted){.value = line, .key = &keys[i]};
        redact_hash(&redactor, value, w->hash);
        hmac_free(redactor.hmac);
    }
    return true;
}

static struct wanted *read_values(const struct redact_key *keys, size_t key_count, size_t *out_count)
{
    struct wanted *all = calloc(VALUES_MAX * key_count, sizeof *all);
    char *line = NULL;
    size_t cap = 0, count = 0, number = 0;
    ssize_t len = 0;
    bool good = all != NULL;
    while (good && number < VALUES_MAX && (len = getline(&line, &cap, stdin)) > 0) {
        len -= line[len - 1] == '\n';
        number++;
        good = len <= VALUE_MAX;
        if (good && len > 0)
            good = add_value(all, &count, number, span_make(line, (size_t)len), keys, key_count);
    }
    if (line != NULL)
        secret_wipe(line, cap);
    free(line);
    if (good && number == VALUES_MAX && getc(stdin) != EOF)
        good = false;
    if (!good) {
        fprintf(stderr, "sallyport audit hmac: at most %d lines of at most %d bytes can be asked for\n", VALUES_MAX,
                VALUE_MAX);
        free(all);
        return NULL;
    }
    *out_count = count;
    return all;
}

/* ---- the log ---- */

static int by_hash(const void *a, const void *b)
{
    return memcmp(((const struct wanted *)a)->hash, ((const struct wanted *)b)->hash, REDACT_HASH_TEXT);
}

static int by_value(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return strcmp(x->key->name, y->key->name);
}

static void note(struct wanted *all, size_t count, const uint8_t *hash, uint64_t index)
{
    struct wanted key;
    memcpy(key.hash, hash, REDACT_HASH_TEXT);
    struct wanted *found = bsearch(&key, all, count, sizeof *all, by_hash);
    if (found == NULL || (found->records > 0 && found->last == index))
        return;
    found->first = found->records == 0 ? index : found->first;
    found->last = index;
    found->records++;
}

static bool is_hash(const uint8_t *at)
{
    for (size_t i = 2; i < REDACT_HASH_TEXT; i++)
        if ((at[i] < '0' || at[i] > '9') && (at[i] < 'a' || at[i] > 'f'))
            return false;
    return at[0] == 'h' && at[1] == ':';
}

static enum err scan(const char *dir, struct wanted *all, size_t count, uint64_t *out_entries)
{
    struct audit_reader *reader = NULL;
    uint64_t entries = 0;
    enum err err = audit_reader_open(dir, 0, &reader);
    while (err == ERR_NONE) {
        uint64_t index = 0;
        struct span leaf;
        err = audit_reader_next(reader, &index, &leaf);
        if (err != ERR_NONE)
            break;
        entries++;
        /* Behind the hash another byte of a run would make it a part of a word that somebody else chose. */
        for (size_t i = 0; i + REDACT_HASH_TEXT < leaf.len; i++)
            if (is_hash(leaf.data + i) && !secret_is_run_byte(leaf.data[i + REDACT_HASH_TEXT]))
                note(all, count, leaf.data + i, index);
    }
    audit_reader_close(reader);
    *out_entries = entries;
    return err == ERR_AGAIN ? ERR_NONE : err;
}

/* ---- what is said ---- */

static void print_text(const struct wanted *w)
{
    printf("%zu %s %.*s ", w->value, w->key->name, (int)REDACT_HASH_TEXT, w->hash);
    if (w->records == 0)
        puts("not used");
    else
        printf("%llu records, first %llu, last %llu\n", (unsigned long long)w->records, (unsigned long long)w->first,
               (unsigned long long)w->last);
}

static void print_json(const struct wanted *w)
{
    json_t *object = json_object();
    json_object_set_new(object, "value", json_integer((json_int_t)w->value));
    json_object_set_new(object, "key_made", json_string(w->key->name));
    json_object_set_new(object, "key_id", json_string(w->key->id));
    json_object_set_new(object, "hash", json_stringn(w->hash, REDACT_HASH_TEXT));
    json_object_set_new(object, "records", json_integer((json_int_t)w->records));
    if (w->records > 0) {
        json_object_set_new(object, "first", json_integer((json_int_t)w->first));
        json_object_set_new(object, "last", json_integer((json_int_t)w->last));
    }
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

static int answer(const struct hmac_args *args, struct wanted *all, size_t count)
{
    uint64_t entries = 0;
    bool used = false;
    qsort(all, count, sizeof *all, by_hash);
    enum err err = scan(args->dir, all, count, &entries);
    if (err != ERR_NONE) {
        fprintf(stderr, "sallyport audit hmac: %s: %s\n", args->dir, err_text(err));
        return audit_exit(err);
    }
    qsort(all, count, sizeof *all, by_value);
    for (size_t i = 0; i < count; i++) {
        used = used || all[i].records > 0;
        if (args->json)
            print_json(&all[i]);
        else
            print_text(&all[i]);
    }
    if (!args->json)
        printf("%llu entries were looked at\n", (unsigned long long)entries);
    return used ? 0 : EXIT_UNUSED;
}

static enum err take_keys(const struct hmac_args *args, struct redact_key *keys, size_t *out_count)
{
    char beside[4096], why[512] = "";
    size_t len = strlen(args->dir);
    while (len > 1 && args->dir[len - 1] == '/')
        len--;
    snprintf(beside, sizeof beside, "%.*s.privacy", (int)len, args->dir);
    const char *dir = args->keys != NULL ? args->keys : beside;
    enum err err = redact_key_all(dir, keys, KEYS_MAX, out_count, why, sizeof why);
    if (err == ERR_NONE && *out_count == 0) {
        snprintf(why, sizeof why, "%.400s: no key lies there", dir);
        err = ERR_NOT_FOUND;
    }
    if (err != ERR_NONE)
        fprintf(stderr, "sallyport audit hmac: %s\n", why);
    return err;
}

int audit_verb_hmac(int argc, char **argv)
{
    /* clang-format off */
    static const struct argp_option options[] = {
        {"keys", OPT_KEYS, "DIR", 0, "where the keys lie (DIR.privacy)", 0},
        {"json", OPT_JSON, 0,     0, "one JSON object for each value and key", 0},
        {0},
    };
    /* clang-format on */
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Says whether values were used as a secret in a recorded path or target: reads them from standard input, one a "
        "line, and looks for the hash of each, under each key, in the log in DIR.\vExample:\n"
        "  sallyport audit hmac /var/lib/sallyport/audit < leaked-tokens\n\n"
        "Exit status: 0 one of them was used, 1 it failed, 2 the framing is broken, 3 no log or no key there, 5 none "
        "was used, 64 wrong usage.",
        NULL,
        NULL,
        NULL};
    struct hmac_args args = {0};
    size_t key_count = 0, count = 0;
    options_read(&argp, argc, argv, 0, &args);
    struct redact_key *keys = calloc(KEYS_MAX, sizeof *keys);
    if (keys == NULL)
        return 1;
    enum err err = take_keys(&args, keys, &key_count);
    struct wanted *all = err == ERR_NONE ? read_values(keys, key_count, &count) : NULL;
    int status = err != ERR_NONE ? audit_exit(err) : 1;
    if (all != NULL)
        status = answer(&args, all, count);
    free(all);
    secret_wipe(keys, KEYS_MAX * sizeof *keys);
    free(keys);
    return status;
}
