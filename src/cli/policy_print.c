/* SPDX-License-Identifier: Apache-2.0 */
#include "policy_print.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void print_time(int64_t ms, FILE *out)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    char text[32] = "-";
    if (gmtime_r(&seconds, &utc) != NULL)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    fputs(text, out);
}

/* What stands in a record came from people and files: nothing of it moves a cursor. */
static void print_safe(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        putchar((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
}

void policy_entry_print(const struct policy_entry *e)
{
    static const char *const names[][2] = {
        {"policy_loaded",  "loaded" },
        {"policy_refused", "refused"},
        {"policy_removed", "removed"},
    };
    const char *event = e->event;
    for (size_t i = 0; i < 3; i++)
        if (strcmp(event, names[i][0]) == 0)
            event = names[i][1];
    print_time(e->time_ms, stdout);
    printf("  %-8s generation %-5llu ", event, (unsigned long long)e->generation);
    print_safe(e->environment[0] != '\0' ? e->environment : "(configuration)");
    if (strcmp(e->event, "policy_refused") != 0)
        printf("  %.16s", e->id);
    printf("  by ");
    print_safe(e->who);
    if (e->reason[0] != '\0') {
        printf(": ");
        print_safe(e->reason);
    }
    if (e->commit[0] != '\0') {
        printf("  commit ");
        print_safe(e->commit);
    }
    if (strcmp(e->event, "policy_refused") == 0) {
        printf("\n    ");
        print_safe(e->file);
        printf(":%llu: ", (unsigned long long)e->line);
        print_safe(e->message);
        printf(e->text[0] != '\0' ? " (text %.16s)" : "%s", e->text);
    }
    putchar('\n');
}

void policy_entry_json(const struct policy_entry *e)
{
    char text[8192];
    struct outbuf out = outbuf_make(text, sizeof text);
    struct json j = json_make(&out);
    const struct {
        const char *key, *value;
    } words[] = {
        {"event",              e->event      },
        {"environment",        e->environment},
        {"id",                 e->id         },
        {"who",                e->who        },
        {"reason",             e->reason     },
        {"commit",             e->commit     },
        {"file",               e->file       },
        {"text_sha256",        e->text       },
        {"egress_text_sha256", e->egress_text},
        {"message",            e->message    },
    };
    json_open(&j, '{');
    json_key_u64(&j, "index", e->index);
    json_key_u64(&j, "time_ms", e->time_ms > 0 ? (uint64_t)e->time_ms : 0);
    json_key_u64(&j, "generation", e->generation);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (words[i].value[0] != '\0')
            json_key_text(&j, words[i].key, words[i].value);
    json_close(&j, '}');
    printf("%.*s\n", (int)out.len, text);
}
