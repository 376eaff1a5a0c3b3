/* SPDX-License-Identifier: Apache-2.0 */
#include "note.h"

#include "base/text.h"

#define ED25519_TYPE 0x01
#define DASH         "\xe2\x80\x94 " /* an em dash and a space begin a signature line */
#define DASH_LEN     4

bool note_origin_valid(struct span origin)
{
    for (size_t i = 0; i < origin.len; i++) {
        uint8_t c = origin.data[i];
        if (c <= ' ' || c >= 0x7f || c == '+' || c == '"' || c == '\\')
            return false;
    }
    return origin.len > 0 && origin.len <= NOTE_ORIGIN_MAX;
}

enum err note_key_make(const char *origin, const uint8_t public_key[static ED25519_KEY_BYTES], struct note_key *out)
{
    struct span name = span_text(origin);
    if (!note_origin_valid(name))
        return ERR_INVALID;
    uint8_t text[NOTE_ORIGIN_MAX + 2 + ED25519_KEY_BYTES], digest[DIGEST_BYTES];
    struct outbuf o = outbuf_make(text, sizeof text);
    outbuf_span(&o, name);
    outbuf_char(&o, '\n');
    outbuf_u8(&o, ED25519_TYPE);
    outbuf_bytes(&o, public_key, ED25519_KEY_BYTES);
    digest_once(outbuf_written(&o), digest);
    memset(out, 0, sizeof *out);
    memcpy(out->origin, name.data, name.len);
    memcpy(out->hash, digest, sizeof out->hash);
    memcpy(out->public_key, public_key, ED25519_KEY_BYTES);
    return ERR_NONE;
}

void note_key_format(const struct note_key *key, char out[static NOTE_VKEY_MAX])
{
    uint8_t typed[1 + ED25519_KEY_BYTES] = {ED25519_TYPE};
    char base64[48];
    memcpy(typed + 1, key->public_key, ED25519_KEY_BYTES);
    size_t len = base64_encode(span_make(typed, sizeof typed), base64, sizeof base64);
    struct outbuf o = outbuf_make(out, NOTE_VKEY_MAX - 1);
    outbuf_text(&o, key->origin);
    outbuf_char(&o, '+');
    outbuf_hex(&o, span_make(key->hash, sizeof key->hash));
    outbuf_char(&o, '+');
    outbuf_bytes(&o, base64, len);
    out[o.len] = '\0';
}

enum err note_key_parse(struct span vkey, struct note_key *out)
{
    while (vkey.len > 0 && (vkey.data[vkey.len - 1] == '\n' || vkey.data[vkey.len - 1] == ' '))
        vkey.len--;
    size_t plus = span_find(vkey, '+');
    struct span origin = span_first(vkey, plus), rest = span_from(vkey, plus + 1);
    uint8_t typed[1 + ED25519_KEY_BYTES];
    size_t len = 0;
    if (!note_origin_valid(origin) || rest.len < 10 || rest.data[8] != '+')
        return ERR_INVALID;
    if (base64_decode(span_from(rest, 9), typed, sizeof typed, &len) != ERR_NONE || len != sizeof typed ||
        typed[0] != ED25519_TYPE)
        return ERR_INVALID;
    char name[NOTE_ORIGIN_MAX + 1] = {0}, hex[9];
    memcpy(name, origin.data, origin.len);
    struct note_key key;
    enum err err = note_key_make(name, typed + 1, &key);
    if (err != ERR_NONE)
        return err;
    struct outbuf o = outbuf_make(hex, sizeof hex);
    outbuf_hex(&o, span_make(key.hash, sizeof key.hash));
    if (!span_equal(outbuf_written(&o), span_first(rest, 8)))
        return ERR_INVALID;
    *out = key;
    return ERR_NONE;
}

void note_body(const char *origin, const struct tree_head *head, struct outbuf *out)
{
    char root[48];
    size_t len = base64_encode(span_make(head->root, DIGEST_BYTES), root, sizeof root);
    outbuf_text(out, origin);
    outbuf_char(out, '\n');
    outbuf_u64(out, head->size);
    outbuf_char(out, '\n');
    outbuf_bytes(out, root, len);
    outbuf_char(out, '\n');
}

void note_sign_line(const struct note_key *key, const uint8_t signature[static ED25519_SIGNATURE_BYTES],
                    struct outbuf *out)
{
    uint8_t blob[4 + ED25519_SIGNATURE_BYTES];
    char base64[96];
    memcpy(blob, key->hash, 4);
    memcpy(blob + 4, signature, ED25519_SIGNATURE_BYTES);
    size_t len = base64_encode(span_make(blob, sizeof blob), base64, sizeof base64);
    outbuf_text(out, DASH);
    outbuf_text(out, key->origin);
    outbuf_char(out, ' ');
    outbuf_bytes(out, base64, len);
    outbuf_char(out, '\n');
}

/* The next line without its newline; false when there is none whole. */
static bool take_line(struct span *rest, struct span *out)
{
    size_t end = span_find(*rest, '\n');
    if (end == rest->len)
        return false;
    *out = span_first(*rest, end);
    *rest = span_make(rest->data + end + 1, rest->len - end - 1);
    return true;
}

static bool is_signature(struct span line)
{
    return line.len > DASH_LEN && memcmp(line.data, DASH, DASH_LEN) == 0;
}

enum err note_checkpoint_parse(struct span text, struct checkpoint *out, size_t *out_len)
{
    struct checkpoint c;
    struct span rest = text, size, root, line;
    size_t len = 0;
    if (!take_line(&rest, &c.origin) || !take_line(&rest, &size) || !take_line(&rest, &root))
        return ERR_AGAIN;
    c.body = span_first(text, text.len - rest.len);
    if (!take_line(&rest, &line))
        return ERR_AGAIN;
    if (!note_origin_valid(c.origin) || line.len != 0 || text_u64(size, UINT64_MAX / 2, &c.head.size) != ERR_NONE ||
        base64_decode(root, c.head.root, DIGEST_BYTES, &len) != ERR_NONE || len != DIGEST_BYTES)
        return ERR_CORRUPT;
    struct span signatures = rest;
    for (struct span ahead = rest; take_line(&ahead, &line) && is_signature(line);)
        rest = ahead;
    signatures.len -= rest.len;
    /* Without a whole signature line, or with the beginning of another, the text was cut. */
    if (signatures.len == 0 || (rest.len > 0 && rest.len < DASH_LEN && memcmp(rest.data, DASH, rest.len) == 0))
        return ERR_AGAIN;
    c.signatures = signatures;
    *out = c;
    *out_len = text.len - rest.len;
    return ERR_NONE;
}

static bool line_is_good(struct span line, const struct checkpoint *c, const struct note_key *key)
{
    struct span rest = span_from(line, DASH_LEN);
    size_t space = span_find(rest, ' ');
    uint8_t blob[4 + ED25519_SIGNATURE_BYTES];
    size_t len = 0;
    if (!span_is(span_first(rest, space), key->origin))
        return false;
    if (base64_decode(span_from(rest, space + 1), blob, sizeof blob, &len) != ERR_NONE || len != sizeof blob)
        return false;
    return memcmp(blob, key->hash, 4) == 0 && ed25519_verify(key->public_key, c->body, blob + 4);
}

bool note_checkpoint_check(const struct checkpoint *checkpoint, const struct note_key *key)
{
    struct span rest = checkpoint->signatures, line;
    if (!span_is(checkpoint->origin, key->origin))
        return false;
    while (take_line(&rest, &line))
        if (is_signature(line) && line_is_good(line, checkpoint, key))
            return true;
    return false;
}
