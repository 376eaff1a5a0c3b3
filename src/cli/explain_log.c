/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_log.h"

#include "policy_log.h"

#include "audit/reader.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_DIGITS 32

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

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

/* The target stands in the attempt; where none was understood, what the client wrote does. */
static void read_target(json_t *record, struct logged *out)
{
    json_t *to = json_object_get(record, "dst_endpoint"), *unmapped = json_object_get(record, "unmapped");
    const char *name = text_of(to, "hostname");
    const char *ip = text_of(to, "ip");
    json_int_t port = json_integer_value(json_object_get(to, "port"));
    if (port == 0 || (name[0] == '\0' && ip[0] == '\0'))
        COPY(out->target, text_of(unmapped, "raw_target"));
    else if (name[0] == '\0' && strchr(ip, ':') != NULL)
        snprintf(out->target, sizeof out->target, "[%.45s]:%d", ip, (int)port);
    else
        snprintf(out->target, sizeof out->target, "%.253s:%d", name[0] != '\0' ? name : ip, (int)port);
    COPY(out->door, text_of(unmapped, "door"));
    COPY(out->method, text_of(json_object_get(record, "http_request"), "http_method"));
}

static void read_answers(json_t *record, struct logged *out)
{
    json_t *list = json_object_get(json_object_get(record, "unmapped"), "answers");
    size_t i;
    json_t *answer;
    json_array_foreach(list, i, answer)
    {
        const char *text = json_string_value(answer);
        if (text != NULL && out->answer_count < ADMITTED_MAX &&
            ipaddr_parse(span_text(text), &out->answers[out->answer_count]) == ERR_NONE)
            out->answer_count++;
    }
}

static void read_hello(json_t *record, struct logged *out)
{
    json_t *ech = json_object_get(json_object_get(record, "unmapped"), "ech");
    out->first = strcmp(out->reason, "not_tls") == 0         ? FIRST_NOT_TLS
                 : strcmp(out->reason, "hello_timeout") == 0 ? FIRST_SILENCE
                                                             : FIRST_HELLO;
    out->has_hello = ech != NULL || out->first != FIRST_HELLO;
    out->ech = json_is_true(ech);
    COPY(out->sni, text_of(json_object_get(record, "tls"), "sni"));
}

/* Attempt first, then what became of it: the last word counts. */
static void read_record(json_t *record, bool first, struct logged *out)
{
    if (first)
        read_target(record, out);
    COPY(out->verdict, json_integer_value(json_object_get(record, "action_id")) == 1 ? "allow" : "deny");
    COPY(out->reason, text_of(record, "status_code"));
    COPY(out->rule, text_of(json_object_get(record, "firewall_rule"), "uid"));
    COPY(out->stage, text_of(json_object_get(record, "unmapped"), "stage"));
    COPY(out->policy_id, text_of(json_object_get(record, "policy"), "uid"));
    read_answers(record, out);
    read_hello(record, out);
}

static bool is_about(json_t *record, const char *id)
{
    char own[ID_DIGITS + 1];
    return read_id(text_of(json_object_get(record, "metadata"), "correlation_uid"), own) && strcmp(own, id) == 0;
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
        if (is_about(record, id))
            read_record(record, seen++ == 0, out);
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
    json_t *record = json_loadb((const char *)leaf.data, leaf.len, 0, NULL);
    const char *code = text_of(json_object_get(record, "metadata"), "event_code");
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

enum err logged_policy(const char *dir, const struct logged *logged, struct diag *diag, struct logged_texts *t,
                       struct policy **out)
{
    struct policy_entry entry;
    size_t lens[2] = {0, 0};
    *t = (struct logged_texts){0};
    enum err err = policy_log_find(dir, logged->policy_id, &entry);
    if (err == ERR_NONE)
        err = policy_log_text(dir, entry.text, &t->texts[0], &lens[0]);
    if (err == ERR_NONE && entry.egress_text[0] != '\0')
        err = policy_log_text(dir, entry.egress_text, &t->texts[1], &lens[1]);
    if (err != ERR_NONE)
        return err;
    COPY(t->file, entry.file);
    uint32_t line = entry.line > 0 && entry.line < UINT32_MAX ? (uint32_t)entry.line : 1;
    t->environment = (struct policy_text){t->file, span_make(t->texts[0], lens[0]), line};
    t->egress = (struct policy_text){t->file, span_make(t->texts[1], lens[1]), 1};
    t->sources = (struct policy_sources){
        .path = t->file, .text = &t->environment, .egress_text = t->texts[1] != NULL ? &t->egress : NULL};
    return policy_load(&t->sources, diag, out);
}

void logged_texts_free(struct logged_texts *texts)
{
    free(texts->texts[0]);
    free(texts->texts[1]);
    *texts = (struct logged_texts){0};
}
