/* SPDX-License-Identifier: Apache-2.0 */
/* resolver: against a name server that answers, lies, is slow, refuses or says nothing. */
#include "fake_dns.h"

#include "net/resolver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench {
    struct loop *loop;
    struct fake_dns *dns;
    struct resolver *resolver;
};

struct asked {
    struct lookup *lookup;
    struct answers answers;
    unsigned calls;
    bool inside;
    /* What the callback does besides. */
    struct asked *cancels;
    struct resolver *asks_again;
    enum err again;
};

static struct hostname host(const char *text)
{
    struct hostname name;

    assert_int_equal(hostname_parse(span_text(text), &name), ERR_NONE);
    return name;
}

static void bench_begin(struct bench *b, const struct resolver_options *options)
{
    static struct fake_dns dns;
    struct resolver_options with_server = *options;
    struct resolver_server server = {.addr = lab_loopback()};

    *b = (struct bench){.dns = &dns};
    assert_int_equal(loop_new(&b->loop), ERR_NONE);
    fake_dns_open(&dns, b->loop);
    server.port = dns.port;
    with_server.servers = &server;
    with_server.server_count = 1;
    assert_int_equal(resolver_new(b->loop, &with_server, &b->resolver), ERR_NONE);
}

static void bench_end(struct bench *b)
{
    resolver_free(b->resolver);
    fake_dns_close(b->dns);
    loop_turn(b->loop, 0);
    loop_free(b->loop);
}

static const struct lookup_calls note_calls;

static void note(void *arg, const struct answers *answers)
{
    struct asked *asked = arg;
    struct hostname name = host("again.test");
    struct answers ignored;

    assert_false(asked->inside);
    asked->answers = *answers;
    asked->calls++;
    if (asked->cancels != NULL) {
        resolver_cancel(asked->cancels->lookup);
    }
    if (asked->asks_again != NULL) {
        struct asked *other = calloc(1, sizeof(*other));

        asked->again = resolver_lookup(asked->asks_again, &name, 1000, &note_calls, other, &ignored, &other->lookup);
        asked->lookup = other->lookup;
        resolver_cancel(other->lookup);
        free(other);
    }
}

static const struct lookup_calls note_calls = {.answered = note};

static enum err ask(struct bench *b, const char *text, uint32_t timeout_ms, struct asked *asked)
{
    struct hostname name = host(text);

    *asked = (struct asked){.inside = true};
    enum err err = resolver_lookup(b->resolver, &name, timeout_ms, &note_calls, asked, &asked->answers, &asked->lookup);

    asked->inside = false;
    assert_int_equal(asked->calls, 0);
    return err;
}

/* Asks, waits for the callback and gives what came. */
static struct answers resolve(struct bench *b, const char *text)
{
    struct asked asked;

    if (ask(b, text, 5000, &asked) == ERR_AGAIN) {
        UNTIL(b->loop, asked.calls == 1);
        loop_turn(b->loop, 0);
        assert_int_equal(asked.calls, 1);
    }
    return asked.answers;
}

static const struct ipaddr four = {
    .family = 4, .bytes = {11, 22, 33, 1}
};
static const struct ipaddr six = {
    .family = 6, .bytes = {0x26, 0x06, 0, 1, [15] = 1}
};

static void check_both(const struct answers *answers)
{
    assert_int_equal(answers->result, DNS_OK);
    assert_int_equal(answers->count, 2);
    assert_true(ipaddr_equal(&answers->addresses[0], &four));
    assert_true(ipaddr_equal(&answers->addresses[1], &six));
}

