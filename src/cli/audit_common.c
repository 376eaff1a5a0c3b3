/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs around a log have in common: its directory, keys, times, indices, and how it is opened. */
#include "audit_verbs.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static error_t take_dir(int key, char *arg, struct argp_state *state, const char **dir)
{
    switch (key) {
    case ARGP_KEY_ARG:
        if (*dir != NULL)
            argp_error(state, "one directory is enough");
        *dir = arg;
        return 0;
    case ARGP_KEY_END:
        if (*dir == NULL)
            argp_error(state, "name the log's directory");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void put(struct argp_state *state, const struct audit_place *place, char *arg)
{
    void *to = (char *)state->input + place->offset;
    switch (place->kind) {
    case AUDIT_PLACE_TEXT:
        *(const char **)to = arg;
        return;
    case AUDIT_PLACE_FLAG:
        *(bool *)to = true;
        return;
    case AUDIT_PLACE_INDEX:
        if (text_u64(span_text(arg), UINT64_MAX / 2, to) != ERR_NONE)
            argp_error(state, "'%s' is no index", arg);
        return;
    case AUDIT_PLACE_TIME:
        if (audit_parse_time(arg, to) != ERR_NONE)
            argp_error(state, "'%s' is no time: write 2026-11-21, 2026-11-21T10:00:00Z, or 1h for an hour ago", arg);
        return;
    }
}

error_t audit_take(const struct audit_place *places, size_t count, int key, char *arg, struct argp_state *state,
                   const char **dir)
{
    for (size_t i = 0; i < count; i++) {
        if (places[i].key == key) {
            put(state, &places[i], arg);
            return 0;
        }
    }
    return take_dir(key, arg, state, dir);
}

/* A key line has plus signs; anything else is a file that holds one. */
const char *audit_key_line(const char *given, char *buffer, size_t cap)
{
    if (given == NULL || strchr(given, '+') != NULL)
        return given;
    FILE *file = fopen(given, "re");
    buffer[0] = '\0';
    if (file == NULL || fgets(buffer, (int)cap, file) == NULL)
        fprintf(stderr, "sallyport audit: %s cannot be read\n", given);
    if (file != NULL)
        fclose(file);
    buffer[strcspn(buffer, "\r\n")] = '\0';
    return buffer;
}

enum err audit_parse_time(const char *text, int64_t *out_ms)
{
    struct tm tm = {0};
    uint64_t ago = 0;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (end == NULL) {
        tm = (struct tm){0};
        end = strptime(text, "%Y-%m-%d", &tm);
    }
    if (end != NULL && *end == '\0') {
        *out_ms = (int64_t)timegm(&tm) * 1000;
        return *out_ms > 0 ? ERR_NONE : ERR_INVALID;
    }
    enum err err = text_duration_ms(span_text(text), &ago);
    if (err == ERR_NONE)
        *out_ms = clock_wall_ns() / 1000000 - (int64_t)ago;
    return err;
}

void audit_time_text(int64_t ms, char out[static 32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    if (ms <= 0 || gmtime_r(&seconds, &utc) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        snprintf(out, 32, "-");
}

int audit_exit(enum err err)
{
    return err == ERR_CORRUPT ? 2 : err == ERR_NOT_FOUND ? 3 : err == ERR_NONE ? 0 : 1;
}

int audit_fail(const char *verb, const char *where, enum err err, const char *why)
{
    fprintf(stderr, "sallyport audit %s: %s: %s\n", verb, where, why);
    return audit_exit(err);
}

int audit_open_evidence(const char *verb, const char *dir, const char *key, struct evidence **out)
{
    char line[512], why[256] = "";
    enum err err = evidence_open(dir, audit_key_line(key, line, sizeof line), out, why, sizeof why);
    return err == ERR_NONE ? 0 : audit_fail(verb, dir, err, why);
}

void audit_print_object(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}
