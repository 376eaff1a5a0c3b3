/* SPDX-License-Identifier: Apache-2.0 */
#include "hello_build.h"

#include "base/assert.h"
#include "base/outbuf.h"

#define MESSAGE_MAX (4 + 65535)
#define PADDING     21

/* Reserves a length field of `bytes` and gives its place; close_length() fills in what was written behind it. */
static size_t open_length(struct outbuf *o, size_t bytes)
{
    static const uint8_t zeros[3] = {0};
    size_t at = o->len;
    outbuf_bytes(o, zeros, bytes);
    return at;
}

static void close_length(struct outbuf *o, size_t at, size_t bytes)
{
    ASSERT(!o->overflow);
    size_t len = o->len - at - bytes;
    for (size_t i = 0; i < bytes; i++)
        o->data[at + i] = (uint8_t)(len >> 8 * (bytes - 1 - i));
}

static void put_repeated(struct outbuf *o, uint8_t byte, size_t count)
{
    for (size_t i = 0; i < count; i++)
        outbuf_u8(o, byte);
}

static void put_extension(struct outbuf *o, uint16_t type, struct span data)
{
    outbuf_be16(o, type);
    outbuf_be16(o, (uint16_t)data.len);
    outbuf_span(o, data);
}

static void put_server_name(struct outbuf *o, const struct hello_build *spec)
{
    if (spec->server_name.len > 0) {
        put_extension(o, 0, spec->server_name);
        return;
    }
    if (spec->sni == NULL)
        return;
    struct span name = span_text(spec->sni);
    outbuf_be16(o, 0);
    size_t ext = open_length(o, 2);
    size_t list = open_length(o, 2);
    outbuf_u8(o, 0);
    outbuf_be16(o, (uint16_t)name.len);
    outbuf_span(o, name);
    close_length(o, list, 2);
    close_length(o, ext, 2);
}

static void put_alpn(struct outbuf *o, const char *alpn)
{
    struct span name = span_text(alpn);
    outbuf_be16(o, 16);
    outbuf_be16(o, (uint16_t)(name.len + 3));
    outbuf_be16(o, (uint16_t)(name.len + 1));
    outbuf_u8(o, (uint8_t)name.len);
    outbuf_span(o, name);
}

static void put_versions(struct outbuf *o, bool grease)
{
    static const uint8_t plain[] = {4, 0x03, 0x04, 0x03, 0x03};
    static const uint8_t greased[] = {6, 0xfa, 0xfa, 0x03, 0x04, 0x03, 0x03};
    put_extension(o, 43, grease ? span_make(greased, sizeof greased) : span_make(plain, sizeof plain));
}

static void put_key_share(struct outbuf *o, size_t bytes)
{
    outbuf_be16(o, 51);
    outbuf_be16(o, (uint16_t)(bytes + 6));
    outbuf_be16(o, (uint16_t)(bytes + 4));
    outbuf_be16(o, 0x11ec);
    outbuf_be16(o, (uint16_t)bytes);
    put_repeated(o, 0x5a, bytes);
}

static void put_padding(struct outbuf *o, size_t pad_to)
{
    if (pad_to == 0)
        return;
    ASSERT(o->len + 4 <= pad_to);
    size_t zeros = pad_to - o->len - 4;
    outbuf_be16(o, PADDING);
    outbuf_be16(o, (uint16_t)zeros);
    put_repeated(o, 0, zeros);
}

static void put_extensions(struct outbuf *o, const struct hello_build *spec)
{
    size_t block = open_length(o, 2);
    if (spec->grease)
        put_extension(o, 0x3a3a, span_make(NULL, 0));
    if (!spec->sni_last)
        put_server_name(o, spec);
    if (spec->alpn != NULL)
        put_alpn(o, spec->alpn);
    if (!spec->tls12)
        put_versions(o, spec->grease);
    if (spec->key_share_bytes > 0)
        put_key_share(o, spec->key_share_bytes);
    if (spec->ech) {
        /* outer, HKDF-SHA256 and AES-128-GCM, id 7, a 4-byte key and a 4-byte payload */
        static const uint8_t ech[] = {0, 0, 1, 0, 1, 7, 0, 4, 1, 2, 3, 4, 0, 4, 5, 6, 7, 8};
        put_extension(o, 0xfe0d, span_make(ech, sizeof ech));
    }
    outbuf_span(o, spec->extra);
    if (spec->grease)
        put_extension(o, 0xcaca, span_make("\0", 1));
    if (spec->sni_last)
        put_server_name(o, spec);
    put_padding(o, spec->pad_to);
    close_length(o, block, 2);
}

size_t hello_build_message(const struct hello_build *spec, uint8_t *out, size_t cap)
{
    static const uint8_t ciphers[] = {0x13, 0x01, 0x13, 0x02, 0xc0, 0x2f};
    struct outbuf o = outbuf_make(out, cap);
    outbuf_u8(&o, 1);
    size_t message = open_length(&o, 3);
    outbuf_be16(&o, 0x0303);
    put_repeated(&o, 0xa5, 32);
    outbuf_u8(&o, 32);
    put_repeated(&o, 0xc3, 32);
    outbuf_be16(&o, (uint16_t)(sizeof ciphers + (spec->grease ? 2 : 0)));
    if (spec->grease)
        outbuf_be16(&o, 0x8a8a);
    outbuf_bytes(&o, ciphers, sizeof ciphers);
    outbuf_be16(&o, 0x0100); /* one compression method: null */
    if (!spec->no_extensions)
        put_extensions(&o, spec);
    close_length(&o, message, 3);
    return o.len;
}

size_t hello_build_record(uint8_t content_type, struct span payload, uint8_t *out, size_t cap)
{
    struct outbuf o = outbuf_make(out, cap);
    outbuf_u8(&o, content_type);
    outbuf_be16(&o, 0x0301);
    outbuf_be16(&o, (uint16_t)payload.len);
    outbuf_span(&o, payload);
    ASSERT(!o.overflow);
    return o.len;
}

size_t hello_build_records(struct span message, size_t record_bytes, uint8_t *out, size_t cap)
{
    size_t most = record_bytes == 0 ? 16384 : record_bytes;
    size_t len = 0;
    for (size_t at = 0; at < message.len; at += most)
        len += hello_build_record(22, span_first(span_from(message, at), most), out + len, cap - len);
    return len;
}

size_t hello_build(const struct hello_build *spec, uint8_t *out, size_t cap)
{
    static _Thread_local uint8_t message[MESSAGE_MAX];
    size_t len = hello_build_message(spec, message, sizeof message);
    return hello_build_records(span_make(message, len), spec->record_bytes, out, cap);
}