static void test_both_families(void **state)
{
    (void)state;
    struct bench b;

    bench_begin(&b, &(struct resolver_options){0});
    struct answers answers = resolve(&b, "a.test");

    check_both(&answers);
    assert_int_equal(answers.queries_sent, 2);
    assert_int_equal(resolver_sent(b.resolver), 2);
    assert_int_equal(b.dns->count, 2);
    assert_int_equal(fake_dns_questions(b.dns, "a.test", DNS_TYPE_A), 1);
    assert_int_equal(fake_dns_questions(b.dns, "a.test", DNS_TYPE_AAAA), 1);
    /* The second time it comes from the cache, at once. */
    struct asked asked;

    assert_int_equal(ask(&b, "a.test", 5000, &asked), ERR_NONE);
    check_both(&asked.answers);
    assert_int_equal(asked.answers.queries_sent, 0);
    assert_int_equal(b.dns->count, 2);
    bench_end(&b);
}

static void test_one_family(void **state)
{
    (void)state;
    struct bench b;

    bench_begin(&b, &(struct resolver_options){0});
    struct answers answers = resolve(&b, "four.test");

    assert_int_equal(answers.result, DNS_OK);
    assert_int_equal(answers.count, 1);
    assert_true(ipaddr_equal(&answers.addresses[0], &four));
    bench_end(&b);
}

static void test_many_addresses(void **state)
{
    (void)state;
    struct bench b;

    bench_begin(&b, &(struct resolver_options){0});
    struct answers answers = resolve(&b, "many.test");

    assert_int_equal(answers.count, ANSWERS_MAX);
    assert_int_equal(answers.addresses[0].family, 4);
    assert_int_equal(answers.addresses[1].family, 6); /* not crowded out */
    assert_int_equal(answers.addresses[15].family, 4);
    bench_end(&b);
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum dns_result result;
        bool cached;
    } rows[] = {
        {"nx.test",        DNS_NXDOMAIN,  true },
        {"nodata.test",    DNS_NODATA,    true },
        {"servfail.test",  DNS_SERVFAIL,  false},
        {"refused.test",   DNS_REFUSED,   false},
        {"malformed.test", DNS_MALFORMED, false},
    };
    struct bench b;

    bench_begin(&b, &(struct resolver_options){0});
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct asked asked;
        struct answers answers = resolve(&b, rows[i].name);

        assert_int_equal(answers.result, rows[i].result);
        assert_int_equal(answers.count, 0);
        assert_int_equal(answers.queries_sent, 2);
        assert_int_equal(ask(&b, rows[i].name, 5000, &asked), rows[i].cached ? ERR_NONE : ERR_AGAIN);
        if (rows[i].cached) {
            assert_int_equal(asked.answers.result, rows[i].result);
        } else {
            resolver_cancel(asked.lookup);
        }
    }
    bench_end(&b);
}

static void test_silence(void **state)
{
    (void)state;
    struct bench b;
    struct asked asked;
    uint64_t since = lab_now_ms();

    bench_begin(&b, &(struct resolver_options){0});
    assert_int_equal(ask(&b, "silent.test", 40, &asked), ERR_AGAIN);
    UNTIL(b.loop, asked.calls == 1);
    assert_int_equal(asked.answers.result, DNS_TIMEOUT);
    assert_int_equal(asked.answers.count, 0);
    assert_int_equal(asked.answers.queries_sent, 2);
    assert_in_range(lab_now_ms() - since, 39, 4000);
    bench_end(&b); /* the queries are still under way */
}

static void test_nobody_listens(void **state)
{
    (void)state;
    struct bench b;
    uint16_t port;
    int fd = lab_tcp_listen(1, &port); /* UDP on the same port is free */
    struct resolver_server server = {.addr = lab_loopback(), .port = port};
    struct resolver_options options = {.servers = &server, .server_count = 1};
    struct resolver *other = NULL;
    struct asked asked = {0};
    struct hostname name = host("a.test");

    bench_begin(&b, &(struct resolver_options){0});
    assert_int_equal(resolver_new(b.loop, &options, &other), ERR_NONE);
    assert_int_equal(resolver_lookup(other, &name, 5000, &note_calls, &asked, &asked.answers, &asked.lookup),
                     ERR_AGAIN);
    UNTIL(b.loop, asked.calls == 1);
    assert_int_equal(asked.answers.result, DNS_NO_SERVER);
    resolver_free(other);
    close(fd);
    bench_end(&b);
}

