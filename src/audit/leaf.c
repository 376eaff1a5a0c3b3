/* SPDX-License-Identifier: Apache-2.0 */
#include "leaf.h"

#include "base/assert.h"
#include "base/digest.h"
#include "pack.h"

/* Lengths for the second try. Any byte grows to seven at most ("\\u00ff" with two backslashes): sixteen strings of 32
 * bytes, or 24 facts, stay far below RECORD_LEAF_MAX with everything else. */
#define TIGHT_STRING 32

static void uuid_text(const uint8_t bytes[static 16], char out[static LEAF_UUID_TEXT + 1])
{
    struct outbuf o = outbuf_make(out, LEAF_UUID_TEXT);
    static const size_t groups[] = {4, 2, 2, 2, 6};
    for (size_t g = 0, at = 0; g < 5; g++) {
        if (g != 0)
            outbuf_char(&o, '-');
        outbuf_hex(&o, span_make(bytes + at, groups[g]));
        at += groups[g];
    }
    out[LEAF_UUID_TEXT] = '\0';
}

bool leaf_context_init(struct leaf_context *ctx, const char *origin, const uint8_t boot[static 16])
{
    memset(ctx, 0, sizeof *ctx);
    ctx->origin = origin;
    uuid_text(boot, ctx->boot);
    random_bytes(ctx->random, sizeof ctx->random);
    ctx->random[0] |= 1;
    struct outbuf o = outbuf_make(ctx->metadata_tail, sizeof ctx->metadata_tail);
    outbuf_text(&o, "\"log_name\":");
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
static void uuid7(struct leaf_context *ctx, int64_t wall_ms, char out[static LEAF_UUID_TEXT + 1])
{
    uint8_t bytes[16];
    uint64_t time = (uint64_t)wall_ms;
    for (unsigned i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(time >> (40 - 8 * i));
    uint64_t high = random_next(ctx), low = random_next(ctx);
    bytes[6] = (uint8_t)(0x70 | (high & 15));
    bytes[7] = (uint8_t)(high >> 8);
    for (unsigned i = 0; i < 8; i++)
        bytes[8 + i] = (uint8_t)(low >> (8 * i));
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3f));
    uuid_text(bytes, out);
}

void leaf_string(struct leaf_writer *w, const char *key, struct span value)
{
    if (value.len != 0)
        json_key_span(&w->json, key, w->tight ? pack_cut(value, TIGHT_STRING) : value);
}

void leaf_metadata(struct leaf_writer *w, const char *code, struct span environment, const uint8_t *flow)
{
    struct json *j = &w->json;
    char uid[LEAF_UUID_TEXT + 1];
    uuid7(w->ctx, w->sealed->wall_ms, uid);
    json_key(j, "metadata");
    json_open(j, '{');
    json_key_text(j, "event_code", code);
    json_key_u64(j, "sequence", w->place.index);
    if (w->place.env_seq != 0) {
        /* Never cut, not even for the second try: it is what env_seq counts. */
        json_key_span(j, "tenant_uid", environment);
    }
    if (flow != NULL) {
        json_key(j, "correlation_uid");
        outbuf_char(j->out, '"');
        outbuf_hex(j->out, span_make(flow, FLOW_ID_BYTES));
        outbuf_char(j->out, '"');
        j->need_comma = true;
    }
    json_key_text(j, "uid", uid);
    outbuf_char(j->out, ',');
    outbuf_bytes(j->out, w->ctx->metadata_tail, w->ctx->metadata_tail_len);
    bool cut = w->tight || w->sealed->truncated || (!w->sealed->is_event && w->sealed->flow.raw_target_truncated);
    if (cut)
        json_key_bool(j, "is_truncated", true);
    json_close(j, '}');
}

void leaf_unmapped_open(struct leaf_writer *w)
{
    struct json *j = &w->json;
    json_key(j, "unmapped");
    json_open(j, '{');
    if (w->place.env_seq != 0)
        json_key_u64(j, "env_seq", w->place.env_seq);
    json_key_text(j, "boot", w->ctx->boot);
    json_key_u64(j, "mono_ns", w->sealed->mono_ns);
}

void leaf_class(struct leaf_writer *w, unsigned class_uid, unsigned activity, unsigned severity)
{
    struct json *j = &w->json;
    json_key_i64(j, "time", w->sealed->wall_ms);
    json_key_u64(j, "class_uid", class_uid);
    json_key_u64(j, "category_uid", class_uid / 1000);
    json_key_u64(j, "activity_id", activity);
    json_key_u64(j, "type_uid", class_uid * 100 + activity);
    json_key_u64(j, "severity_id", severity);
}

struct span leaf_environment(const struct sealed *sealed)
{
    struct span environment = sealed->is_event ? sealed->event.environment : sealed->flow.environment;
    if (environment.len == 0 && !sealed->is_event)
        return span_text("-");
    return environment;
}

size_t leaf_format(struct leaf_context *ctx, const struct sealed *sealed, struct leaf_place place, uint8_t *out)
{
    struct leaf_writer w = {.ctx = ctx, .sealed = sealed, .place = place};
    struct outbuf o = outbuf_make(out, RECORD_LEAF_MAX);
    for (int attempt = 0; attempt < 2; attempt++) {
        w.tight = attempt == 1;
        o = outbuf_make(out, RECORD_LEAF_MAX);
        w.json = json_make(&o);
        json_open(&w.json, '{');
        if (sealed->is_event)
            leaf_write_event(&w);
        else
            leaf_write_flow(&w);
        json_close(&w.json, '}');
        if (!o.overflow)
            break;
    }
    ASSERT(!o.overflow);
    return o.len;
}
