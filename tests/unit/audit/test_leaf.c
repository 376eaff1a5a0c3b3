/* SPDX-License-Identifier: Apache-2.0 */
#include "leaf.h"
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>

static struct leaf_context context;
static uint8_t leaf[LEAF_ROOM];

static struct span format(const struct sealed *sealed, uint64_t index, uint64_t env_seq)
{
    size_t len = leaf_format(&context, sealed, (struct leaf_place){index, env_seq}, leaf);
    assert_in_range(len, 2, RECORD_LEAF_MAX);
    for (size_t i = 0; i < len; i++)
        assert_in_range(leaf[i], 0x20, 0xf4); /* one line, no control byte, no 0xff */
    return span_make(leaf, len);
}

static json_t *parse(struct span text)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        fail_msg("%s at %d: %.*s", error.text, error.position, (int)text.len, (const char *)text.data);
    return root;
}

static const char *text_at(json_t *object, const char *a, const char *b)
{
    json_t *value = json_object_get(object, a);
    if (b != NULL)
        value = json_object_get(value, b);
    return json_string_value(value) == NULL ? "(none)" : json_string_value(value);
}

static json_int_t number_at(json_t *object, const char *a, const char *b)
{
    json_t *value = json_object_get(object, a);
    if (b != NULL)
        value = json_object_get(value, b);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static struct sealed sealed_flow(struct record_flow flow)
{
    return (struct sealed){.wall_ms = 1790000000123, .mono_ns = 77, .flow = flow};
}

static void an_allowed_attempt(void **state)
{
    (void)state;
    struct target target = sample_target("files.test");
    struct sealed s = sealed_flow(sample_flow(RECORD_ATTEMPT, 5, "env-a", &target));
    struct span text = format(&s, 41, 12);
    json_t *root = parse(text);
    assert_int_equal(number_at(root, "class_uid", NULL), 4001);
    assert_int_equal(number_at(root, "category_uid", NULL), 4);
    assert_int_equal(number_at(root, "activity_id", NULL), 1);
    assert_int_equal(number_at(root, "type_uid", NULL), 400101);
    assert_int_equal(number_at(root, "severity_id", NULL), 1);
    assert_int_equal(number_at(root, "action_id", NULL), 1);
    assert_int_equal(number_at(root, "disposition_id", NULL), 1);
    assert_int_equal(number_at(root, "time", NULL), 1790000000123);
    assert_string_equal(text_at(root, "status_code", NULL), "allowed");
    assert_int_equal(number_at(root, "metadata", "sequence"), 41);
    assert_string_equal(text_at(root, "metadata", "version"), "1.8.0");
    assert_string_equal(text_at(root, "metadata", "tenant_uid"), "env-a");
    assert_string_equal(text_at(root, "metadata", "log_name"), "log.test/audit");
    assert_string_equal(text_at(root, "metadata", "correlation_uid"), "05000000000000000000000000000000");
    assert_string_equal(text_at(root, "connection_info", "uid"), "05000000000000000000000000000000");
    assert_int_equal(number_at(root, "connection_info", "direction_id"), 2);
    assert_string_equal(text_at(root, "dst_endpoint", "hostname"), "files.test");
    assert_int_equal(number_at(root, "dst_endpoint", "port"), 443);
    assert_string_equal(text_at(root, "src_endpoint", "ip"), "127.0.0.1");
    assert_string_equal(text_at(root, "src_endpoint", "uid"), "s-17");
    assert_string_equal(text_at(root, "firewall_rule", "uid"), "allowed_hosts[2]");
    assert_string_equal(text_at(root, "policy", "version"), "3");
    assert_int_equal(number_at(root, "unmapped", "env_seq"), 12);
    assert_int_equal(number_at(root, "unmapped", "mono_ns"), 77);
    assert_string_equal(text_at(root, "unmapped", "boot"), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    assert_string_equal(text_at(root, "unmapped", "stage"), "target");
    assert_null(json_object_get(root, "traffic"));
    /* RFC 9562: the time in front, then version 7 and variant 10. */
    const char *uid = text_at(root, "metadata", "uid");
    assert_int_equal(strlen(uid), 36);
    assert_memory_equal(uid, "01a0c450-6c7b-7", 15);
    assert_non_null(strchr("89ab", uid[19]));
    json_decref(root);
}

static void outcomes_and_denials(void **state)
{
    (void)state;
    struct target target = sample_target("files.test");
    struct record_flow r = sample_flow(RECORD_OUTCOME, 5, "env-a", &target);
    static const struct {
        enum flow_end end;
        enum verdict verdict;
        enum reason reason;
        int activity, action, severity, status;
    } rows[] = {
        {FLOW_END_CLOSED,  VERDICT_ALLOW, REASON_ALLOWED,      2, 1, 1, 1},
        {FLOW_END_RESET,   VERDICT_ALLOW, REASON_CLIENT_RESET, 3, 1, 1, 1},
        {FLOW_END_FAILED,  VERDICT_ALLOW, REASON_DNS,          4, 1, 1, 2},
        {FLOW_END_REFUSED, VERDICT_DENY,  REASON_ADDRESS,      5, 2, 4, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        r.end = rows[i].end;
        r.decision.verdict = rows[i].verdict;
        r.decision.reason = rows[i].reason;
        struct sealed s = sealed_flow(r);
        json_t *root = parse(format(&s, 1, 1));
        assert_int_equal(number_at(root, "activity_id", NULL), rows[i].activity);
        assert_int_equal(number_at(root, "action_id", NULL), rows[i].action);
        assert_int_equal(number_at(root, "severity_id", NULL), rows[i].severity);
        assert_int_equal(number_at(root, "status_id", NULL), rows[i].status);
        assert_int_equal(number_at(root, "traffic", "bytes_out"), 517);
        assert_int_equal(number_at(root, "traffic", "bytes_in"), 4096);
        assert_int_equal(number_at(root, "duration", NULL), 250);
        assert_int_equal(number_at(root, "unmapped", "dials"), 1);
        assert_null(json_object_get(json_object_get(root, "unmapped"), "relay_ms"));
        json_decref(root);
    }
    r = sample_flow(RECORD_ATTEMPT, 5, "", NULL);
    r.decision = (struct decision){.reason = REASON_AUDIT};
    r.count = 900;
    r.count_start_ms = 10;
    r.count_end_ms = 1009;
    r.peer.family = 0;
    struct sealed s = sealed_flow(r);
    json_t *root = parse(format(&s, 1, 1));
    assert_int_equal(number_at(root, "activity_id", NULL), 5);
    assert_int_equal(number_at(root, "severity_id", NULL), 5);
    assert_int_equal(number_at(root, "count", NULL), 900);
    assert_int_equal(number_at(root, "end_time", NULL), 1009);
    assert_string_equal(text_at(root, "metadata", "tenant_uid"), "-");
    assert_string_equal(text_at(root, "src_endpoint", "name"), "unknown");
    assert_null(json_object_get(root, "dst_endpoint"));
    json_decref(root);
}

static void a_lookup(void **state)
{
    (void)state;
    struct target target = sample_target("files.test");
    struct record_flow r = sample_flow(RECORD_LOOKUP, 5, "env-a", &target);
    const struct ipaddr answers[] = {
        {.family = 4, .bytes = {192, 0, 2, 7}},
        {.family = 4, .bytes = {192, 0, 2, 8}},
    };
    r.decision.stage = STAGE_RESOLVE;
    r.answers = answers;
    r.answer_count = 2;
    r.dns_sent = 3;
    r.dns_result = span_text("ok");
    r.duration_ms = 23;
    r.dialled = (struct ipaddr){
        .family = 4, .bytes = {192, 0, 2, 53}
    };
    r.lookup = (struct record_lookup){.ttl_s = 60, .type = 1, .server_port = 53};
    struct sealed s = sealed_flow(r);
    struct span text = format(&s, 9, 4);
    struct leaf_facts facts;
    assert_true(leaf_scan(text, &facts));
    assert_int_equal(facts.kind, LEAF_LOOKUP);
    assert_int_equal(facts.env_seq, 4);
    json_t *root = parse(text);
    assert_int_equal(number_at(root, "type_uid", NULL), 400301);
    assert_string_equal(text_at(root, "query", "hostname"), "files.test");
    assert_string_equal(text_at(root, "query", "type"), "A");
    assert_string_equal(text_at(root, "dst_endpoint", "ip"), "192.0.2.53");
    assert_int_equal(number_at(root, "dst_endpoint", "port"), 53);
    assert_int_equal(number_at(root, "connection_info", "protocol_num"), 17);
    assert_string_equal(text_at(root, "rcode", NULL), "NoError");
    assert_int_equal(number_at(root, "query_time", NULL), 1790000000100);
    assert_int_equal(json_array_size(json_object_get(root, "answers")), 2);
    assert_string_equal(text_at(json_array_get(json_object_get(root, "answers"), 1), "rdata", NULL), "192.0.2.8");
    assert_int_equal(number_at(root, "unmapped", "dns_sent"), 3);
    json_decref(root);
    s.flow.lookup = (struct record_lookup){.type = 28, .server_port = 53, .tcp = true, .rcode = 13};
    root = parse(format(&s, 9, 4));
    assert_string_equal(text_at(root, "query", "type"), "AAAA");
    assert_int_equal(number_at(root, "connection_info", "protocol_num"), 6);
    assert_int_equal(number_at(root, "rcode_id", NULL), 99);
    assert_string_equal(text_at(root, "rcode", NULL), "13");
    json_decref(root);
    s.flow.lookup.rcode = 0xff;
    root = parse(format(&s, 9, 4));
    assert_null(json_object_get(root, "rcode_id"));
    json_decref(root);
}

static void an_http_request(void **state)
{
    (void)state;
    struct target target = sample_target("files.test");
    struct record_flow r = sample_flow(RECORD_ATTEMPT, 5, "env-a", &target);
    r.http = true;
    r.method = span_text("GET");
    r.scheme = span_text("http");
    r.path = span_text("/a?k");
    r.has_hello = true;
    r.tls_version = 0x0304;
    struct sealed s = sealed_flow(r);
    json_t *root = parse(format(&s, 1, 1));
    assert_int_equal(number_at(root, "type_uid", NULL), 400203);
    assert_string_equal(text_at(root, "http_request", "http_method"), "GET");
    json_t *url = json_object_get(json_object_get(root, "http_request"), "url");
    assert_string_equal(text_at(url, "path", NULL), "/a?k");
    assert_string_equal(text_at(url, "hostname", NULL), "files.test");
    assert_string_equal(text_at(root, "tls", "version"), "1.3");
    json_decref(root);
    s.flow.method = span_text("BREW");
    root = parse(format(&s, 1, 1));
    assert_int_equal(number_at(root, "activity_id", NULL), 99);
    assert_string_equal(text_at(root, "activity_name", NULL), "BREW");
    json_decref(root);
}

static void hostile_strings_come_back_as_they_were(void **state)
{
    (void)state;
    static const char *const hostile[] = {
        "\",\"verdict\":\"allow\",\"x\":\"",
        "\\",
        "ends in \\\"",
        "line\r\nbreak\ttab",
        "\xc2\x85 and \xe2\x80\xa8",
        "},\"unmapped\":{\"env_seq\":999,\"boot\":\"",
        "\",\"tenant_uid\":\"other",
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        struct record_flow r = sample_flow(RECORD_ATTEMPT, 5, hostile[i], NULL);
        r.raw_target = r.agent = r.session = r.rule_id = span_text(hostile[i]);
        struct sealed s = sealed_flow(r);
        struct span text = format(&s, 8, 3);
        json_t *root = parse(text);
        assert_string_equal(text_at(root, "unmapped", "raw_target"), hostile[i]);
        assert_string_equal(text_at(root, "metadata", "tenant_uid"), hostile[i]);
        struct leaf_facts facts;
        assert_true(leaf_scan(text, &facts));
        assert_int_equal(facts.env_seq, 3);
        assert_int_equal(facts.sequence, 8);
        json_decref(root);
    }
}

static void the_longest_record_fits(void **state)
{
    (void)state;
    static const char fills[] = {'x', '"', '\x01', '\xff'};
    static char bytes[512];
    static char keys[EVENT_FACTS_MAX][32];
    for (size_t k = 0; k < EVENT_FACTS_MAX; k++)
        snprintf(keys[k], sizeof keys[k], "a_key_of_usual_length_%zu", k);
    struct target target = sample_target("files.test");
    struct ipaddr answers[16];
    for (size_t i = 0; i < 16; i++) {
        answers[i].family = 6;
        memset(answers[i].bytes, 0xab, 16);
    }
    for (size_t i = 0; i < sizeof fills; i++) {
        memset(bytes, fills[i], sizeof bytes);
        struct record_flow r = sample_flow(RECORD_OUTCOME, 5, "env-a", &target);
        struct span all = span_make(bytes, sizeof bytes);
        r.http = true;
        r.has_hello = true;
        r.answers = answers;
        r.answer_count = 16;
        r.has_peer_uid = true;
        r.path = all;
        r.method = r.scheme = r.door = span_first(all, 16);
        r.listener = r.environment = r.work = r.agent = r.session = span_first(all, 128);
        r.raw_target = span_first(all, 320);
        r.policy_id = r.rule_type = r.group_version = r.dns_result = span_first(all, 72);
        r.rule_id = r.sni = span_first(all, 255);
        struct sealed s = sealed_flow(r);
        struct span text = format(&s, UINT64_MAX / 2, UINT64_MAX / 2);
        json_t *root = parse(text);
        bool cut = json_is_true(json_object_get(json_object_get(root, "metadata"), "is_truncated"));
        assert_int_equal(cut, fills[i] != 'x' && fills[i] != '"');
        json_decref(root);
        struct leaf_facts facts;
        assert_true(leaf_scan(text, &facts));
        s = (struct sealed){
            .is_event = true, .event = {.event = EVENT_HEARTBEAT, .fact_count = EVENT_FACTS_MAX}
        };
        s.event.environment = s.event.subject = s.event.message = span_first(all, 128);
        for (size_t k = 0; k < EVENT_FACTS_MAX; k++)
            s.event.facts[k] = (struct event_fact){.key = keys[k], .text = span_first(all, 256)};
        text = format(&s, 1, 1);
        json_decref(parse(text));
        assert_true(leaf_scan(text, &facts));
    }
}

static void events(void **state)
{
    (void)state;
    struct sealed s = {
        .is_event = true,
        .wall_ms = 5,
        .event = {.event = EVENT_POLICY_LOADED,
                  .environment = span_text("env-a"),
                  .subject = span_text("p1"),
                  .message = span_text("loaded"),
                  .fact_count = 2,
                  .facts = {{.key = "blob", .text = span_text("0a\"b")}, {.key = "n", .is_number = true, .number = 4}}},
    };
    struct span text = format(&s, 3, 2);
    json_t *root = parse(text);
    assert_int_equal(number_at(root, "type_uid", NULL), 300410);
    assert_string_equal(text_at(root, "entity", "uid"), "p1");
    assert_string_equal(text_at(root, "unmapped", "blob"), "0a\"b");
    json_decref(root);
    struct leaf_facts facts;
    assert_true(leaf_scan(text, &facts));
    assert_int_equal(facts.kind, LEAF_EVENT);
    assert_int_equal(facts.event, EVENT_POLICY_LOADED);
    assert_int_equal(facts.env_seq, 2);
    assert_true(span_is(leaf_text(facts.unmapped, "blob"), "0a\\\"b"));
    assert_int_equal(leaf_text(facts.unmapped, "lob").len, 0);
    s.event = (struct record_event){.event = EVENT_LOG_STARTED};
    text = format(&s, 0, 0);
    root = parse(text);
    assert_int_equal(number_at(root, "type_uid", NULL), 100806);
    assert_string_equal(text_at(root, "log_name", NULL), "log.test/audit");
    json_decref(root);
    assert_true(leaf_scan(text, &facts));
    assert_false(facts.has_tenant);
    assert_int_equal(facts.event, EVENT_LOG_STARTED);
}

static void scanning_refuses_other_forms(void **state)
{
    (void)state;
    struct target target = sample_target("files.test");
    struct sealed s = sealed_flow(sample_flow(RECORD_ATTEMPT, 5, "env-a", &target));
    struct span text = format(&s, 8, 3);
    struct leaf_facts facts;
    assert_true(leaf_scan(text, &facts));
    assert_true(facts.allowed);
    assert_int_equal(facts.flow[0], 5);
    assert_true(span_is(facts.tenant, "env-a"));
    for (size_t len = 0; len < text.len; len++)
        assert_true(!leaf_scan(span_first(text, len), &facts) || text.data[len - 1] == '}');
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"action_id\":1}",
        "{\"action_id\":99999999999999999999999,\"metadata\":{\"event_code\":\"attempt\"",
        "{\"metadata\":{\"event_code\":\"attempt\",\"sequence\":1,\"uid\":\"\"},\"unmapped\":{\"boot\":\"\"}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(leaf_scan(span_text(bad[i]), &facts));
}

static int setup(void **state)
{
    (void)state;
    uint8_t boot[16];
    for (uint8_t i = 0; i < 16; i++)
        boot[i] = i;
    return leaf_context_init(&context, "log.test/audit", boot) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allowed_attempt),
        cmocka_unit_test(outcomes_and_denials),
        cmocka_unit_test(a_lookup),
        cmocka_unit_test(an_http_request),
        cmocka_unit_test(hostile_strings_come_back_as_they_were),
        cmocka_unit_test(the_longest_record_fits),
        cmocka_unit_test(events),
        cmocka_unit_test(scanning_refuses_other_forms),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
