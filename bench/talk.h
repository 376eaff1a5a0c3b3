/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk: what load and origin say to each other through a tunnel, so that each can tell whether the subject between
 * them changed, lost, doubled or crossed a byte.
 *
 *   load                                   origin
 *   ClientHello, 517 bytes,      ──▶
 *     its random holds a tag
 *                                ◀──       answer: 64 bytes with the same random and a hash of the hello
 *   [order: 16 bytes]            ──▶       echo all that follows, send n bytes, or take n bytes
 *   [bytes]                     ◀──▶       [bytes, or a report when all n were taken]
 *
 * The bytes of an order are a pattern that repeats after a prime number of bytes: a block that is lost, doubled or put
 * at another place shows, whatever power of two its size is.
 */
#ifndef BENCH_TALK_H
#define BENCH_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The size of OpenSSL's hello when it pads, and what many clients send. */
#define HELLO_BYTES  517
#define ANSWER_BYTES 64

/* A ClientHello as TLS 1.3 clients send it, with `sni`. */
void hello_make(uint8_t hello[static HELLO_BYTES], const char *sni);

/* Makes the hello that of one tunnel. */
void hello_tag(uint8_t hello[static HELLO_BYTES], uint64_t tag);

/* The answer that belongs to exactly this hello. */
void answer_make(uint8_t answer[static ANSWER_BYTES], const uint8_t hello[static HELLO_BYTES]);

enum order_kind { ORDER_ECHO = 'E', ORDER_SEND = 'S', ORDER_TAKE = 'T' };

#define ORDER_BYTES  16
#define REPORT_BYTES 16

struct order {
    enum order_kind kind;
    uint64_t count; /* bytes to send or to take */
};

void order_write(uint8_t out[static ORDER_BYTES], struct order order);
bool order_read(const uint8_t in[static ORDER_BYTES], struct order *out);

/* What the origin says when it has taken all: how many bytes, and how many blocks of them were wrong. */
struct report {
    uint64_t count, wrong;
};

void report_write(uint8_t out[static REPORT_BYTES], struct report report);
struct report report_read(const uint8_t in[static REPORT_BYTES]);

/* Bytes of the pattern that can be taken at any position at once. */
#define PATTERN_RUN ((size_t)256 * 1024)

/* The pattern from position `position` on; PATTERN_RUN bytes are readable. */
const uint8_t *pattern_at(uint64_t position);
bool pattern_holds(uint64_t position, const uint8_t *bytes, size_t len);

/*
 * Reads up to `want` bytes of the pattern from the socket: as recv(), but what need not be looked at is dropped inside
 * the kernel (MSG_TRUNC), since a tool that copies and compares everything would be slower than what it measures. The
 * first 256 KiB and one block of 256 KiB in each 8 MiB are looked at, or all with `every`. Wrong blocks are counted in
 * *wrong.
 */
ptrdiff_t pattern_take(int fd, uint64_t position, uint64_t want, bool every, uint64_t *wrong);

#endif
