/* SPDX-License-Identifier: Apache-2.0 */
#include "leaf.h"

#include "base/assert.h"
#include "base/digest.h"
#include "base/json.h"
#include "leaf_text.h"
#include "pack.h"

#include <endian.h>

/* Lengths for the second try. Any byte grows to seven at most ("\\u00ff" with two backslashes): sixteen strings of 32
 * bytes, or 24 facts, stay far below RECORD_LEAF_MAX with everything else. */
#define TIGHT_STRING 32

/* What stands around the strings: names of keys, numbers, and texts of ours. The metadata's tail counts as well. */
#define FIXED_MAX 5120u

static uint64_t big_word(const uint8_t bytes[static 8])
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return be64toh(word);
}

/* RFC 9562 4: groups of 8, 4, 4, 4 and 12 digits. */
static uint8_t *put_uuid(uint8_t *at, uint64_t high, uint64_t low)
{
    uint8_t digits[2 * LEAF_HEX_WORD];
    put_hex_word(put_hex_word(digits, high), low);
    memcpy(at, digits, 8);
    at[8] = at[13] = at[18] = at[23] = '-';
    memcpy(at + 9, digits + 8, 4);
    memcpy(at + 14, digits + 12, 4);
    memcpy(at + 19, digits + 16, 4);
    memcpy(at + 24, digits + 20, 12);
    return at + LEAF_UUID_TEXT;
}

uint8_t *leaf_flow_id(uint8_t *at, const uint8_t flow[static FLOW_ID_BYTES])
{
    return put_hex_word(put_hex_word(at, big_word(flow)), big_word(flow + 8));
}

bool leaf_context_init(struct leaf_context *ctx, const char *origin, const uint8_t boot[static 16])
{
    memset(ctx, 0, sizeof *ctx);
    ctx->origin = origin;
    uint8_t *end = put(put_uuid(put(ctx->boot, "\"boot\":\""), big_word(boot), big_word(boot + 8)), "\",\"mono_ns\":");
    ASSERT(end == ctx->boot + LEAF_BOOT_TEXT);
    random_bytes(ctx->random, sizeof ctx->random);
    ctx->random[0] |= 1;
    struct outbuf o = outbuf_make(ctx->metadata_tail, sizeof ctx->metadata_tail);
    outbuf_text(&o, "\",\"log_name\":");
    struct json j = json_make(&o);
    json_text(&j, origin);
    outbuf_text(&o, ",\"version\":\"1.8.0\",\"product\":{\"name\":\"sallyport\",\"vendor_name\":\"sallyport\","
                    "\"version\":\"" SALLYPORT_VERSION "\"},\"profiles\":[\"security_control\",\"network_proxy\"]");
    ctx->metadata_tail_len = o.len;
    return !o.overflow;
}

/* xorshift128+ (Vigna 2014): the identifier must be unique, not secret; its order comes from the time in front. */
static uint64_t random_next(struct leaf_context *ctx)
{
    uint64_t a = ctx->random[0], b = ctx->random[1];
    ctx->random[0] = b;
    a ^= a << 23;
    ctx->random[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return ctx->random[1] + b;
}

/* RFC 9562 5.7: 48 bits of milliseconds, version 7, variant 10, the rest random. */
static uint8_t *put_uuid7(struct leaf_context *ctx, int64_t wall_ms, uint8_t *at)
{
    uint64_t high = (uint64_t)wall_ms << 16 | 0x7000u | (random_next(ctx) & 0xfffu);
    uint64_t low = (uint64_t)1 << 63 | random_next(ctx) >> 2;
    return put_uuid(at, high, low);
}

struct span leaf_kept(const struct leaf_writer *w, struct span value)
{
    return w->tight ? pack_cut(value, TIGHT_STRING) : value;
}

static uint8_t *put_metadata(struct leaf_writer *w, uint8_t *at, const char *code, struct span environment,
                             const uint8_t *flow)
{
    at = put_word(at, "\"metadata\":{\"event_code\":\"", code);
    at = put_count(at, ",\"sequence\":", w->place.index);
    if (w->place.env_seq != 0) /* never cut, not even for the second try: it is what env_seq counts */
        at = put_string(at, ",\"tenant_uid\":\"", environment);
    if (flow != NULL)
        at = put(leaf_flow_id(put(at, ",\"correlation_uid\":\""), flow), "\"");
    at = put_uuid7(w->ctx, w->sealed->wall_ms, put(at, ",\"uid\":\""));
    memcpy(at, w->ctx->metadata_tail, w->ctx->metadata_tail_len);
    at += w->ctx->metadata_tail_len;
    bool cut = w->tight || w->sealed->truncated || (!w->sealed->is_event && w->sealed->flow.raw_target_truncated);
    return cut ? put(at, ",\"is_truncated\":true}") : put(at, "}");
}

uint8_t *leaf_open(struct leaf_writer *w, uint8_t *at, const char *code, struct span environment, const uint8_t *flow)
{
    at = put(put_metadata(w, at, code, environment, flow), ",\"unmapped\":{");
    if (w->place.env_seq != 0)
        at = put(put_count(at, "\"env_seq\":", w->place.env_seq), ",");
    memcpy(at, w->ctx->boot, LEAF_BOOT_TEXT);
    return put_number(at + LEAF_BOOT_TEXT, w->sealed->mono_ns);
}

struct span leaf_environment(const struct sealed *sealed)
{
    struct span environment = sealed->is_event ? sealed->event.environment : sealed->flow.environment;
    if (environment.len == 0 && !sealed->is_event)
        return span_text("-");
    return environment;
}

/* An event is written within bounds but for its environment, which its metadata begin with. */
static size_t room_for(const struct sealed *sealed)
{
    size_t bytes = leaf_environment(sealed).len;
    if (!sealed->is_event)
        bytes += leaf_flow_bytes(&sealed->flow);
    return FIXED_MAX + LEAF_ESCAPED_MAX * bytes;
}

static uint8_t *write_kind(struct leaf_writer *w, uint8_t *at)
{
    if (w->sealed->is_event)
        return leaf_write_event(w, at);
    return w->sealed->flow.kind == RECORD_LOOKUP ? leaf_write_lookup(w, at) : leaf_write_flow(w, at);
}

size_t leaf_format(struct leaf_context *ctx, const struct sealed *sealed, struct leaf_place place, uint8_t *out)
{
    struct leaf_writer w = {.ctx = ctx, .sealed = sealed, .place = place};
    ASSERT(room_for(sealed) <= LEAF_ROOM);
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        w.tight = attempt == 1;
        out[0] = '{';
        uint8_t *end = write_kind(&w, out + 1);
        if (end != NULL && end - out < RECORD_LEAF_MAX) {
            *end = '}';
            return (size_t)(end - out) + 1;
        }
    }
    ASSERT(false); /* the second try is short enough, whatever the strings */
    return 0;
}