static void test_second_server(void **state)
{
    (void)state;
    struct bench b;
    static struct fake_dns bad;
    struct resolver *two = NULL;
    struct asked asked = {0};
    struct hostname name = host("a.test");
    struct hostname bad_name = host("servfail.test");

    bench_begin(&b, &(struct resolver_options){0});
    fake_dns_open(&bad, b.loop);
    bad.refuses = true;
    struct resolver_server servers[2] = {
        {.addr = lab_loopback(), .port = bad.port   },
        {.addr = lab_loopback(), .port = b.dns->port}
    };
    struct resolver_options options = {.servers = servers, .server_count = 2};

    assert_int_equal(resolver_new(b.loop, &options, &two), ERR_NONE);
    assert_int_equal(resolver_lookup(two, &name, 5000, &note_calls, &asked, &asked.answers, &asked.lookup), ERR_AGAIN);
    UNTIL(b.loop, asked.calls == 1);
    check_both(&asked.answers);
    assert_int_equal(asked.answers.queries_sent, 4);
    assert_int_equal(bad.count, 2);
    /* All of them refuse: that is what is told, not that nobody was there. */
    asked = (struct asked){0};
    assert_int_equal(resolver_lookup(two, &bad_name, 5000, &note_calls, &asked, &asked.answers, &asked.lookup),
                     ERR_AGAIN);
    UNTIL(b.loop, asked.calls == 1);
    assert_int_equal(asked.answers.result, DNS_SERVFAIL);
    resolver_free(two);
    fake_dns_close(&bad);
    bench_end(&b);
}

static void test_lies_are_ignored(void **state)
{
    (void)state;
    struct bench b;

    bench_begin(&b, &(struct resolver_options){0});
    struct answers answers = resolve(&b, "lies.test");

    check_both(&answers);
    assert_int_equal(answers.queries_sent, 2);
    /* More letters, more lies: more than are looked at in one turn. */
    answers = resolve(
        &b, "lies-of-a-name-that-has-so-very-many-letters.that-the-flood-of-them-takes-more-than-one-turn.test");
    check_both(&answers);
    assert_int_equal(answers.queries_sent, 2);
    assert_int_equal(b.dns->count, 4);
    bench_end(&b);
}

static void test_case_is_mixed(void **state)
{
    (void)state;
    struct bench b;

    bench_begin(&b, &(struct resolver_options){0});
    resolve(&b, "some-letters-to-mix.test");
    assert_true(b.dns->log[0].mixed_case);
    assert_true(b.dns->log[1].mixed_case);
    bench_end(&b);
}

static void test_truncated_goes_on_over_tcp(void **state)
{
    (void)state;
    struct bench b;

    bench_begin(&b, &(struct resolver_options){0});
    struct answers answers = resolve(&b, "truncated.test");

    check_both(&answers);
    assert_int_equal(answers.queries_sent, 4);
    assert_int_equal(resolver_sent(b.resolver), 4);
    size_t tcp = 0;
    for (size_t i = 0; i < b.dns->count; i++) {
        tcp += b.dns->log[i].tcp ? 1 : 0;
    }
    assert_int_equal(tcp, 2);
    bench_end(&b);
}

