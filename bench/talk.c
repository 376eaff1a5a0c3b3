/* SPDX-License-Identifier: Apache-2.0 */
#include "talk.h"

#include "tool.h"

#include <string.h>
#include <sys/socket.h>

/* Where the random of a hello stands: record header 5, handshake header 4, version 2. */
#define RANDOM_AT      11
#define RANDOM_BYTES   32
#define PATTERN_PERIOD 65521u
#define LOOK_EVERY     ((uint64_t)8 * 1024 * 1024)
#define DROP_MAX       ((uint64_t)1024 * 1024)

static const uint8_t order_magic[4] = {'s', 'b', 'o', '1'};

/* Big-endian numbers, as TLS writes them. */
static void put(uint8_t *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static uint64_t get(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

struct writer {
    uint8_t *data;
    size_t len;
};

static void add(struct writer *w, uint64_t value, size_t bytes)
{
    put(w->data + w->len, value, bytes);
    w->len += bytes;
}

static void add_raw(struct writer *w, const void *data, size_t len)
{
    memcpy(w->data + w->len, data, len);
    w->len += len;
}

static void add_filler(struct writer *w, size_t len, uint8_t first)
{
    for (size_t i = 0; i < len; i++)
        w->data[w->len++] = (uint8_t)(first + 37 * i);
}

/* RFC 6066 3: a list with one host_name. */
static void add_sni(struct writer *w, const char *sni)
{
    size_t len = strlen(sni);
    add(w, 0, 2);
    add(w, len + 5, 2);
    add(w, len + 3, 2);
    add(w, 0, 1);
    add(w, len, 2);
    add_raw(w, sni, len);
}

/* What else a TLS 1.3 client brings: RFC 8446 4.2, ALPN (RFC 7301). */
static void add_extensions(struct writer *w)
{
    static const uint8_t fixed[] = {
        0x00, 0x17, 0, 0,                                               /* extended_master_secret */
        0xff, 0x01, 0, 1,  0,                                           /* renegotiation_info */
        0x00, 0x0a, 0, 8,  0, 6,    0x00, 0x1d, 0x00, 0x17, 0x00, 0x18, /* supported_groups */
        0x00, 0x0b, 0, 2,  1, 0,                                        /* ec_point_formats */
        0x00, 0x23, 0, 0,                                               /* session_ticket */
        0x00, 0x10, 0, 14, 0, 12,   2,    'h',  '2',  8,    'h',  't',  't',  'p',  '/', '1', '.', '1', /* ALPN */
        0x00, 0x0d, 0, 10, 0, 8,    0x04, 0x03, 0x08, 0x04, 0x04, 0x01, 0x08, 0x05, /* signature_algorithms */
        0x00, 0x2b, 0, 5,  4, 0x03, 0x04, 0x03, 0x03,                               /* supported_versions */
        0x00, 0x2d, 0, 2,  1, 1,                                                    /* psk_key_exchange_modes */
        0x00, 0x33, 0, 38, 0, 36,   0x00, 0x1d, 0,    32,                           /* key_share, its key follows */
    };
    add_raw(w, fixed, sizeof fixed);
    add_filler(w, 32, 11);
}

void hello_make(uint8_t hello[static HELLO_BYTES], const char *sni)
{
    static const uint8_t ciphers[] = {0x13, 0x02, 0x13, 0x03, 0x13, 0x01, 0xc0, 0x2c, 0xc0, 0x30, 0xc0, 0x2b,
                                      0xc0, 0x2f, 0xcc, 0xa9, 0xcc, 0xa8, 0x00, 0x9f, 0x00, 0x9e, 0x00, 0xff};
    if (strlen(sni) > 128)
        die("the name %s is too long for a hello of %d bytes", sni, HELLO_BYTES);
    struct writer w = {.data = hello};
    memset(hello, 0, HELLO_BYTES);
    add(&w, 0x16, 1);
    add(&w, 0x0301, 2);
    add(&w, HELLO_BYTES - 5, 2);
    add(&w, 1, 1);
    add(&w, HELLO_BYTES - 9, 3);
    add(&w, 0x0303, 2);
    add_filler(&w, RANDOM_BYTES, 101);
    add(&w, 32, 1); /* a session id, as in compatibility mode (RFC 8446 D.4) */
    add_filler(&w, 32, 53);
    add(&w, sizeof ciphers, 2);
    add_raw(&w, ciphers, sizeof ciphers);
    add(&w, 1, 1); /* the null compression */
    add(&w, 0, 1);
    add(&w, HELLO_BYTES - w.len - 2, 2);
    add_sni(&w, sni);
    add_extensions(&w);
    add(&w, 21, 2); /* padding (RFC 7685) up to the size */
    add(&w, HELLO_BYTES - w.len - 2, 2);
}

void hello_tag(uint8_t hello[static HELLO_BYTES], uint64_t tag)
{
    put(hello + RANDOM_AT, tag, sizeof tag);
}

void answer_make(uint8_t answer[static ANSWER_BYTES], const uint8_t hello[static HELLO_BYTES])
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i + 8 <= HELLO_BYTES; i += 8) {
        uint64_t eight;
        memcpy(&eight, hello + i, sizeof eight);
        hash = (hash ^ eight) * 0x100000001b3u;
        hash ^= hash >> 29;
    }
    for (size_t i = HELLO_BYTES - HELLO_BYTES % 8; i < HELLO_BYTES; i++)
        hash = (hash ^ hello[i]) * 0x100000001b3u;
    struct writer w = {.data = answer};
    add(&w, 0x16, 1); /* the shape of a ServerHello, so that who looks at it sees TLS */
    add(&w, 0x0303, 2);
    add(&w, ANSWER_BYTES - 5, 2);
    add(&w, 2, 1);
    add(&w, ANSWER_BYTES - 9, 3);
    add(&w, 0x0303, 2);
    add_raw(&w, hello + RANDOM_AT, RANDOM_BYTES);
    add(&w, hash, 8);
    add_filler(&w, ANSWER_BYTES - w.len, 7);
}

