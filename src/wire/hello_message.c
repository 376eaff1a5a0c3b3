/* SPDX-License-Identifier: Apache-2.0 */
#include "hello_message.h"

#include "base/cursor.h"

/* IANA, TLS ExtensionType values. */
enum {
    EXT_SERVER_NAME = 0,
    EXT_ALPN = 16,
    EXT_SUPPORTED_VERSIONS = 43,
    EXT_ECH = 0xfe0d,
    /* What drafts of it used, which a server may still know: ESNI, then ECH, at last with the draft's own number. */
    EXT_DRAFT_ESNI = 0xffce,
    EXT_DRAFT_ECH_7 = 0xff02,
    EXT_DRAFT_ECH_8 = 0xfe08,
    EXT_DRAFT_ECH_9 = 0xfe09,
    EXT_DRAFT_ECH_10 = 0xfe0a,
    EXT_DRAFT_ECH_11 = 0xfe0b,
    EXT_DRAFT_ECH_12 = 0xfe0c,
};

#define SESSION_ID_MAX 32
#define RANDOM_BYTES   32

/* RFC 8701: reserved values 0x0a0a, 0x1a1a … 0xfafa that clients send to keep servers tolerant. */
static bool is_grease(uint16_t value)
{
    return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

/* RFC 6066 3. The RFC allows several name types; no client sends any but one host_name, and two names would leave open
 * which of them counts. */
static enum err read_server_name(struct cursor *ext, struct hello *out)
{
    struct cursor list = cursor_block16(ext);
    uint8_t type = cursor_u8(&list);
    struct cursor name = cursor_block16(&list);
    if (!cursor_done(&list) || !cursor_done(ext) || name.failed || type != 0)
        return ERR_INVALID;
    struct span text = name.rest;
    /* RFC 6066 3: "without a trailing dot" */
    if (text.len == 0 || text.data[text.len - 1] == '.' || hostname_parse(text, &out->name) != ERR_NONE) {
        out->odd_name = text;
        return ERR_INVALID;
    }
    out->sni = SNI_PRESENT;
    return ERR_NONE;
}

/* RFC 7301 3.1: at least one name, none of them empty. */
static enum err read_alpn(struct cursor *ext, struct hello *out)
{
    struct cursor list = cursor_block16(ext);
    struct span names = list.rest;
    if (!cursor_done(ext) || list.failed || names.len == 0)
        return ERR_INVALID;
    while (!cursor_done(&list)) {
        struct cursor name = cursor_block8(&list);
        if (name.failed || name.rest.len == 0)
            return ERR_INVALID;
    }
    out->alpn = names;
    return ERR_NONE;
}

/* RFC 8446 4.2.1 */
static enum err read_versions(struct cursor *ext, struct hello *out)
{
    struct cursor list = cursor_block8(ext);
    if (!cursor_done(ext) || list.failed || list.rest.len < 2 || list.rest.len % 2 != 0)
        return ERR_INVALID;
    uint16_t highest = 0;
    while (!cursor_done(&list)) {
        uint16_t version = cursor_u16(&list);
        if (!is_grease(version) && version > highest)
            highest = version;
    }
    if (highest != 0)
        out->highest_version = highest;
    return ERR_NONE;
}

static enum err read_extension(uint16_t type, struct cursor *ext, struct hello *out)
{
    switch (type) {
    case EXT_SERVER_NAME:
        return read_server_name(ext, out);
    case EXT_ALPN:
        return read_alpn(ext, out);
    case EXT_SUPPORTED_VERSIONS:
        return read_versions(ext, out);
    case EXT_ECH:
    case EXT_DRAFT_ESNI:
    case EXT_DRAFT_ECH_7:
    case EXT_DRAFT_ECH_8:
    case EXT_DRAFT_ECH_9:
    case EXT_DRAFT_ECH_10:
    case EXT_DRAFT_ECH_11:
    case EXT_DRAFT_ECH_12:
        out->ech = true;
        return ERR_NONE;
    default:
        return ERR_NONE;
    }
}

/* One bit for each of the 65,536 types: thousands of extensions cost what they weigh and no more. */
struct seen {
    uint8_t bits[65536 / 8];
};

static bool seen_before(struct seen *seen, uint16_t type)
{
    uint8_t bit = (uint8_t)(1u << type % 8);
    bool before = (seen->bits[type / 8] & bit) != 0;
    seen->bits[type / 8] |= bit;
    return before;
}

static enum err read_extensions(struct cursor *block, struct hello *out)
{
    struct seen seen;
    memset(&seen, 0, sizeof seen);
    while (!cursor_done(block)) {
        uint16_t type = cursor_u16(block);
        struct cursor ext = cursor_block16(block);
        if (ext.failed || seen_before(&seen, type) || read_extension(type, &ext, out) != ERR_NONE)
            return ERR_INVALID;
    }
    return ERR_NONE;
}

/* RFC 8446 4.1.2, up to the extensions. False if a length is wrong. */
static bool read_fixed_part(struct cursor *body, struct hello *out)
{
    out->legacy_version = cursor_u16(body);
    out->highest_version = out->legacy_version;
    cursor_take(body, RANDOM_BYTES);
    struct cursor session = cursor_block8(body);
    struct cursor ciphers = cursor_block16(body);
    struct cursor compressions = cursor_block8(body);
    return !body->failed && out->legacy_version >> 8 == 3 && session.rest.len <= SESSION_ID_MAX &&
           ciphers.rest.len >= 2 && ciphers.rest.len % 2 == 0 && compressions.rest.len >= 1;
}

enum err hello_message_read(struct span message, struct hello *out)
{
    struct hello facts;
    memset(&facts, 0, sizeof facts);
    struct cursor c = cursor_make(message);
    cursor_u8(&c); /* the type was checked when it came */
    struct cursor body = cursor_block24(&c);
    if (!cursor_done(&c) || !read_fixed_part(&body, &facts))
        return ERR_INVALID;
    /* RFC 5246 7.4.1.2: without extensions the message just ends. */
    if (body.rest.len > 0) {
        struct cursor extensions = cursor_block16(&body);
        if (!cursor_done(&body) || read_extensions(&extensions, &facts) != ERR_NONE) {
            out->odd_name = facts.odd_name;
            out->highest_version = facts.highest_version;
            return ERR_INVALID;
        }
    }
    facts.message_bytes = (uint32_t)message.len;
    *out = facts;
    return ERR_NONE;
}
