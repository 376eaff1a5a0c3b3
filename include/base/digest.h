/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest: the one door to OpenSSL: SHA-256, HMAC-SHA-256, Ed25519, base64 and random bytes. No own cryptography.
 * A context belongs to one thread.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/err.h"
#include "base/span.h"

#define DIGEST_BYTES            32
#define ED25519_KEY_BYTES       32
#define ED25519_SIGNATURE_BYTES 64

/* Incremental SHA-256 (FIPS 180-4). A new context has begun; ERR_NO_MEMORY. */
struct digest;
MUST_CHECK enum err digest_new(struct digest **out);
void digest_free(struct digest *d);  /* NULL is allowed */
void digest_begin(struct digest *d); /* forgets what was added */
void digest_add(struct digest *d, struct span bytes);
/* The hash of what was added. The context must begin again before more is added. */
void digest_end(struct digest *d, uint8_t out[static DIGEST_BYTES]);
/* SHA-256 of one byte and `bytes` behind it, as the hashes of a tree are made: the same as begin, add, add, end, and
 * cheaper. What `d` was doing is lost. */
void digest_tagged(struct digest *d, uint8_t tag, struct span bytes, uint8_t out[static DIGEST_BYTES]);

/* One call over one span. */
void digest_once(struct span bytes, uint8_t out[static DIGEST_BYTES]);

/* HMAC-SHA-256 (RFC 2104) with a key of any length, which is copied. ERR_NO_MEMORY. */
struct hmac;
MUST_CHECK enum err hmac_new(struct span key, struct hmac **out);
void hmac_free(struct hmac *h); /* NULL is allowed; wipes the key */
void hmac_once(struct hmac *h, struct span bytes, uint8_t out[static DIGEST_BYTES]);

/* Ed25519 (RFC 8032). A private key is its 32-byte seed. ERR_NO_MEMORY; a signature that is not good is false,
 * whatever is wrong with it. */
MUST_CHECK enum err ed25519_generate(uint8_t out_seed[static ED25519_KEY_BYTES]);
MUST_CHECK enum err ed25519_public(const uint8_t seed[static ED25519_KEY_BYTES],
                                   uint8_t out_public[static ED25519_KEY_BYTES]);
MUST_CHECK enum err ed25519_sign(const uint8_t seed[static ED25519_KEY_BYTES], struct span message,
                                 uint8_t out_signature[static ED25519_SIGNATURE_BYTES]);
bool ed25519_verify(const uint8_t public_key[static ED25519_KEY_BYTES], struct span message,
                    const uint8_t signature[static ED25519_SIGNATURE_BYTES]);

/* Standard base64 with padding (RFC 4648 section 4). Encoding needs 4 * ((len + 2) / 3) bytes of room; it gives the
 * number written. Decoding is strict: ERR_INVALID for white space, missing padding and bits that mean nothing,
 * ERR_TOO_BIG for more than `cap` bytes. */
size_t base64_encode(struct span bytes, char *out, size_t cap);
MUST_CHECK enum err base64_decode(struct span text, uint8_t *out, size_t cap, size_t *out_len);

/* Lets the library read its configuration and fetch its algorithms now: before threads, and before the program is
 * confined. */
void digest_prepare(void);

/* Random bytes of the operating system's generator; ends the process if there are none. */
void random_bytes(void *out, size_t len);

/* Version of the library that does the work, "OpenSSL 3.0.x …". */
const char *digest_library_version(void);

/* Wipes a secret so that the compiler cannot leave it out. */
void secret_wipe(void *data, size_t len);

#endif
