/* SPDX-License-Identifier: Apache-2.0 */
#include "fields.h"

#include "base/assert.h"
#include "base/text.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s = span_make(s.data + 1, s.len - 1);
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

size_t fields_cut(struct span lines, struct header *out_headers)
{
    size_t count = 0;
    while (lines.len > 0) {
        size_t end = span_find(lines, '\r');
        size_t colon = span_find(lines, ':');
        ASSERT(colon < end && end + 1 < lines.len && count < REQUEST_HEADERS_MAX);
        out_headers[count++] = (struct header){
            .name = span_first(lines, colon),
            .value = trim(span_make(lines.data + colon + 1, end - colon - 1)),
        };
        lines = span_from(lines, end + 2);
    }
    return count;
}

size_t fields_count_span(struct fields fields, struct span name)
{
    size_t count = 0;
    for (size_t i = 0; i < fields.count; i++)
        count += span_equal_fold(fields.headers[i].name, name);
    return count;
}

const struct header *fields_find_span(struct fields fields, struct span name)
{
    for (size_t i = 0; i < fields.count; i++)
        if (span_equal_fold(fields.headers[i].name, name))
            return &fields.headers[i];
    return NULL;
}

struct span field_core(struct span name)
{
    while (name.len > 0 && field_folded(name.data[0]) == '-')
        name = span_make(name.data + 1, name.len - 1);
    while (name.len > 0 && field_folded(name.data[name.len - 1]) == '-')
        name.len--;
    return name;
}

bool field_reads_as_slowly(struct span name, const char *field)
{
    struct span wanted = span_text(field);
    if (name.len < wanted.len)
        return false;
    name = field_core(name);
    if (name.len != wanted.len)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (field_folded(name.data[i]) != wanted.data[i])
            return false;
    return true;
}

bool fields_mimic(struct fields fields, const char *field)
{
    for (size_t i = 0; i < fields.count; i++)
        if (field_reads_as(fields.headers[i].name, field) && !span_equal_fold(fields.headers[i].name, span_text(field)))
            return true;
    return false;
}

bool field_is_padded(const struct header *header)
{
    const uint8_t *behind_colon = header->name.data + header->name.len + 1;
    size_t before = (size_t)(header->value.data - behind_colon);
    bool plain = before == 0 || (before == 1 && behind_colon[0] == ' ');
    return !plain || header->value.data[header->value.len] != '\r';
}

bool field_next_element(struct span *rest, struct span *out_element)
{
    if (rest->data == NULL)
        return false;
    size_t comma = span_find(*rest, ',');
    *out_element = trim(span_first(*rest, comma));
    bool more = comma < rest->len;
    *rest = more ? span_make(rest->data + comma + 1, rest->len - comma - 1) : span_make(NULL, 0);
    return true;
}

bool fields_list_has_span(struct fields fields, struct span name, struct span token)
{
    for (size_t i = 0; i < fields.count; i++) {
        if (!span_equal_fold(fields.headers[i].name, name))
            continue;
        struct span rest = fields.headers[i].value;
        struct span element;
        while (field_next_element(&rest, &element))
            if (span_equal_fold(element, token))
                return true;
    }
    return false;
}
