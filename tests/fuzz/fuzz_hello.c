/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hello gives the same facts in any split into segments and, when it is good, in any split into records. The first
 * byte of the input chooses the splits; the second says whether the rest is raw records, or a message that is put into
 * one, so that the fuzzer need not learn the lengths of records first.
 */
#include "fuzz_check.h"

#include "wire/hello.h"

#define RAW_MAX (1u << 20)

static const struct hello_limits limits = {.raw_bytes = 65536, .message_bytes = 16384};
static uint8_t scratch[HELLO_SCRATCH_BYTES];

struct result {
    enum feed feed;
    enum reason reason;
    struct hello hello;
    struct span buffer;
    uint8_t alpn[16384];
};

static void feed(struct span raw, unsigned split, struct result *r)
{
    struct hello_parser parser = {0};
    size_t len = split == 0 ? raw.len : 0;
    r->reason = REASON_NONE;
    for (;;) {
        struct span copy = exact_copy(span_first(raw, len));
        r->feed = hello_feed(&parser, copy, &limits, scratch, &r->hello, &r->reason);
        if (r->feed == FEED_DONE) {
            CHECK(r->hello.alpn.len <= sizeof r->alpn);
            if (r->hello.alpn.len > 0)
                memcpy(r->alpn, r->hello.alpn.data, r->hello.alpn.len);
            r->hello.alpn = span_make(r->alpn, r->hello.alpn.len);
        }
        free_copy(copy);
        memset(scratch, 0xee, 256);
        if (r->feed != FEED_MORE || len >= raw.len)
            return;
        split = split * 1103515245u + 12345u;
        len += split % 256 < 64 ? 1 : 1 + (split >> 16) % 500;
        len = len < raw.len ? len : raw.len;
    }
}

static void check_same_facts(const struct hello *a, const struct hello *b)
{
    CHECK(a->sni == b->sni && memcmp(&a->name, &b->name, sizeof a->name) == 0 && a->ech == b->ech);
    CHECK(a->legacy_version == b->legacy_version && a->highest_version == b->highest_version);
    CHECK(a->message_bytes == b->message_bytes && span_equal(a->alpn, b->alpn));
}

static void check_good(const struct hello *hello, struct span raw)
{
    CHECK(hello->raw_bytes <= raw.len && hello->raw_bytes <= limits.raw_bytes);
    CHECK(hello->message_bytes <= limits.message_bytes && hello->message_bytes + 5 <= hello->raw_bytes);
    CHECK(hello->legacy_version >> 8 == 3);
    if (hello->sni == SNI_PRESENT) {
        struct hostname again;
        CHECK(hostname_parse(hostname_span(&hello->name), &again) == ERR_NONE);
        CHECK(hostname_equal(&again, &hello->name));
    }
}

/* Puts `bytes` into handshake records whose sizes a small generator chooses; 0 means one size for all. */
static struct span put_records(struct span bytes, unsigned split, uint8_t *out)
{
    size_t len = 0;
    for (size_t at = 0; at < bytes.len;) {
        split = split * 1103515245u + 12345u;
        size_t most = split % 256 < 64 ? 1 + (split >> 16) % 4 : 1 + (split >> 16) % 16384;
        struct span part = span_first(span_from(bytes, at), most);
        const uint8_t head[] = {22, 3, 1, (uint8_t)(part.len >> 8), (uint8_t)part.len};
        CHECK(len + sizeof head + part.len <= RAW_MAX);
        memcpy(out + len, head, sizeof head);
        memcpy(out + len + sizeof head, part.data, part.len);
        len += sizeof head + part.len;
        at += part.len;
    }
    return span_make(out, len);
}

/* The message of a good hello, cut into other records, says the same. */
static void check_other_records(struct span raw, const struct result *whole, unsigned split)
{
    static uint8_t message[16384];
    static uint8_t records[RAW_MAX];
    static struct result other;
    size_t len = 0;
    for (size_t at = 0; at < whole->hello.raw_bytes;) {
        size_t part = (size_t)raw.data[at + 3] << 8 | raw.data[at + 4];
        memcpy(message + len, raw.data + at + 5, part);
        len += part;
        at += 5 + part;
    }
    CHECK(len == whole->hello.message_bytes);
    struct span cut = put_records(span_make(message, len), split, records);
    feed(cut, 0, &other);
    if (cut.len > limits.raw_bytes) {
        CHECK(other.feed == FEED_BAD && other.reason == REASON_HELLO_BIG);
        return;
    }
    CHECK(other.feed == FEED_DONE && other.hello.raw_bytes == cut.len);
    check_same_facts(&whole->hello, &other.hello);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t records[RAW_MAX];
    static struct result whole;
    static struct result cut;
    if (size < 2 || size > 70000)
        return 0;
    struct span raw = span_make(data + 2, size - 2);
    if (data[1] % 2 == 1)
        raw = put_records(span_first(raw, 40000), data[1], records);
    feed(raw, 0, &whole);
    feed(raw, data[0] + 1u, &cut);
    CHECK(whole.feed == cut.feed && whole.reason == cut.reason);
    if (whole.feed == FEED_BAD)
        CHECK(whole.reason == REASON_NOT_TLS || whole.reason == REASON_HELLO || whole.reason == REASON_HELLO_BIG);
    if (whole.feed != FEED_DONE)
        return 0;
    CHECK(whole.hello.raw_bytes == cut.hello.raw_bytes);
    check_same_facts(&whole.hello, &cut.hello);
    check_good(&whole.hello, raw);
    check_other_records(raw, &whole, data[0] + 7u);
    return 0;
}
