/* SPDX-License-Identifier: Apache-2.0 */
/* For SHA-256 alone: see struct digest. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/digest.h"

#include "base/assert.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Fetching an algorithm costs as much as hashing a small record: it is done once. */
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static EVP_MAC *hmac_algorithm;

static void fetch(void)
{
    /* Without memory for it, OpenSSL 3.0 goes on with locks that it does not have. */
    ASSERT(OSSL_LIB_CTX_get0_global_default() != NULL);
    hmac_algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
    ASSERT(hmac_algorithm != NULL);
}

static void fetched(void)
{
    ASSERT(pthread_once(&fetch_once, fetch) == 0);
}

/*
 * SHA-256 goes by OpenSSL's functions below EVP: EVP of OpenSSL 3.0 allocates and frees a context at each start of a
 * digest, which is most of the price of a tree node (65 bytes). They are deprecated since 3.0, in favour of what costs
 * more, and still there in 3.5.
 */
struct digest {
    SHA256_CTX context;
    uint8_t blocks[]; /* two, of what digest_new() made: for digest_tagged() */
};

#define BLOCKS_BYTES (2 * SHA256_CBLOCK)

enum err digest_new(struct digest **out)
{
    struct digest *d = malloc(sizeof *d + BLOCKS_BYTES);
    if (d == NULL)
        return ERR_NO_MEMORY;
    digest_begin(d);
    *out = d;
    return ERR_NONE;
}

void digest_free(struct digest *d)
{
    free(d);
}

void digest_begin(struct digest *d)
{
    ASSERT(SHA256_Init(&d->context) == 1);
}

void digest_add(struct digest *d, struct span bytes)
{
    ASSERT(bytes.len == 0 || SHA256_Update(&d->context, bytes.data, bytes.len) == 1);
}

void digest_end(struct digest *d, uint8_t out[static DIGEST_BYTES])
{
    ASSERT(SHA256_Final(out, &d->context) == 1);
}

/* FIPS 180-4 5.1.1: a one bit, zeros, and the length in bits. `len` bytes are in `blocks`; gives how many blocks it
 * has. */
static size_t pad(uint8_t blocks[static BLOCKS_BYTES], size_t len, uint64_t message_bytes)
{
    size_t count = len + 9 <= SHA256_CBLOCK ? 1 : 2;
    uint64_t bits = htobe64(message_bytes * 8);
    blocks[len] = 0x80;
    memset(blocks + len + 1, 0, count * SHA256_CBLOCK - len - 1 - sizeof bits);
    memcpy(blocks + count * SHA256_CBLOCK - sizeof bits, &bits, sizeof bits);
    return count;
}

/* OpenSSL's context never holds part of a block here: it gets whole ones, the padding among them, which saves its
 * copies and the wiping of its buffer. A node of a tree (65 bytes) costs half of what it costs by digest_end(). */
void digest_tagged(struct digest *d, uint8_t tag, struct span bytes, uint8_t out[static DIGEST_BYTES])
{
    uint8_t *blocks = d->blocks;
    size_t in_first = SHA256_CBLOCK - 1, whole = 0, rest = bytes.len, at = 1;
    digest_begin(d);
    blocks[0] = tag;
    if (bytes.len > BLOCKS_BYTES - 10) {
        memcpy(blocks + 1, bytes.data, in_first);
        digest_add(d, span_make(blocks, SHA256_CBLOCK));
        whole = (bytes.len - in_first) / SHA256_CBLOCK * SHA256_CBLOCK;
        digest_add(d, span_make(bytes.data + in_first, whole));
        rest = bytes.len - in_first - whole;
        at = 0;
    }
    if (rest > 0)
        memcpy(blocks + at, bytes.data + bytes.len - rest, rest);
    size_t count = pad(blocks, at + rest, 1 + (uint64_t)bytes.len);
    digest_add(d, span_make(blocks, count * SHA256_CBLOCK));
    for (size_t i = 0; i < DIGEST_BYTES / sizeof(uint32_t); i++) {
        uint32_t word = htobe32(d->context.h[i]);
        memcpy(out + i * sizeof word, &word, sizeof word);
    }
}

void digest_once(struct span bytes, uint8_t out[static DIGEST_BYTES])
{
    struct digest d;
    digest_begin(&d);
    digest_add(&d, bytes);
    digest_end(&d, out);
}

void digest_prepare(void)
{
    fetched();
}

struct hmac {
    EVP_MAC_CTX *context;
};

enum err hmac_new(struct span key, struct hmac **out)
{
    fetched();
    struct hmac *h = malloc(sizeof *h);
    if (h == NULL)
        return ERR_NO_MEMORY;
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    static const uint8_t empty[1] = {0};
    h->context = EVP_MAC_CTX_new(hmac_algorithm);
    /* A NULL key means "as before" to OpenSSL: an empty one needs an address. */
    if (h->context == NULL || EVP_MAC_init(h->context, key.len == 0 ? empty : key.data, key.len, params) != 1) {
        EVP_MAC_CTX_free(h->context);
        free(h);
        return ERR_NO_MEMORY;
    }
    *out = h;
    return ERR_NONE;
}