static void test_late_family_goes_to_the_cache(void **state)
{
    (void)state;
    struct bench b;
    struct asked asked;
    uint64_t since = lab_now_ms();

    bench_begin(&b, &(struct resolver_options){0});
    assert_int_equal(ask(&b, "slow.test", 5000, &asked), ERR_AGAIN);
    UNTIL(b.loop, asked.calls == 1);
    assert_in_range(lab_now_ms() - since, 49, 4500);
    assert_int_equal(asked.answers.result, DNS_OK);
    assert_int_equal(asked.answers.count, 1);
    assert_true(ipaddr_equal(&asked.answers.addresses[0], &four));
    assert_int_equal(asked.answers.queries_sent, 2);
    fake_dns_release(b.dns);
    /* Not a word to the one who asked; the next one gets both at once. */
    struct asked next;
    while (ask(&b, "slow.test", 5000, &next) == ERR_AGAIN) {
        resolver_cancel(next.lookup);
        loop_turn(b.loop, 10);
    }
    check_both(&next.answers);
    assert_int_equal(next.answers.queries_sent, 0);
    assert_int_equal(asked.calls, 1);
    assert_int_equal(b.dns->count, 2);
    bench_end(&b);
}

/* One family still in the cache, the other one has to be asked for: it is awaited for a moment. */
static void test_half_cached(void **state)
{
    (void)state;
    struct bench b;
    struct asked asked;

    bench_begin(&b, &(struct resolver_options){.second_family_ms = 30});
    b.dns->ttl_s = 100;
    assert_int_equal(ask(&b, "slow.test", 5000, &asked), ERR_AGAIN);
    UNTIL(b.loop, asked.calls == 1);
    b.dns->held_len = 0;
    b.dns->mute = true;
    assert_int_equal(ask(&b, "slow.test", 5000, &asked), ERR_AGAIN);
    UNTIL(b.loop, asked.calls == 1);
    assert_int_equal(asked.answers.count, 1);
    assert_int_equal(asked.answers.queries_sent, 0); /* it shared the query that is still under way */
    bench_end(&b);
}

static void test_equal_names_share(void **state)
{
    (void)state;
    struct bench b;
    struct asked asked[3];

    bench_begin(&b, &(struct resolver_options){0});
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ask(&b, "a.test", 5000, &asked[i]), ERR_AGAIN);
    }
    resolver_cancel(asked[0].lookup); /* the first one, which asked */
    UNTIL(b.loop, asked[1].calls == 1 && asked[2].calls == 1);
    assert_int_equal(asked[0].calls, 0);
    check_both(&asked[1].answers);
    check_both(&asked[2].answers);
    assert_int_equal(b.dns->count, 2);
    bench_end(&b);
}

static void test_ttl(void **state)
{
    (void)state;
    struct bench b;
    struct asked asked;

    bench_begin(&b, &(struct resolver_options){.ttl_max_s = 100, .negative_ttl_s = 7});
    b.dns->ttl_s = 20;
    resolve(&b, "a.test");
    loop_skip_ms(b.loop, 19000);
    assert_int_equal(ask(&b, "a.test", 5000, &asked), ERR_NONE);
    loop_skip_ms(b.loop, 1001);
    assert_int_equal(ask(&b, "a.test", 5000, &asked), ERR_AGAIN);
    UNTIL(b.loop, asked.calls == 1);
    b.dns->ttl_s = 5000; /* more than is believed */
    resolve(&b, "b.test");
    resolve(&b, "nx.test");
    loop_skip_ms(b.loop, 6000);
    assert_int_equal(ask(&b, "nx.test", 5000, &asked), ERR_NONE);
    loop_skip_ms(b.loop, 1100);
    assert_int_equal(ask(&b, "nx.test", 5000, &asked), ERR_AGAIN);
    UNTIL(b.loop, asked.calls == 1);
    loop_skip_ms(b.loop, 91000);
    assert_int_equal(ask(&b, "b.test", 5000, &asked), ERR_NONE);
    loop_skip_ms(b.loop, 3000);
    assert_int_equal(ask(&b, "b.test", 5000, &asked), ERR_AGAIN);
    UNTIL(b.loop, asked.calls == 1);
    b.dns->ttl_s = 0;
    resolve(&b, "zero.test");
    assert_int_equal(ask(&b, "zero.test", 5000, &asked), ERR_AGAIN);
    resolver_cancel(asked.lookup);
    bench_end(&b);
}

