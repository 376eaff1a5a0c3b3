/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"

#include "base/outbuf.h"

#include <stdlib.h>
#include <unistd.h>

/* No stdio here: the heap or a stdio lock may be the very thing that is broken. */
void assert_failed(const char *file, int line, const char *expression)
{
    char text[512];
    struct outbuf out = outbuf_make(text, sizeof text - 1);
    outbuf_text(&out, file);
    outbuf_char(&out, ':');
    outbuf_i64(&out, line);
    outbuf_text(&out, ": assertion failed: ");
    outbuf_text(&out, expression);
    text[out.len] = '\n';
    ssize_t ignored = write(STDERR_FILENO, text, out.len + 1);
    (void)ignored;
    abort();
}
