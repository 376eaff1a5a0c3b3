/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/diag.h"

#include "base/outbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void diag_init(struct diag *diag)
{
    *diag = (struct diag){0};
}

void diag_clear(struct diag *diag)
{
    free(diag->items);
    diag_init(diag);
}

/* Control bytes become \xNN, so that no line of a report can be forged by a file. UTF-8 passes. */
static void copy_escaped(char *out, size_t cap, const char *text)
{
    struct outbuf o = outbuf_make(out, cap - 1);
    for (const char *c = text; *c != '\0' && !o.overflow; c++) {
        uint8_t byte = (uint8_t)*c;
        if (byte >= 0x20 && byte != 0x7f) {
            outbuf_u8(&o, byte);
            continue;
        }
        static const char digits[] = "0123456789abcdef";
        char escape[4] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
        outbuf_bytes(&o, escape, sizeof escape);
    }
    size_t len = o.len;
    /* A code point that was cut in two goes as a whole. */
    if (o.overflow)
        while (len > 0 && ((uint8_t)out[len - 1] & 0xc0) == 0x80)
            len--;
    if (o.overflow && len > 0 && (uint8_t)out[len - 1] >= 0xc0)
        len--;
    out[len] = '\0';
}

static void format_escaped(char *out, size_t cap, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static void format_escaped(char *out, size_t cap, const char *format, va_list args)
{
    char plain[1024];
    vsnprintf(plain, sizeof plain, format, args);
    copy_escaped(out, cap, plain);
}

struct finding *diag_add(struct diag *diag, enum severity severity, const char *code, const char *file, uint32_t line,
                         uint32_t column, const char *message, ...)
{
    if (severity == SEVERITY_ERROR)
        diag->errors++;
    else
        diag->lints++;
    if (diag->items == NULL)
        diag->items = calloc(DIAG_MAX, sizeof *diag->items);
    if (diag->items == NULL || diag->count == DIAG_MAX)
        return NULL;
    struct finding *f = &diag->items[diag->count++];
    *f = (struct finding){.severity = severity, .code = code, .line = line, .column = column};
    copy_escaped(f->file, sizeof f->file, file == NULL ? "" : file);
    va_list args;
    va_start(args, message);
    format_escaped(f->message, sizeof f->message, message, args);
    va_end(args);
    return f;
}

void diag_fix(struct finding *finding, const char *fix, ...)
{
    if (finding == NULL)
        return;
    va_list args;
    va_start(args, fix);
    format_escaped(finding->fix, sizeof finding->fix, fix, args);
    va_end(args);
}