/* Cancelled after any number of turns, at every kind of name. */
static void test_cancel_at_each_step(void **state)
{
    (void)state;
    static const char *const names[] = {"a.test",    "truncated.test", "servfail.test",
                                        "slow.test", "lies.test",      "silent.test"};
    struct bench b;

    bench_begin(&b, &(struct resolver_options){.ttl_max_s = 1});
    b.dns->ttl_s = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (unsigned turns = 0; turns < 8; turns++) {
            struct asked asked;

            assert_int_equal(ask(&b, names[i], 5000, &asked), ERR_AGAIN);
            for (unsigned t = 0; t < turns && asked.calls == 0; t++) {
                loop_turn(b.loop, 0);
            }
            if (asked.calls == 0) {
                resolver_cancel(asked.lookup);
                loop_turn(b.loop, 1);
                loop_turn(b.loop, 1);
                assert_int_equal(asked.calls, 0);
            }
        }
    }
    bench_end(&b);
}

static void test_cancel_and_ask_inside_the_callback(void **state)
{
    (void)state;
    struct bench b;
    struct asked asked[3];

    bench_begin(&b, &(struct resolver_options){0});
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ask(&b, "a.test", 5000, &asked[i]), ERR_AGAIN);
    }
    /* Whoever of these two comes first cancels the other, which is complete already. */
    asked[0].cancels = &asked[1];
    asked[1].cancels = &asked[0];
    asked[2].asks_again = b.resolver;
    UNTIL(b.loop, asked[0].calls + asked[1].calls == 1 && asked[2].calls == 1);
    loop_turn(b.loop, 5);
    assert_int_equal(asked[0].calls + asked[1].calls, 1);
    assert_int_equal(asked[2].again, ERR_AGAIN);
    bench_end(&b);
}

static void test_pending_is_bounded(void **state)
{
    (void)state;
    struct bench b;
    struct asked asked[4];

    bench_begin(&b, &(struct resolver_options){.pending_max = 3});
    assert_int_equal(ask(&b, "silent1.test", 5000, &asked[0]), ERR_AGAIN);
    assert_int_equal(ask(&b, "silent2.test", 5000, &asked[1]), ERR_AGAIN);
    assert_int_equal(ask(&b, "silent3.test", 5000, &asked[2]), ERR_AGAIN);
    assert_int_equal(ask(&b, "silent4.test", 5000, &asked[3]), ERR_TOO_BIG);
    assert_int_equal(fake_dns_questions(b.dns, "silent4.test", DNS_TYPE_A), 0);
    resolver_cancel(asked[0].lookup);
    /* Its queries are still under way, and count. */
    assert_int_equal(ask(&b, "silent4.test", 5000, &asked[3]), ERR_TOO_BIG);
    resolver_cancel(asked[1].lookup);
    resolver_cancel(asked[2].lookup);
    bench_end(&b);
}

/* Ports change: with the number of queries, and with time. */
static void test_channels_rotate(void **state)
{
    (void)state;
    struct bench b;
    static struct asked asked[200];
    char name[40];
    unsigned ports = 0;

    bench_begin(&b, &(struct resolver_options){0});
    for (unsigned i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "n%u.test", i);
        assert_int_equal(ask(&b, name, 5000, &asked[i]), ERR_AGAIN);
    }
    for (unsigned i = 0; i < 200; i++) {
        UNTIL(b.loop, asked[i].calls == 1);
        check_both(&asked[i].answers);
    }
    assert_int_equal(b.dns->count, 400);
    for (size_t i = 0; i < b.dns->count; i++) {
        bool seen = false;
        unsigned same = 0;

        for (size_t j = 0; j < b.dns->count; j++) {
            seen = seen || (j < i && b.dns->log[j].from_port == b.dns->log[i].from_port);
            same += b.dns->log[j].from_port == b.dns->log[i].from_port ? 1 : 0;
        }
        assert_true(same <= 128);
        ports += seen ? 0 : 1;
    }
    assert_in_range(ports, 4, 400);
    /* One query stays under way on the old channel; a second later there is a new one. */
    struct asked slow;

    b.dns->count = 0;
    assert_int_equal(ask(&b, "silent.test", 60000, &slow), ERR_AGAIN);
    UNTIL(b.loop, b.dns->count == 2);
    loop_skip_ms(b.loop, 1100);
    resolve(&b, "later.test");
    assert_int_not_equal(b.dns->log[b.dns->count - 1].from_port, b.dns->log[0].from_port);
    resolver_cancel(slow.lookup);
    bench_end(&b);
}

