/* SPDX-License-Identifier: Apache-2.0 */
#include "audit_tail.h"
#include "audit_verbs.h"

#include "audit/reader.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS 50000000L

/* Strings of a record come from strangers: what could move a cursor or start a colour is shown, not sent. */
static void put_safe(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        bool c1 = byte == 0xc2 && (unsigned char)c[1] >= 0x80 && (unsigned char)c[1] < 0xa0; /* U+0080 to U+009F */
        if (byte < 0x20 || byte == 0x7f || c1)
            printf("\\x%02x", c1 ? (unsigned)(unsigned char)*++c : byte);
        else
            putchar(byte);
    }
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "-" : text;
}

static void put_word(const char *text)
{
    putchar(' ');
    put_safe(text[0] == '\0' ? "-" : text);
}

static void put_time(json_t *record)
{
    json_int_t ms = json_integer_value(json_object_get(record, "time"));
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    char text[32] = "-";
    if (gmtime_r(&seconds, &utc) != NULL)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    printf("%s.%03dZ", text, (int)(ms % 1000));
}

static void put_target(json_t *record, json_t *unmapped)
{
    json_t *to = json_object_get(record, "dst_endpoint"), *query = json_object_get(record, "query");
    if (query != NULL) {
        put_word(text_of(query, "hostname"));
        put_word(text_of(query, "type"));
        return;
    }
    const char *host = text_of(to, "hostname");
    if (strcmp(host, "-") == 0)
        host = text_of(to, "ip");
    if (strcmp(host, "-") == 0) {
        put_word(text_of(unmapped, "raw_target"));
        return;
    }
    put_word(host);
    printf(":%lld", (long long)json_integer_value(json_object_get(to, "port")));
}

static void put_flow(json_t *record, json_t *metadata, json_t *unmapped)
{
    json_t *traffic = json_object_get(record, "traffic");
    printf(" %-5s", json_integer_value(json_object_get(record, "action_id")) == 1 ? "allow" : "deny");
    put_word(text_of(metadata, "event_code"));
    put_word(text_of(unmapped, "door"));
    put_target(record, unmapped);
    put_word(json_object_get(record, "query") != NULL ? text_of(unmapped, "dns_result")
                                                      : text_of(record, "status_code"));
    put_word(text_of(json_object_get(record, "firewall_rule"), "uid"));
    put_word(text_of(metadata, "tenant_uid"));
    if (traffic != NULL)
        printf(" %lld out %lld in", (long long)json_integer_value(json_object_get(traffic, "bytes_out")),
               (long long)json_integer_value(json_object_get(traffic, "bytes_in")));
    json_t *count = json_object_get(record, "count");
    if (count != NULL)
        printf(" %lld times", (long long)json_integer_value(count));
}

enum err audit_print(uint64_t index, struct span leaf)
{
    json_error_t error;
    errno = 0; /* the library does not tell want of memory from wrong text */
    json_t *record = json_loadb((const char *)leaf.data, leaf.len, 0, &error);
    if (record == NULL && errno == ENOMEM)
        return ERR_NO_MEMORY;
    if (record == NULL) {
        printf("entry %llu is not JSON: %s\n", (unsigned long long)index, error.text);
        return ERR_NONE;
    }
    json_t *metadata = json_object_get(record, "metadata"), *unmapped = json_object_get(record, "unmapped");
    put_time(record);
    if (json_object_get(record, "action_id") != NULL) {
        put_flow(record, metadata, unmapped);
    } else {
        printf(" event");
        put_word(text_of(metadata, "event_code"));
        put_word(text_of(metadata, "tenant_uid"));
        put_word(text_of(record, "message"));
    }
    putchar('\n');
    json_decref(record);
    return ERR_NONE;
}

static int finish(enum err err, const char *dir)
{
    if (err == ERR_NONE || err == ERR_AGAIN)
        return fflush(stdout) == 0 ? 0 : 1;
    fflush(stdout);
    return audit_fail("tail", dir, err, err_text(err));
}

int audit_tail(const char *dir, uint64_t from, bool json, bool follow)
{
    struct audit_reader *reader = NULL;
    enum err err = audit_reader_open(dir, from, &reader);
    if (err != ERR_NONE)
        return finish(err, dir);
    for (;;) {
        uint64_t index = 0;
        struct span leaf;
        err = audit_reader_next(reader, &index, &leaf);
        if (err == ERR_NONE && json) {
            fwrite(leaf.data, 1, leaf.len, stdout);
            putchar('\n');
        } else if (err == ERR_NONE) {
            err = audit_print(index, leaf);
            if (err != ERR_NONE)
                break;
        } else if (err != ERR_AGAIN || !follow) {
            break;
        } else {
            /* Whoever read us may have gone. */
            if (fflush(stdout) != 0)
                break;
            nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
        }
    }
    audit_reader_close(reader);
    return finish(err, dir);
}
