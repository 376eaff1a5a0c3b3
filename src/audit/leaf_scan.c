/* SPDX-License-Identifier: Apache-2.0 */
#include "leaf.h"
#include "record_tbl.h"

struct scanner {
    const uint8_t *at, *end;
    bool failed;
};

/* Inlined: a leaf is a row of literals, whose lengths the compiler then knows. */
static inline __attribute__((always_inline)) bool has(struct scanner *s, const char *literal)
{
    size_t len = strlen(literal);
    if (s->failed || (size_t)(s->end - s->at) < len || memcmp(s->at, literal, len) != 0)
        return false;
    s->at += len;
    return true;
}

static inline __attribute__((always_inline)) void expect(struct scanner *s, const char *literal)
{
    if (!s->failed && !has(s, literal))
        s->failed = true;
}

static uint64_t number(struct scanner *s)
{
    uint64_t value = 0;
    const uint8_t *start = s->at;
    while (!s->failed && s->at < s->end && *s->at >= '0' && *s->at <= '9') {
        if (value > (UINT64_MAX - 9) / 10)
            s->failed = true;
        value = value * 10 + (uint64_t)(*s->at++ - '0');
    }
    if (s->at == start)
        s->failed = true;
    return value;
}

/* Up to the next quote that is not escaped, which is taken too. */
static struct span string(struct scanner *s)
{
    const uint8_t *start = s->at;
    size_t left = s->failed ? 0 : (size_t)(s->end - s->at);
    const uint8_t *quote = left == 0 ? NULL : memchr(start, '"', left);
    if (quote != NULL && memchr(start, '\\', (size_t)(quote - start)) == NULL) {
        s->at = quote + 1;
        return span_make(start, (size_t)(quote - start));
    }
    while (!s->failed && s->at < s->end && *s->at != '"') {
        s->failed = *s->at == '\\' && s->end - s->at < 2;
        s->at += *s->at == '\\' && !s->failed ? 2 : 1;
    }
    if (s->failed || s->at >= s->end) {
        s->failed = true;
        return span_make(NULL, 0);
    }
    struct span text = span_make(start, (size_t)(s->at - start));
    s->at++;
    return text;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void flow_id(struct scanner *s, uint8_t out[static FLOW_ID_BYTES])
{
    struct span text = string(s);
    if (text.len != 2 * FLOW_ID_BYTES) {
        s->failed = true;
        return;
    }
    for (size_t i = 0; i < FLOW_ID_BYTES; i++) {
        int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            s->failed = true;
        else
            out[i] = (uint8_t)(high << 4 | low);
    }
}

static void code(struct scanner *s, bool has_action, struct leaf_facts *out)
{
    static const char *const kinds[] = {
#define X(id, text) [id] = text,
        RECORD_CODE_TABLE(X)
#undef X
    };
    static const char *const events[] = {
#define X(id, class_uid, activity, name) [EVENT_##id] = name,
        EVENT_TABLE(X)
#undef X
    };
    struct span text = string(s);
    if (has_action) {
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            if (span_is(text, kinds[i])) {
                out->kind = (enum leaf_kind)i;
                return;
            }
        }
    } else {
        out->kind = LEAF_EVENT;
        for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
            if (span_is(text, events[i])) {
                out->event = (enum event_kind)i;
                return;
            }
        }
    }
    s->failed = true;
}

/* Behind the first "unmapped" key; NULL: there is none. Quotes inside strings are escaped, so this can only be the key
 * itself; its bracket is looked for, of which metadata has one or two, since memmem() looks at every byte. */
static const uint8_t *behind_unmapped(const uint8_t *from, const uint8_t *end)
{
    static const char key[] = ",\"unmapped\":{";
    const size_t len = sizeof key - 1;
    for (const uint8_t *at = from; at < end; at++) {
        at = memchr(at, '{', (size_t)(end - at));
        if (at == NULL)
            return NULL;
        if ((size_t)(at + 1 - from) >= len && memcmp(at + 1 - len, key, len) == 0)
            return at + 1;
    }
    return NULL;
}

bool leaf_scan(struct span leaf, struct leaf_facts *out)
{
    struct scanner s = {.at = leaf.data, .end = leaf.data + leaf.len};
    memset(out, 0, sizeof *out);
    expect(&s, "{\"");
    bool has_action = has(&s, "action_id\":");
    if (has_action) {
        out->allowed = number(&s) == 1;
        expect(&s, ",\"");
    }
    expect(&s, "metadata\":{\"event_code\":\"");
    code(&s, has_action, out);
    expect(&s, ",\"sequence\":");
    out->sequence = number(&s);
    out->has_tenant = has(&s, ",\"tenant_uid\":\"");
    if (out->has_tenant)
        out->tenant = string(&s);
    if (has_action) {
        expect(&s, ",\"correlation_uid\":\"");
        flow_id(&s, out->flow);
    }
    expect(&s, ",\"uid\":\"");
    if (s.failed)
        return false;
    s.at = behind_unmapped(s.at, s.end);
    if (s.at == NULL)
        return false;
    if (out->has_tenant) {
        expect(&s, "\"env_seq\":");
        out->env_seq = number(&s);
        expect(&s, ",");
    }
    expect(&s, "\"boot\":\"");
    out->unmapped = span_make(s.at, (size_t)(s.end - s.at));
    return !s.failed && leaf.data[leaf.len - 1] == '}';
}

/* To the first value of this key that begins so; false: there is none. */
static bool find_value(struct span json, const char *key, const char *begins, struct scanner *out)
{
    size_t len = strlen(key);
    const uint8_t *at = json.data, *end = json.data + json.len;
    while (at < end) {
        const uint8_t *found = memmem(at, (size_t)(end - at), key, len);
        if (found == NULL)
            break;
        *out = (struct scanner){.at = found + len, .end = end};
        if (found > json.data && found[-1] == '"' && has(out, begins))
            return true;
        at = found + 1;
    }
    return false;
}

uint64_t leaf_number(struct span json, const char *key)
{
    struct scanner s = {0};
    uint64_t value = find_value(json, key, "\":", &s) ? number(&s) : 0;
    return s.failed ? 0 : value;
}

struct span leaf_text(struct span json, const char *key)
{
    struct scanner s = {0};
    return find_value(json, key, "\":\"", &s) ? string(&s) : span_make(NULL, 0);
}
