/* SPDX-License-Identifier: Apache-2.0 */
/* A session's summary for people: as text, and as Markdown for a pull request. */
#include "session_summary.h"

#include "record_json.h"

#include <inttypes.h>
#include <string.h>

static long long number_of(json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* Nothing that was said by a client or an opener may become markup. */
static void print_escaped(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (strchr("\\`*_{}[]()<>#+!|&~@", *text) != NULL)
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void bytes_text(long long bytes, char *out, size_t cap)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        value /= 1024;
    if (unit == 0)
        snprintf(out, cap, "%lld B", bytes);
    else
        snprintf(out, cap, "%.1f %s", value, units[unit]);
}

struct sizes {
    char up[32], down[32];
};

static struct sizes sizes_of(json_t *object)
{
    struct sizes s;
    bytes_text(number_of(object, "bytes_up"), s.up, sizeof s.up);
    bytes_text(number_of(object, "bytes_down"), s.down, sizeof s.down);
    return s;
}

static const char *is_new(json_t *host)
{
    return json_is_true(json_object_get(host, "new")) ? "new" : "";
}

static void say_bounds(json_t *summary, const char *before, FILE *out)
{
    json_t *compared = json_object_get(summary, "compared");
    if (number_of(summary, "open") > 0)
        fprintf(out, "%sStill open: %lld; what they carry after their last record is not in these numbers.\n", before,
                number_of(summary, "open"));
    if (!json_is_true(json_object_get(summary, "whole")))
        fprintf(out, "%sCut short: only entries %lld to %lld of the log were looked at.\n", before,
                number_of(summary, "from_index"), number_of(summary, "to_index"));
    if (number_of(summary, "hosts_left_out") + number_of(summary, "refusals_left_out") > 0)
        fprintf(out, "%sToo many names to list: %lld records of hosts and %lld refusals are in the totals alone.\n",
                before, number_of(summary, "hosts_left_out"), number_of(summary, "refusals_left_out"));
    fprintf(out, "%s\"new\" is held against the environment's records %lld to %lld%s.\n", before,
            number_of(compared, "from_index"), number_of(compared, "to_index"),
            json_is_true(json_object_get(compared, "whole")) ? ", all before this session"
                                                             : ", a part of those before this session");
}

void session_print_text(json_t *session, FILE *out)
{
    json_t *summary = json_object_get(session, "summary"), *item;
    struct sizes all = sizes_of(summary);
    size_t i;
    fprintf(out, "session %s of %s\n", record_text(session, "session"), record_text(session, "environment"));
    fprintf(out, "  attempts %lld, refused %lld, failed %lld, open %lld; %s up, %s down\n",
            number_of(summary, "attempts"), number_of(summary, "refused"), number_of(summary, "failed"),
            number_of(summary, "open"), all.up, all.down);
    json_array_foreach(json_object_get(summary, "hosts"), i, item)
    {
        struct sizes s = sizes_of(item);
        fprintf(out, "  host %-40s %5lld attempts %5lld refused %11s up %11s down  %s\n", record_text(item, "host"),
                number_of(item, "attempts"), number_of(item, "refused"), s.up, s.down, is_new(item));
    }
    json_array_foreach(json_object_get(summary, "refusals"), i, item)
        fprintf(out, "  refused %5lld × %s: %s (request %s)\n", number_of(item, "count"), record_text(item, "host"),
                record_text(item, "reason"), record_text(item, "last_request"));
    say_bounds(summary, "  ", out);
}

static void markdown_hosts(json_t *summary, FILE *out)
{
    json_t *item;
    size_t i;
    fputs("\n| host | attempts | refused | up | down | |\n|---|--:|--:|--:|--:|---|\n", out);
    json_array_foreach(json_object_get(summary, "hosts"), i, item)
    {
        struct sizes s = sizes_of(item);
        fputs("| ", out);
        print_escaped(record_text(item, "host"), out);
        fprintf(out, " | %lld | %lld | %s | %s | %s |\n", number_of(item, "attempts"), number_of(item, "refused"), s.up,
                s.down, is_new(item));
    }
}

static void markdown_refusals(json_t *summary, FILE *out)
{
    json_t *list = json_object_get(summary, "refusals"), *item;
    size_t i;
    if (json_array_size(list) == 0)
        return;
    fputs("\n| refused | times | reason | last request |\n|---|--:|---|---|\n", out);
    json_array_foreach(list, i, item)
    {
        fputs("| ", out);
        print_escaped(record_text(item, "host"), out);
        fprintf(out, " | %lld | ", number_of(item, "count"));
        print_escaped(record_text(item, "reason"), out);
        fprintf(out, " | `%s` |\n", record_text(item, "last_request"));
    }
}

void session_print_markdown(json_t *session, FILE *out)
{
    json_t *summary = json_object_get(session, "summary");
    struct sizes all = sizes_of(summary);
    fputs("### Egress of session ", out);
    print_escaped(record_text(session, "session"), out);
    fputs(" (", out);
    print_escaped(record_text(session, "environment"), out);
    fputs(")\n\n", out);
    fprintf(out, "%lld attempts, %lld refused, %lld failed, %s up, %s down.", number_of(summary, "attempts"),
            number_of(summary, "refused"), number_of(summary, "failed"), all.up, all.down);
    if (record_text(session, "labels")[0] != '\0') {
        fputs(" Labels: ", out);
        print_escaped(record_text(session, "labels"), out);
        fputc('.', out);
    }
    fputc('\n', out);
    if (json_array_size(json_object_get(summary, "hosts")) > 0)
        markdown_hosts(summary, out);
    markdown_refusals(summary, out);
    fputc('\n', out);
    say_bounds(summary, "- ", out);
}
