/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static _Atomic int threshold = LOG_LEVEL_INFO;
static _Atomic bool as_json = false;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

void log_set_json(bool json)
{
    atomic_store_explicit(&as_json, json, memory_order_relaxed);
}

static const char *level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    return (size_t)level < sizeof names / sizeof names[0] ? names[level] : "error";
}

static bool is_printable(uint8_t c)
{
    return c >= 0x20 && c < 0x7f;
}

/* Bytes above ASCII are escaped too: a terminal may read U+0080..U+009F as control sequences. A line that does not fit
 * is cut between two characters, never inside an escape. */
static void put_escaped(struct outbuf *o, struct span s)
{
    for (size_t i = 0; i < s.len && !o->overflow; i++) {
        if (is_printable(s.data[i])) {
            outbuf_char(o, (char)s.data[i]);
            continue;
        }
        static const char digits[] = "0123456789abcdef";
        char escape[4] = {'\\', 'x', digits[s.data[i] >> 4], digits[s.data[i] & 15]};
        outbuf_bytes(o, escape, sizeof escape);
    }
}

static void put_plain_line(struct outbuf *o, enum log_level level, const char *fact, struct span details)
{
    outbuf_text(o, level_name(level));
    outbuf_char(o, ' ');
    outbuf_text(o, fact);
    if (details.len > 0)
        outbuf_char(o, ' ');
    put_escaped(o, details);
}

static void put_json_line(struct outbuf *o, enum log_level level, const char *fact, struct span details)
{
    struct json j = json_make(o);
    json_open(&j, '{');
    json_key_text(&j, "level", level_name(level));
    json_key_text(&j, "fact", fact);
    if (details.len > 0)
        json_key_span(&j, "details", details);
    json_close(&j, '}');
}

/* An escape of JSON takes at most seven bytes for one; this much of the details always fits a line. */
#define JSON_DETAILS_MAX ((LOG_LINE_MAX - 256) / 7)

void log_line(enum log_level level, const char *fact, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    int saved_errno = errno;
    char details[LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(details, sizeof details, format, args);
    va_end(args);
    size_t len = wanted < 0 ? 0 : (size_t)wanted < sizeof details ? (size_t)wanted : sizeof details - 1;

    uint8_t line[LOG_LINE_MAX];
    struct outbuf out = outbuf_make(line, sizeof line - 1);
    if (atomic_load_explicit(&as_json, memory_order_relaxed)) {
        put_json_line(&out, level, fact, span_make(details, len));
        if (out.overflow) {
            /* A cut object would be no JSON: say less instead. */
            out = outbuf_make(line, sizeof line - 1);
            put_json_line(&out, level, fact, span_first(span_make(details, len), JSON_DETAILS_MAX));
        }
    } else {
        put_plain_line(&out, level, fact, span_make(details, len));
    }
    line[out.len] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, out.len + 1);
    (void)ignored;
    errno = saved_errno;
}
