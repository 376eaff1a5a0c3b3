/* SPDX-License-Identifier: Apache-2.0 */
#include "request_line.h"

static enum method method_of(struct span text)
{
    static const struct {
        const char *name;
        enum method method;
    } methods[] = {
#define X(name) {#name, METHOD_##name},
        METHOD_TABLE(X)
#undef X
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (span_is(text, methods[i].name))
            return methods[i].method;
    return METHOD_UNKNOWN;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/" and digits with dots is a version, though not ours; anything else is no version at all. */
static enum reason read_version(struct span text, uint8_t *out_minor)
{
    static const char prefix[] = "HTTP/";
    size_t len = sizeof prefix - 1;
    if (text.len <= len || !span_is(span_first(text, len), prefix))
        return REASON_MALFORMED;
    struct span number = span_from(text, len);
    for (size_t i = 0; i < number.len; i++)
        if (!is_digit(number.data[i]) && number.data[i] != '.')
            return REASON_MALFORMED;
    if (!span_is(number, "1.0") && !span_is(number, "1.1"))
        return REASON_VERSION;
    *out_minor = (uint8_t)(number.data[2] - '0');
    return REASON_NONE;
}

/* What is forwarded must at least be printable ASCII without a fragment (RFC 9112 3.2). */
static bool is_path(struct span path)
{
    for (size_t i = 0; i < path.len; i++)
        if (path.data[i] <= 0x20 || path.data[i] >= 0x7f || path.data[i] == '#')
            return false;
    return true;
}

static enum err read_target(struct request_line *line)
{
    struct span raw = line->raw_target;
    if (line->method == METHOD_CONNECT) {
        line->form = FORM_AUTHORITY;
        return target_parse_authority(raw, &line->target);
    }
    if (raw.data[0] == '/') {
        line->form = FORM_ORIGIN;
        line->path = raw;
        return is_path(raw) ? ERR_NONE : ERR_INVALID;
    }
    line->form = FORM_ABSOLUTE;
    enum err err = target_parse_absolute(raw, &line->target, &line->path);
    if (err != ERR_NONE)
        return err;
    if (line->path.len == 0)
        line->path = span_text("/");
    return is_path(line->path) ? ERR_NONE : ERR_INVALID;
}

void request_line_drop_target(struct request_line *line)
{
    memset(&line->target, 0, sizeof line->target);
    line->form = FORM_NONE;
    line->path = span_make(NULL, 0);
}

enum reason request_line_read(struct span text, struct request_line *out)
{
    memset(out, 0, sizeof *out);
    size_t space = span_find(text, ' ');
    out->method_text = span_first(text, space);
    out->method = method_of(out->method_text);
    struct span rest = span_from(text, space + 1);
    size_t second = span_find(rest, ' ');
    out->raw_target = span_first(rest, second);
    if (out->raw_target.len == 0)
        return REASON_MALFORMED;
    if (second == rest.len) /* HTTP/0.9 knew GET alone; with another method it is a broken line */
        return out->method == METHOD_GET ? REASON_VERSION : REASON_MALFORMED;
    enum reason reason = read_version(span_from(rest, second + 1), &out->minor);
    if (reason != REASON_NONE)
        return reason;
    if (read_target(out) == ERR_NONE)
        return REASON_NONE;
    request_line_drop_target(out);
    return REASON_TARGET;
}
