/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello_build: ClientHellos for tests, well-formed unless the raw parts that are given are not.
 *
 *     struct hello_build spec = {.sni = "allowed.test", .alpn = "h2", .pad_to = 2000, .record_bytes = 100};
 *     uint8_t bytes[4096];
 *     size_t len = hello_build(&spec, bytes, sizeof bytes);
 */
#ifndef SUPPORT_HELLO_BUILD_H
#define SUPPORT_HELLO_BUILD_H

#include "base/span.h"

/* The zeroed one is a TLS 1.3 hello without SNI, in one record. */
struct hello_build {
    const char *sni;         /* NULL: no server_name extension */
    struct span server_name; /* if not empty: raw data of that extension, instead of `sni` */
    const char *alpn;        /* one protocol; NULL: no extension */
    bool ech;                /* an encrypted_client_hello extension of the outer kind */
    bool grease;             /* reserved values (RFC 8701) among ciphers, versions and extensions */
    bool sni_last;           /* behind all other extensions, as browsers may put it */
    bool no_extensions;      /* the message ends behind the compression methods */
    bool tls12;              /* no supported_versions */
    size_t key_share_bytes;  /* one share of that size; 1216 is X25519MLKEM768 */
    struct span extra;       /* whole extensions, put before the padding as they are */
    size_t pad_to;           /* bytes of the message, reached by a padding extension (RFC 7685); 0: none */
    size_t record_bytes;     /* message bytes in each record; 0: 16,384 */
};

/* The handshake message with its 4-byte header; gives its length. Ends the process if `cap` is too small. */
size_t hello_build_message(const struct hello_build *spec, uint8_t *out, size_t cap);

/* Cuts a message (or any bytes) into handshake records of `record_bytes` each, 0 meaning 16,384. */
size_t hello_build_records(struct span message, size_t record_bytes, uint8_t *out, size_t cap);

/* Both at once, for messages up to 65,539 bytes. */
size_t hello_build(const struct hello_build *spec, uint8_t *out, size_t cap);

/* One record of any content type. */
size_t hello_build_record(uint8_t content_type, struct span payload, uint8_t *out, size_t cap);

#endif