/* Questions with a note each. */
struct noted {
    unsigned begun, ended, unsent, sent;
    struct lookup_question last[2]; /* by family */
    bool refuses;
};

static void noted_answered(void *arg, const struct answers *answers)
{
    (void)arg;
    (void)answers;
}

static void *noted_begins(void *arg, unsigned count)
{
    struct noted *noted = arg;

    noted->begun += noted->refuses ? 0 : count;
    return noted->refuses ? NULL : noted;
}

static void noted_ended(void *arg, const struct lookup_question *question)
{
    struct noted *noted = arg;

    noted->ended++;
    if (question == NULL) {
        noted->unsent++;
        return;
    }
    noted->sent += question->sent;
    noted->last[question->type == DNS_TYPE_AAAA] = *question;
}

static const struct lookup_calls noted_calls = {noted_answered, noted_begins, noted_ended};

/* Each question that leaves is noted once, by the lookup that it left for, and ends once, whoever still waits. */
static void test_notes(void **state)
{
    (void)state;
    struct bench b;
    struct noted first = {0}, second = {0}, none = {.refuses = true};
    struct hostname name = host("a.test"), silent = host("silent.test");
    struct lookup *lookup, *other;
    struct answers out;

    bench_begin(&b, &(struct resolver_options){0});
    assert_int_equal(resolver_lookup(b.resolver, &name, 5000, &noted_calls, &none, &out, &lookup), ERR_BUSY);
    assert_int_equal(resolver_lookup(b.resolver, &name, 5000, &noted_calls, &first, &out, &lookup), ERR_AGAIN);
    assert_int_equal(resolver_lookup(b.resolver, &name, 5000, &noted_calls, &second, &out, &other), ERR_AGAIN);
    resolver_cancel(lookup);
    UNTIL(b.loop, first.ended == 2);
    assert_int_equal(first.begun, 2);
    assert_int_equal(first.sent, 2);
    assert_int_equal(second.begun + second.ended, 0); /* it joined */
    assert_int_equal(first.last[0].rcode, 0);
    assert_int_equal(first.last[0].server.port, b.dns->port);
    assert_int_equal(first.last[0].server.addr.family, 4);
    assert_false(first.last[0].tcp);
    assert_int_equal(b.dns->count, 2);
    /* From the cache: nothing begins. */
    assert_int_equal(resolver_lookup(b.resolver, &name, 5000, &noted_calls, &none, &out, &lookup), ERR_NONE);
    assert_false(out.joined);
    /* What is still asked at the end has ended before the resolver has. */
    first = (struct noted){0};
    assert_int_equal(resolver_lookup(b.resolver, &silent, 5000, &noted_calls, &first, &out, &lookup), ERR_AGAIN);
    UNTIL(b.loop, b.dns->count == 4);
    assert_int_equal(resolver_cancel(lookup), 2);
    assert_int_equal(first.ended, 0);
    resolver_free(b.resolver);
    b.resolver = NULL;
    assert_int_equal(first.begun, 2);
    assert_int_equal(first.ended, 2);
    assert_int_equal(first.sent, 2);
    assert_int_equal(first.last[1].rcode, DNS_RCODE_NONE);
    bench_end(&b);
}

