/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_log.h"

#include "policy_log.h"
#include "record_json.h"

#include "audit/reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_DIGITS 32

#define COPY(to, from) snprintf((to), sizeof(to), "%.*s", (int)sizeof(to) - 1, (from))

/* 32 hexadecimal digits, hyphens apart. */
static bool read_id(const char *request, char out[ID_DIGITS + 1])
{
    size_t len = 0;
    for (; *request != '\0'; request++) {
        if (*request == '-')
            continue;
        if (len == ID_DIGITS || strchr("0123456789abcdef", *request) == NULL)
            return false;
        out[len++] = *request;
    }
    out[len] = '\0';
    return len == ID_DIGITS;
}

static void read_hello(json_t *record, struct logged *out)
{
    json_t *ech = json_object_get(json_object_get(record, "unmapped"), "ech");
    out->first = strcmp(out->reason, "not_tls") == 0         ? FIRST_NOT_TLS
                 : strcmp(out->reason, "hello_timeout") == 0 ? FIRST_SILENCE
                                                             : FIRST_HELLO;
    out->has_hello = ech != NULL || out->first != FIRST_HELLO;
    out->ech = json_is_true(ech);
    COPY(out->sni, record_text(json_object_get(record, "tls"), "sni"));
}

/* Attempt first, then what became of it: the last word counts. */
static void read_record(json_t *record, bool first, struct logged *out)
{
    if (first) {
        record_target(record, out->target, sizeof out->target);
        COPY(out->door, record_text(json_object_get(record, "unmapped"), "door"));
        COPY(out->method, record_text(json_object_get(record, "http_request"), "http_method"));
        out->time_ms = json_integer_value(json_object_get(record, "time"));
        COPY(out->session, record_text(json_object_get(record, "src_endpoint"), "uid"));
        COPY(out->environment, record_text(json_object_get(record, "metadata"), "tenant_uid"));
    }
    COPY(out->verdict, json_integer_value(json_object_get(record, "action_id")) == 1 ? "allow" : "deny");
    COPY(out->reason, record_text(record, "status_code"));
    COPY(out->rule, record_text(json_object_get(record, "firewall_rule"), "uid"));
    COPY(out->stage, record_text(json_object_get(record, "unmapped"), "stage"));
    COPY(out->policy_id, record_text(json_object_get(record, "policy"), "uid"));
    record_answers(record, out->answers, &out->answer_count);
    read_hello(record, out);
}

static bool is_about(json_t *record, const char *id)
{
    char own[ID_DIGITS + 1];
    if (strcmp(record_text(json_object_get(record, "metadata"), "event_code"), "lookup") == 0)
        return false; /* nothing was decided */
    return read_id(record_text(json_object_get(record, "metadata"), "correlation_uid"), own) && strcmp(own, id) == 0;
}

enum err logged_find(const char *dir, const char *request, struct logged *out)
{
    char id[ID_DIGITS + 1];
    struct audit_reader *reader = NULL;
    struct span leaf;
    uint64_t index;
    size_t seen = 0;
    if (!read_id(request, id))
        return ERR_INVALID;
    *out = (struct logged){0};
    enum err err = audit_reader_open(dir, 0, &reader);
    while (err == ERR_NONE && (err = audit_reader_next(reader, &index, &leaf)) == ERR_NONE) {
        if (memmem(leaf.data, leaf.len, id, 8) == NULL) /* most are about others: no JSON is read for them */
            continue;
        json_t *record = json_loadb((const char *)leaf.data, leaf.len, 0, NULL);
        if (is_about(record, id)) {
            out->index = seen == 0 ? index : out->index;
            read_record(record, seen++ == 0, out);
        }
        json_decref(record);
    }
    audit_reader_close(reader);
    if (err != ERR_AGAIN)
        return err;
    return seen > 0 ? ERR_NONE : ERR_NOT_FOUND;
}

enum logged_kind logged_take(struct span leaf, struct logged *out)
{
    static const char flow[] = "{\"action_id\":";
    if (leaf.len < sizeof flow || memcmp(leaf.data, flow, sizeof flow - 1) != 0)
        return LOGGED_OTHER;
    errno = 0; /* the library does not tell want of memory from wrong text */
    json_t *record = json_loadb((const char *)leaf.data, leaf.len, 0, NULL);
    if (record == NULL && errno == ENOMEM)
        return LOGGED_UNREAD;
    const char *code = record_text(json_object_get(record, "metadata"), "event_code");
    json_t *to = json_object_get(record, "dst_endpoint");
    enum logged_kind kind = strcmp(code, "attempt") == 0   ? LOGGED_ATTEMPT
                            : strcmp(code, "outcome") == 0 ? LOGGED_OUTCOME
                                                           : LOGGED_OTHER;
    if (json_object_get(record, "count") != NULL || json_object_get(to, "port") == NULL)
        kind = LOGGED_OTHER;
    *out = (struct logged){0};
    if (kind != LOGGED_OTHER)
        read_record(record, true, out);
    json_decref(record);
    return kind;
}

enum err logged_policy(const char *dir, const struct logged *logged, struct diag *diag, struct policy_texts *texts,
                       struct policy **out)
{
    struct policy_entry entry;
    *texts = (struct policy_texts){0};
    enum err err = policy_log_find(dir, logged->policy_id, &entry);
    return err == ERR_NONE ? policy_then_load(dir, &entry, diag, texts, out) : err;
}
