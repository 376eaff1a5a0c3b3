/* SPDX-License-Identifier: Apache-2.0 */
/* request_line: the first line of a head, judged as a whole. */
#ifndef WIRE_REQUEST_LINE_H
#define WIRE_REQUEST_LINE_H

#include "wire/request.h"

struct request_line {
    enum method method;
    enum request_form form;
    uint8_t minor;
    struct span method_text;
    struct span raw_target;
    struct span path;
    struct target target;
};

/* `line` has no CRLF, begins with a token and a space, and has at most one more space: the scanner saw to that.
 * REASON_NONE if it is a request line; otherwise what was understood is in *out. */
enum reason request_line_read(struct span line, struct request_line *out);

/* Forgets a target that is not good as a whole, so that nothing can act on half of one. */
void request_line_drop_target(struct request_line *line);

#endif
