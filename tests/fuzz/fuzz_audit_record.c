/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a record holds, its leaf is one line below the bound, and what verification reads of it is what was put in. */
#include "fuzz_check.h"

#include "leaf.h"
#include "pack.h"
#include "record_tbl.h"

struct feed {
    struct span rest;
};

static uint8_t byte(struct feed *f)
{
    uint8_t value = f->rest.len == 0 ? 0 : f->rest.data[0];
    f->rest = span_from(f->rest, 1);
    return value;
}

/* Strings take their length from the input and their bytes too: every length is reached with little input. */
static struct span string(struct feed *f)
{
    size_t len = (size_t)byte(f) * 2;
    struct span s = span_first(f->rest, len);
    f->rest = span_from(f->rest, s.len / 2); /* neighbours overlap */
    return s;
}

static void make_flow(struct feed *f, struct record_flow *r, struct target *target, struct ipaddr *answers)
{
    uint8_t bits = byte(f);
    r->kind = (enum record_kind)(byte(f) % 3);
    r->http = bits & 1;
    r->has_hello = bits & 2;
    r->has_peer_uid = bits & 4;
    r->ech = bits & 8;
    r->raw_target_truncated = bits & 16;
    r->end = (enum flow_end)(byte(f) % 5);
    r->decision.verdict = bits & 32 ? VERDICT_ALLOW : VERDICT_DENY;
    r->decision.reason = (enum reason)(byte(f) % (REASON_COUNT + 1));
    r->decision.stage = (enum stage)(byte(f) % 14);
    r->count = byte(f);
    r->peer.family = bits & 64 ? 4 : 0;
    r->answer_count = byte(f) % 40;
    for (size_t i = 0; i < 40; i++)
        answers[i] = (struct ipaddr){.family = i % 2 == 0 ? 4 : 6, .bytes = {byte(f)}};
    r->answers = answers;
    target->kind = (enum target_kind)(byte(f) % 3);
    target->port = byte(f);
    if (target->kind == TARGET_NAME) {
        target->name.len = 4;
        memcpy(target->name.bytes, "test", 5);
    } else if (target->kind == TARGET_ADDRESS) {
        target->addr.family = 4;
    }
    r->target = bits & 128 && target->kind != TARGET_NONE ? target : NULL;
    for (size_t i = 0; i < FLOW_ID_BYTES; i++)
        r->flow[i] = byte(f);
#define X(member, max) r->member = string(f);
    FLOW_STRING_TABLE(X)
#undef X
}

static void make_event(struct feed *f, struct record_event *e)
{
    static const char *const keys[] = {"part", "blob", "flows", "source_blob"};
    e->event = (enum event_kind)(byte(f) % 12);
    e->environment = string(f);
    e->subject = string(f);
    e->message = string(f);
    e->fact_count = byte(f) % (EVENT_FACTS_MAX + 1);
    for (size_t i = 0; i < e->fact_count; i++) {
        e->facts[i].key = keys[i % 4];
        e->facts[i].is_number = byte(f) % 4 == 0;
        e->facts[i].number = byte(f);
        e->facts[i].text = string(f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t boot[16];
    static struct leaf_context context;
    static uint8_t packed[PACK_BYTES_MAX], leaf[LEAF_ROOM];
    struct feed f = {.rest = span_make(data, size)};
    struct pack_stamp stamp = {.urgency = RECORD_LAZY, .wall_ms = 1790000000000, .mono_ns = 1};
    struct record_flow flow = {0};
    struct record_event event = {0};
    struct target target = {0};
    struct ipaddr answers[40];
    struct sealed sealed;
    bool is_event = byte(&f) % 4 == 0;
    size_t len;
    CHECK(leaf_context_init(&context, "fuzz.test/audit", boot));
    if (is_event) {
        make_event(&f, &event);
        len = pack_event(&event, &stamp, packed);
    } else {
        make_flow(&f, &flow, &target, answers);
        len = pack_flow(&flow, &stamp, packed);
    }
    CHECK(len <= PACK_BYTES_MAX);
    unpack(span_make(packed, len), &sealed);
    uint64_t env_seq = leaf_environment(&sealed).len == 0 ? 0 : 7;
    len = leaf_format(&context, &sealed, (struct leaf_place){5, env_seq}, leaf);
    CHECK(len >= 2 && len <= RECORD_LEAF_MAX && leaf[0] == '{' && leaf[len - 1] == '}');
    for (size_t i = 0; i < len; i++)
        CHECK(leaf[i] >= 0x20 && leaf[i] != 0x7f && leaf[i] != 0xff);
    struct leaf_facts facts;
    CHECK(leaf_scan(span_make(leaf, len), &facts));
    CHECK(facts.sequence == 5 && facts.env_seq == env_seq && facts.has_tenant == (env_seq != 0));
    CHECK((facts.kind == LEAF_EVENT) == is_event);
    CHECK(is_event || facts.allowed == (flow.decision.verdict == VERDICT_ALLOW));
    CHECK(is_event || memcmp(facts.flow, flow.flow, FLOW_ID_BYTES) == 0);
    return 0;
}
