/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello: the facts of a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3, RFC 8744-style outer names), fed in any split into
 * segments and records. The verdict is on the whole message: facts are given only when the complete handshake message
 * was there and every length in it agreed.
 *
 * The caller keeps the raw records in one buffer that grows and gives all of it each time; each byte is looked at once
 * before the message is complete. The raw bytes are what will be forwarded, unchanged.
 */
#ifndef WIRE_HELLO_H
#define WIRE_HELLO_H

#include "wire/hostname.h"
#include "wire/reason.h"
#include "wire/request.h" /* enum feed */

enum sni { SNI_NONE, SNI_PRESENT };

struct hello {
    enum sni sni;
    struct hostname name;     /* when SNI_PRESENT */
    bool ech;                 /* encrypted_client_hello (0xfe0d) or draft ESNI (0xffce), GREASE included */
    uint16_t legacy_version;  /* of the hello */
    uint16_t highest_version; /* highest of supported_versions that is not GREASE, else legacy_version */
    struct span alpn;         /* the protocol names as sent, each behind its length byte (RFC 7301 3.1), or empty;
                                * borrows `scratch` or the buffer */
    struct span odd_name;     /* with FEED_BAD: what stands as server name and is none, or empty; borrows likewise. For
                               * the record alone; highest_version is set beside it */
    uint32_t raw_bytes;       /* records that carried the message */
    uint32_t message_bytes;   /* the reassembled message with its 4-byte header */
};

struct hello_limits {
    uint32_t raw_bytes;     /* records as received: above it REASON_HELLO_BIG */
    uint32_t message_bytes; /* the message, at most HELLO_SCRATCH_BYTES: above it REASON_HELLO_BIG */
};

#define HELLO_SCRATCH_BYTES (64u * 1024u)

struct hello_parser {
    uint32_t next_record; /* offset of the first record header not read yet */
    uint32_t gathered;    /* message bytes in complete records so far */
    uint32_t records;
    uint32_t want;       /* message length with header once known, else 0 */
    uint32_t head_bytes; /* of the message header, seen so far */
    uint8_t head[4];     /* the message header */
};

/*
 * `scratch` has HELLO_SCRATCH_BYTES and is used for a message that spans records; it need not be kept between calls.
 * FEED_BAD gives REASON_NOT_TLS (the first bytes are not a TLS handshake record with a ClientHello in it: other content
 * types, SSLv2, plain text), REASON_HELLO (malformed: any inconsistent length, duplicate extension, SNI that is not
 * one host_name in the grammar of hostname_parse() without a trailing dot, empty fragments, other content types
 * between fragments, trailing bytes, a second message in the same record, first message not a ClientHello) or
 * REASON_HELLO_BIG (a record of more than 16,384 bytes or a claimed message length above the limit, said before any of
 * it is awaited). A fresh parser is zeroed.
 */
enum feed hello_feed(struct hello_parser *parser, struct span so_far, const struct hello_limits *limits,
                     uint8_t *scratch, struct hello *out, enum reason *out_reason);

#endif
