/* SPDX-License-Identifier: Apache-2.0 */
/* fields: what the field lines of requests, of responses and of trailers have in common (RFC 9110 5). */
#ifndef WIRE_FIELDS_H
#define WIRE_FIELDS_H

#include "base/text.h"
#include "wire/request.h"

/* A byte of a token, RFC 9110 5.6.2. */
static inline bool field_is_token(uint8_t c)
{
    static const uint32_t token[8] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff, 0, 0, 0, 0}; /* one bit a byte */
    return (token[c >> 5] >> (c & 31) & 1) != 0;
}

/* A byte of a value, RFC 9110 5.5: visible bytes, obs-text, space and tab. */
static inline bool field_is_value(uint8_t c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

/* How many bytes of a value there are from the start on. */
static inline size_t field_value_run(struct span s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    size_t at = 0;
    /* Eight at a time while none is below 0x20 and none is 0x7f; a tab is left to the loop behind. */
    for (; s.len - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, s.data + at, sizeof word);
        uint64_t del = word ^ ones * 0x7f;
        if ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & tops)
            break;
    }
    while (at < s.len && field_is_value(s.data[at]))
        at++;
    return at;
}

/* The fields of one head. */
struct fields {
    const struct header *headers;
    size_t count;
};

/* Cuts complete field lines, each with its CRLF, whose bytes a scanner has checked and of which there are at most
 * REQUEST_HEADERS_MAX. Gives their number. */
size_t fields_cut(struct span lines, struct header *out_headers);

/* Inline, so that the length of a literal is no question at run time. */
size_t fields_count_span(struct fields fields, struct span name);
static inline size_t fields_count(struct fields fields, const char *name)
{
    return fields_count_span(fields, span_text(name));
}
/* The first of that name in any case, or NULL. */
const struct header *fields_find_span(struct fields fields, struct span name);
static inline const struct header *fields_find(struct fields fields, const char *name)
{
    return fields_find_span(fields, span_text(name));
}

/* CGI and its kin take '-', '_' and '.' for the same, and letters of either case. */
static inline uint8_t field_folded(uint8_t c)
{
    return c == '_' || c == '.' ? '-' : text_lower(c);
}

/* A name without the bytes at its ends that fold to '-'. */
struct span field_core(struct span name);

/*
 * True if some server may read `name` as `field` (lower case): they are the same folded and without separators at the
 * ends. The field itself is among them.
 */
bool field_reads_as_slowly(struct span name, const char *field);
static inline bool field_reads_as(struct span name, const char *field)
{
    /* Each field of a head is held against a dozen names: the first letter decides most of them. */
    uint8_t first = name.len > 0 ? field_folded(name.data[0]) : '-';
    return (first == '-' || first == (uint8_t)field[0]) && field_reads_as_slowly(name, field);
}
/* A field is there that is read as this one and is not spelled so. */
bool fields_mimic(struct fields fields, const char *field);

/* More stands around the value than one SP before it. Of a header of fields_cut() alone: it looks at the line. */
bool field_is_padded(const struct header *header);

/* The next element of a comma-separated list, without the white space around it, perhaps empty; false at the end. A
 * fresh *rest is the whole value; an empty value is one empty element. */
bool field_next_element(struct span *rest, struct span *out_element);
/* A list of that name, in one or several lines, has this token in any case. */
bool fields_list_has_span(struct fields fields, struct span name, struct span token);
static inline bool fields_list_has(struct fields fields, const char *name, const char *token)
{
    return fields_list_has_span(fields, span_text(name), span_text(token));
}

#endif