void order_write(uint8_t out[static ORDER_BYTES], struct order order)
{
    memset(out, 0, ORDER_BYTES);
    memcpy(out, order_magic, sizeof order_magic);
    out[4] = (uint8_t)order.kind;
    put(out + 8, order.count, 8);
}

bool order_read(const uint8_t in[static ORDER_BYTES], struct order *out)
{
    if (memcmp(in, order_magic, sizeof order_magic) != 0)
        return false;
    if (in[4] != ORDER_ECHO && in[4] != ORDER_SEND && in[4] != ORDER_TAKE)
        return false;
    out->kind = (enum order_kind)in[4];
    out->count = get(in + 8, 8);
    return true;
}

void report_write(uint8_t out[static REPORT_BYTES], struct report report)
{
    put(out, report.count, 8);
    put(out + 8, report.wrong, 8);
}

struct report report_read(const uint8_t in[static REPORT_BYTES])
{
    return (struct report){.count = get(in, 8), .wrong = get(in + 8, 8)};
}

const uint8_t *pattern_at(uint64_t position)
{
    static uint8_t bytes[PATTERN_PERIOD + PATTERN_RUN];
    static bool made;
    if (!made) {
        uint32_t state = 0x9e3779b9u;
        for (size_t i = 0; i < sizeof bytes; i++) {
            state = state * 1664525u + 1013904223u;
            bytes[i] = i < PATTERN_PERIOD ? (uint8_t)(state >> 24) : bytes[i - PATTERN_PERIOD];
        }
        made = true;
    }
    return bytes + position % PATTERN_PERIOD;
}

bool pattern_holds(uint64_t position, const uint8_t *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        size_t part = len - done < PATTERN_RUN ? len - done : PATTERN_RUN;
        if (memcmp(bytes + done, pattern_at(position + done), part) != 0)
            return false;
        done += part;
    }
    return true;
}

ptrdiff_t pattern_take(int fd, uint64_t position, uint64_t want, bool every, uint64_t *wrong)
{
    static uint8_t buffer[PATTERN_RUN];
    uint64_t into = position % LOOK_EVERY;
    if (every || into < PATTERN_RUN) {
        uint64_t room = every ? PATTERN_RUN : PATTERN_RUN - into;
        ptrdiff_t got = recv(fd, buffer, want < room ? want : room, 0);
        if (got > 0 && !pattern_holds(position, buffer, (size_t)got))
            ++*wrong;
        return got;
    }
    uint64_t room = LOOK_EVERY - into < DROP_MAX ? LOOK_EVERY - into : DROP_MAX;
    return recv(fd, NULL, want < room ? want : room, MSG_TRUNC);
}
