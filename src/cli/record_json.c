/* SPDX-License-Identifier: Apache-2.0 */
#include "record_json.h"

#include <stdio.h>
#include <string.h>

const char *record_text(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

void record_target(json_t *record, char *out, size_t cap)
{
    json_t *to = json_object_get(record, "dst_endpoint");
    const char *name = record_text(to, "hostname"), *ip = record_text(to, "ip");
    json_int_t port = json_integer_value(json_object_get(to, "port"));
    if (port == 0 || (name[0] == '\0' && ip[0] == '\0'))
        snprintf(out, cap, "%.*s", (int)cap - 1, record_text(json_object_get(record, "unmapped"), "raw_target"));
    else if (name[0] == '\0' && strchr(ip, ':') != NULL)
        snprintf(out, cap, "[%.45s]:%d", ip, (int)port);
    else
        snprintf(out, cap, "%.253s:%d", name[0] != '\0' ? name : ip, (int)port);
}

void record_answers(json_t *record, struct ipaddr out[static ADMITTED_MAX], size_t *count)
{
    json_t *list = json_object_get(json_object_get(record, "unmapped"), "answers");
    size_t i;
    json_t *answer;
    json_array_foreach(list, i, answer)
    {
        const char *text = json_string_value(answer);
        if (text != NULL && *count < ADMITTED_MAX && ipaddr_parse(span_text(text), &out[*count]) == ERR_NONE)
            (*count)++;
    }
}
