/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes written as a JSON string give one line of valid, harmless UTF-8 from which they can be read back. */
#include "fuzz_check.h"

#include "base/json.h"

static int hex_value(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static unsigned hex4(struct span s)
{
    unsigned value = 0;
    CHECK(s.len >= 4);
    for (size_t i = 0; i < 4; i++) {
        CHECK(hex_value(s.data[i]) >= 0);
        value = value << 4 | (unsigned)hex_value(s.data[i]);
    }
    return value;
}

static void put_utf8(struct outbuf *o, unsigned code)
{
    if (code < 0x80) {
        outbuf_u8(o, (uint8_t)code);
    } else if (code < 0x800) {
        outbuf_u8(o, (uint8_t)(0xc0 | code >> 6));
        outbuf_u8(o, (uint8_t)(0x80 | (code & 0x3f)));
    } else {
        outbuf_u8(o, (uint8_t)(0xe0 | code >> 12));
        outbuf_u8(o, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
        outbuf_u8(o, (uint8_t)(0x80 | (code & 0x3f)));
    }
}

/* One escape at the start of s; gives its length. A reader of JSON would see a backslash, "u00" and two digits for a
 * byte that was not UTF-8: this reader turns exactly those of 0x80 and above back into the byte. */
static size_t unescape(struct span s, struct outbuf *o)
{
    CHECK(s.len >= 2);
    uint8_t kind = s.data[1];
    if (kind == 'u') {
        put_utf8(o, hex4(span_from(s, 2)));
        return 6;
    }
    CHECK(kind == '"' || kind == '\\');
    if (kind == '\\' && s.len >= 7 && s.data[2] == 'u' && s.data[3] == '0' && s.data[4] == '0' &&
        hex_value(s.data[5]) >= 8 && hex_value(s.data[6]) >= 0) {
        outbuf_u8(o, (uint8_t)hex4(span_from(s, 3)));
        return 7;
    }
    outbuf_u8(o, kind);
    return 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    /* The one ambiguity: bytes that spell such an escape themselves read back as the byte. */
    for (size_t i = 0; i + 2 < size; i++)
        if (data[i] == '\\' && data[i + 1] == 'u')
            return 0;
    static uint8_t json[7 * 4096 + 2];
    static uint8_t back[7 * 4096];
    struct outbuf out = outbuf_make(json, sizeof json);
    struct json j = json_make(&out);
    json_span(&j, span_make(data, size));
    CHECK(!out.overflow && out.len >= 2 && json[0] == '"' && json[out.len - 1] == '"');
    struct span text = span_make(json + 1, out.len - 2);
    struct outbuf read = outbuf_make(back, sizeof back);
    for (size_t at = 0; at < text.len;) {
        uint8_t c = text.data[at];
        CHECK(c >= 0x20 && c != 0x7f && c != '"');
        if (c == '\\') {
            at += unescape(span_from(text, at), &read);
            continue;
        }
        outbuf_u8(&read, c);
        at++;
    }
    CHECK(span_equal(outbuf_written(&read), span_make(data, size)));
    return 0;
}
