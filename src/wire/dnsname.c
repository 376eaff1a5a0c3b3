/* SPDX-License-Identifier: Apache-2.0 */
#include "dnsname.h"

#include "base/text.h"

/* Pointers followed for one name. A writer needs one; chains of pointers to pointers are legal but nobody's habit, and
 * unbounded ones would make a message of pointers quadratic to read. */
#define POINTERS_MAX 16

enum label { LABEL_END, LABEL_TEXT, LABEL_POINTER, LABEL_BAD };

/* One step of a name. For text `out_label` is the label without its length byte. */
static enum label next_label(struct cursor *c, struct span *out_label, size_t *out_pointer)
{
    uint8_t first = cursor_u8(c);
    if (c->failed)
        return LABEL_BAD;
    if (first == 0)
        return LABEL_END;
    if (first >= 0xc0) {
        *out_pointer = (size_t)(first & 0x3f) << 8 | cursor_u8(c);
        return c->failed ? LABEL_BAD : LABEL_POINTER;
    }
    if (first > HOSTNAME_LABEL_MAX) /* 0x40 to 0xbf: reserved, RFC 6891 5 */
        return LABEL_BAD;
    *out_label = cursor_take(c, first);
    return c->failed ? LABEL_BAD : LABEL_TEXT;
}

static void fail(struct cursor *c)
{
    c->failed = true;
    c->rest = span_make(NULL, 0);
}

/* False if there is no room for the label and the root behind it. */
static bool append_label(struct dnsname *name, struct span label)
{
    if (name->len + 1 + label.len + 1 > DNSNAME_MAX)
        return false;
    name->bytes[name->len++] = (uint8_t)label.len;
    for (size_t i = 0; i < label.len; i++)
        name->bytes[name->len++] = text_lower(label.data[i]);
    return true;
}

/* Where a name is being read, and how far back the next pointer must lead. */
struct walk {
    struct span message;
    struct cursor at;
    struct cursor behind; /* behind the first pointer, where the name's own bytes end */
    size_t limit;
    unsigned pointers;
};

static bool jump(struct walk *w, size_t pointer)
{
    if (w->pointers == 0)
        w->behind = w->at;
    if (pointer >= w->limit || ++w->pointers > POINTERS_MAX)
        return false;
    w->limit = pointer;
    w->at = cursor_make(span_from(w->message, pointer));
    return true;
}

static bool read_labels(struct walk *w, struct dnsname *name)
{
    for (;;) {
        struct span label = {0};
        size_t pointer = 0;
        switch (next_label(&w->at, &label, &pointer)) {
        case LABEL_END:
            name->bytes[name->len++] = 0;
            return true;
        case LABEL_TEXT:
            if (!append_label(name, label))
                return false;
            break;
        case LABEL_POINTER:
            if (!jump(w, pointer))
                return false;
            break;
        case LABEL_BAD:
            return false;
        }
    }
}

void dnsname_read(struct span message, struct cursor *c, struct dnsname *out)
{
    out->len = 0;
    if (c->failed || c->rest.len == 0) {
        fail(c);
        return;
    }
    struct walk w = {.message = message, .at = *c, .limit = (size_t)(c->rest.data - message.data)};
    if (!read_labels(&w, out)) {
        out->len = 0;
        fail(c);
        return;
    }
    *c = w.pointers == 0 ? w.at : w.behind;
}

void dnsname_skip(struct cursor *c)
{
    for (;;) {
        struct span label = {0};
        size_t pointer = 0;
        enum label kind = next_label(c, &label, &pointer);
        if (kind == LABEL_BAD)
            fail(c);
        if (kind != LABEL_TEXT)
            return;
    }
}

void dnsname_from_hostname(const struct hostname *name, struct dnsname *out)
{
    struct span rest = hostname_span(name);
    *out = (struct dnsname){.len = 0};
    while (rest.len > 0) {
        size_t dot = span_find(rest, '.');
        append_label(out, span_first(rest, dot));
        rest = span_from(rest, dot + 1);
    }
    out->bytes[out->len++] = 0;
}

bool dnsname_equal(const struct dnsname *a, const struct dnsname *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

bool dnsname_is_within(const struct dnsname *name, const struct dnsname *zone)
{
    size_t at = 0;
    while (name->len - at > zone->len)
        at += (size_t)name->bytes[at] + 1;
    return name->len - at == zone->len && memcmp(name->bytes + at, zone->bytes, zone->len) == 0;
}
