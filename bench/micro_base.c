/* SPDX-License-Identifier: Apache-2.0 */
#include "micro.h"
#include "tool.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/ring.h"

#define LEAF_BYTES 1000 /* about one record of the log */
#define RING_BYTES ((size_t)1 << 20)

static uint8_t leaf[LEAF_BYTES];

static void clock_row(uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        uint64_t now = clock_mono_ns();
        keep(&now);
    }
}

static void hash_row(uint64_t times)
{
    const struct hash_key key = {.k0 = 1, .k1 = 2};
    struct span name = span_text("files.cdn.example-host.test");
    for (uint64_t i = 0; i < times; i++) {
        uint64_t hash = hash_keyed(&key, name);
        keep(&hash);
    }
}

/* RFC 6962 2.1: the hash of a leaf is that of a zero and its bytes. */
static void leaf_hash_row(uint64_t times)
{
    static struct digest *digest;
    uint8_t out[DIGEST_BYTES];
    const uint8_t zero = 0;
    if (digest == NULL && digest_new(&digest) != ERR_NONE)
        die("digest_new");
    for (uint64_t i = 0; i < times; i++) {
        digest_begin(digest);
        digest_add(digest, span_make(&zero, 1));
        digest_add(digest, span_make(leaf, sizeof leaf));
        digest_end(digest, out);
        keep(out);
    }
}

static void sign_row(uint64_t times)
{
    uint8_t seed[ED25519_KEY_BYTES] = {1}, signature[ED25519_SIGNATURE_BYTES];
    for (uint64_t i = 0; i < times; i++) {
        if (ed25519_sign(seed, span_make(leaf, 200), signature) != ERR_NONE)
            die("ed25519_sign");
        keep(signature);
    }
}

/* As many keys as a record of the log has. */
static size_t json_write(uint8_t *buffer, size_t cap)
{
    static const char *const words[] = {"activity_id", "category_uid", "class_uid", "severity_id", "time",
                                        "type_uid",    "action",       "device",    "endpoint",    "policy"};
    struct outbuf out = outbuf_make(buffer, cap);
    struct json json = json_make(&out);
    json_open(&json, '{');
    for (size_t i = 0; i < 10; i++) {
        json_key_u64(&json, words[i], 1732147200000u + i);
        json_key(&json, words[i]);
        json_open(&json, '{');
        json_key_text(&json, "name", "files.cdn.example-host.test");
        json_key_span(&json, "uid", span_text("0123456789abcdef0123456789abcdef"));
        json_close(&json, '}');
    }
    json_close(&json, '}');
    return out.overflow ? 0 : out.len;
}

static bool json_check(void)
{
    uint8_t buffer[4096];
    size_t len = json_write(buffer, sizeof buffer);
    return len > LEAF_BYTES && len < 2 * LEAF_BYTES && buffer[len - 1] == '}';
}

static void json_row(uint64_t times)
{
    uint8_t buffer[4096];
    for (uint64_t i = 0; i < times; i++) {
        size_t len = json_write(buffer, sizeof buffer);
        keep(&len);
    }
}

/* One record from the producer's hand to the consumer's and back, on one thread: what the two do without waiting. */
static void ring_row(uint64_t times)
{
    static struct ring *ring;
    if (ring == NULL && ring_new(RING_BYTES, &ring) != ERR_NONE)
        die("ring_new");
    for (uint64_t i = 0; i < times; i++) {
        void *room = ring_reserve(ring, sizeof leaf);
        if (room == NULL)
            die("the ring is full");
        memcpy(room, leaf, sizeof leaf);
        uint64_t ticket = ring_publish(ring, sizeof leaf);
        struct span read = ring_read(ring);
        ring_consume(ring);
        if (read.len != sizeof leaf || ring_consumed(ring) < ticket)
            die("the ring lost a record");
    }
}

const struct micro micro_base[] = {
    {"base: clock",                      clock_row,     NULL      },
    {"base: keyed hash of a name",       hash_row,      NULL      },
    {"base: leaf hash, 1000 bytes",      leaf_hash_row, NULL      },
    {"base: Ed25519 signature",          sign_row,      NULL      },
    {"base: JSON, about 1300 bytes",     json_row,      json_check},
    {"base: ring, 1000 bytes handed on", ring_row,      NULL      },
};
const size_t micro_base_count = sizeof micro_base / sizeof micro_base[0];