void hmac_free(struct hmac *h)
{
    if (h == NULL)
        return;
    EVP_MAC_CTX_free(h->context);
    free(h);
}

void hmac_once(struct hmac *h, struct span bytes, uint8_t out[static DIGEST_BYTES])
{
    size_t len = 0;
    ASSERT(EVP_MAC_init(h->context, NULL, 0, NULL) == 1);
    ASSERT(bytes.len == 0 || EVP_MAC_update(h->context, bytes.data, bytes.len) == 1);
    ASSERT(EVP_MAC_final(h->context, out, &len, DIGEST_BYTES) == 1 && len == DIGEST_BYTES);
}

enum err ed25519_generate(uint8_t out_seed[static ED25519_KEY_BYTES])
{
    /* RFC 8032 5.1.5: the private key is 32 bytes of random data. */
    random_bytes(out_seed, ED25519_KEY_BYTES);
    return ERR_NONE;
}

static EVP_PKEY *private_key(const uint8_t *seed)
{
    return EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, seed, ED25519_KEY_BYTES);
}

enum err ed25519_public(const uint8_t seed[static ED25519_KEY_BYTES], uint8_t out_public[static ED25519_KEY_BYTES])
{
    EVP_PKEY *key = private_key(seed);
    uint8_t public_key[ED25519_KEY_BYTES];
    size_t len = sizeof public_key;
    bool done = key != NULL && EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1 && len == sizeof public_key;
    EVP_PKEY_free(key);
    if (!done)
        return ERR_NO_MEMORY;
    memcpy(out_public, public_key, sizeof public_key);
    return ERR_NONE;
}

enum err ed25519_sign(const uint8_t seed[static ED25519_KEY_BYTES], struct span message,
                      uint8_t out_signature[static ED25519_SIGNATURE_BYTES])
{
    EVP_PKEY *key = private_key(seed);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    size_t len = sizeof signature;
    bool done = key != NULL && context != NULL &&
                EVP_DigestSignInit_ex(context, NULL, NULL, NULL, NULL, key, NULL) == 1 &&
                EVP_DigestSign(context, signature, &len, message.data, message.len) == 1 && len == sizeof signature;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    if (!done)
        return ERR_NO_MEMORY;
    memcpy(out_signature, signature, sizeof signature);
    return ERR_NONE;
}

bool ed25519_verify(const uint8_t public_key[static ED25519_KEY_BYTES], struct span message,
                    const uint8_t signature[static ED25519_SIGNATURE_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, public_key, ED25519_KEY_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = key != NULL && context != NULL &&
                EVP_DigestVerifyInit_ex(context, NULL, NULL, NULL, NULL, key, NULL) == 1 &&
                EVP_DigestVerify(context, signature, ED25519_SIGNATURE_BYTES, message.data, message.len) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return good;
}

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(struct span bytes, char *out, size_t cap)
{
    size_t need = 4 * ((bytes.len + 2) / 3);
    ASSERT(cap >= need);
    char *to = out;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= left > 2 ? bytes.data[i + 2] : 0;
        *to++ = base64_alphabet[group >> 18];
        *to++ = base64_alphabet[group >> 12 & 63];
        *to++ = left > 1 ? base64_alphabet[group >> 6 & 63] : '=';
        *to++ = left > 2 ? base64_alphabet[group & 63] : '=';
    }
    return need;
}

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

static size_t base64_padding(struct span text)
{
    if (text.len == 0 || text.data[text.len - 1] != '=')
        return 0;
    return text.data[text.len - 2] == '=' ? 2 : 1;
}

enum err base64_decode(struct span text, uint8_t *out, size_t cap, size_t *out_len)
{
    if (text.len % 4 != 0)
        return ERR_INVALID;
    size_t padding = base64_padding(text);
    size_t len = text.len / 4 * 3 - padding;
    for (size_t i = 0; i < text.len - padding; i++)
        if (base64_value(text.data[i]) < 0)
            return ERR_INVALID;
    if (padding != 0) {
        /* Bits behind the last byte must be zero, or one value would have several spellings. */
        int last = base64_value(text.data[text.len - padding - 1]);
        if ((last & (padding == 2 ? 15 : 3)) != 0)
            return ERR_INVALID;
    }
    if (len > cap)
        return ERR_TOO_BIG;
    for (size_t i = 0, at = 0; i < text.len; i += 4) {
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++)
            group = group << 6 | (text.data[i + k] == '=' ? 0 : (uint32_t)base64_value(text.data[i + k]));
        for (int shift = 16; shift >= 0 && at < len; shift -= 8)
            out[at++] = (uint8_t)(group >> shift);
    }
    *out_len = len;
    return ERR_NONE;
}

void random_bytes(void *out, size_t len)
{
    uint8_t *to = out;
    while (len > 0) {
        ssize_t got = getrandom(to, len, 0);
        ASSERT(got > 0 || errno == EINTR);
        if (got > 0) {
            to += got;
            len -= (size_t)got;
        }
    }
}

void secret_wipe(void *data, size_t len)
{
    OPENSSL_cleanse(data, len);
}

const char *digest_library_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}