/* What the C library and c-ares would obey must change nothing. */
static void test_environment_is_ignored(void **state)
{
    (void)state;
    struct bench b;

    assert_int_equal(setenv("LOCALDOMAIN", "corp.test other.test", 1), 0);
    assert_int_equal(setenv("RES_OPTIONS", "ndots:15 retrans:1 retry:1 rotate", 1), 0);
    assert_int_equal(setenv("HOSTALIASES", "/etc/hostname", 1), 0);
    assert_int_equal(setenv("CARES_HOSTS", "/etc/hosts", 1), 0);
    assert_int_equal(setenv("EVENT_NOEPOLL", "1", 1), 0);
    bench_begin(&b, &(struct resolver_options){0});
    assert_int_equal(resolve(&b, "nx.test").result, DNS_NXDOMAIN);
    assert_int_equal(resolve(&b, "nx").result, DNS_NXDOMAIN);
    assert_int_equal(b.dns->count, 4);
    assert_int_equal(fake_dns_questions(b.dns, "nx.test", DNS_TYPE_A), 1);
    assert_int_equal(fake_dns_questions(b.dns, "nx", DNS_TYPE_A), 1);
    /* "localhost" is asked for like any name: no hosts file, no answer of the library's own. */
    struct answers answers = resolve(&b, "localhost");

    check_both(&answers);
    /* retrans:1 would repeat the question every millisecond. */
    struct asked asked;

    assert_int_equal(ask(&b, "silent.test", 60, &asked), ERR_AGAIN);
    UNTIL(b.loop, asked.calls == 1);
    assert_int_equal(fake_dns_questions(b.dns, "silent.test", DNS_TYPE_A), 1);
    bench_end(&b);
    unsetenv("LOCALDOMAIN");
    unsetenv("RES_OPTIONS");
    unsetenv("HOSTALIASES");
    unsetenv("CARES_HOSTS");
    unsetenv("EVENT_NOEPOLL");
}

/* A lost question is repeated, whatever the environment says of repeating. */
static void test_repeats(void **state)
{
    (void)state;
    struct bench b;
    struct asked asked;

    assert_int_equal(setenv("RES_OPTIONS", "retry:1", 1), 0);
    bench_begin(&b, &(struct resolver_options){0});
    b.dns->mute = true;
    assert_int_equal(ask(&b, "a.test", 5000, &asked), ERR_AGAIN);
    UNTIL(b.loop, b.dns->count == 2);
    b.dns->mute = false;
    UNTIL(b.loop, asked.calls == 1);
    check_both(&asked.answers);
    assert_int_equal(asked.answers.queries_sent, 4);
    bench_end(&b);
    unsetenv("RES_OPTIONS");
}

static void test_options(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct resolver *resolver = NULL;
    struct resolver_server servers[9];
    struct resolver_options options = {.servers = servers, .server_count = 9};

    memset(servers, 0, sizeof(servers));
    assert_int_equal(loop_new(&loop), ERR_NONE);
    assert_int_equal(resolver_new(loop, &options, &resolver), ERR_INVALID);
    assert_null(resolver);
    options = (struct resolver_options){0};
    assert_int_equal(resolver_new(loop, &options, &resolver), ERR_NONE); /* whatever /etc/resolv.conf says */
    resolver_free(resolver);
    resolver_free(NULL);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_families),
        cmocka_unit_test(test_one_family),
        cmocka_unit_test(test_many_addresses),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_second_server),
        cmocka_unit_test(test_lies_are_ignored),
        cmocka_unit_test(test_case_is_mixed),
        cmocka_unit_test(test_truncated_goes_on_over_tcp),
        cmocka_unit_test(test_late_family_goes_to_the_cache),
        cmocka_unit_test(test_half_cached),
        cmocka_unit_test(test_equal_names_share),
        cmocka_unit_test(test_ttl),
        cmocka_unit_test(test_cancel_at_each_step),
        cmocka_unit_test(test_cancel_and_ask_inside_the_callback),
        cmocka_unit_test(test_pending_is_bounded),
        cmocka_unit_test(test_channels_rotate),
        cmocka_unit_test(test_environment_is_ignored),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
