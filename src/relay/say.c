/* SPDX-License-Identifier: Apache-2.0 */
#include "say.h"

#include "base/outbuf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024
#define QUIET_MS       1000

__attribute__((format(printf, 2, 0))) static void put_line(uint64_t silent, const char *format, va_list args)
{
    int saved_errno = errno;
    char text[LINE_MAX_BYTES];
    int wanted = vsnprintf(text, sizeof text, format, args);
    char line[LINE_MAX_BYTES + 128];
    struct outbuf out = outbuf_make(line, sizeof line);
    outbuf_text(&out, "sallyport-relay: ");
    for (const char *c = text; wanted > 0 && *c != '\0'; c++)
        outbuf_char(&out, (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
    if (silent > 0) {
        outbuf_text(&out, " (and ");
        outbuf_u64(&out, silent);
        outbuf_text(&out, " times before)");
    }
    outbuf_char(&out, '\n');
    ssize_t ignored = write(STDERR_FILENO, out.data, out.len);
    (void)ignored;
    errno = saved_errno;
}

void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_line(0, format, args);
    va_end(args);
}

void say_rated(struct say_rate *rate, uint64_t now_ms, const char *format, ...)
{
    if (now_ms < rate->next_ms) {
        rate->silent++;
        return;
    }
    va_list args;
    va_start(args, format);
    put_line(rate->silent, format, args);
    va_end(args);
    *rate = (struct say_rate){.next_ms = now_ms + QUIET_MS};
}
