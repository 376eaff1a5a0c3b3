/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the resolver that need no network: the cache, the merging of families, resolv.conf. */
#include "net_lab.h"

#include "answers.h"
#include "dns_cache.h"
#include "resolv_conf.h"

#include <stdio.h>
#include <string.h>

static struct hostname host(const char *text)
{
    struct hostname name;

    assert_int_equal(hostname_parse(span_text(text), &name), ERR_NONE);
    return name;
}

static struct hostname numbered(unsigned i)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "n%u.test", i);
    return host(text);
}

static struct dns_addresses found(uint32_t ttl_s, uint8_t count, uint8_t family)
{
    struct dns_addresses a = {.result = DNS_OK, .ttl_s = ttl_s, .count = count};

    for (uint8_t i = 0; i < count; i++) {
        a.addresses[i] = (struct ipaddr){.family = family, .bytes = {i}};
    }
    return a;
}

static struct dns_addresses nothing(enum dns_result result, uint32_t ttl_s)
{
    return (struct dns_addresses){.result = result, .ttl_s = ttl_s};
}

static struct dns_cache *make_cache(uint32_t entries)
{
    struct dns_cache_bounds bounds = {.entries = entries, .ttl_max_s = 100, .negative_ttl_s = 10};
    struct dns_cache *cache = NULL;

    assert_int_equal(dns_cache_new(&bounds, &cache), ERR_NONE);
    return cache;
}

static void test_cache_by_name_and_type(void **state)
{
    (void)state;
    struct dns_cache *cache = make_cache(10);
    struct hostname name = host("a.test");
    struct hostname other = host("b.test");
    struct dns_addresses a = found(50, 2, 4);

    dns_cache_store(cache, &name, DNS_TYPE_A, &a, 1000);
    const struct dns_addresses *hit = dns_cache_find(cache, &name, DNS_TYPE_A, 1000);

    assert_non_null(hit);
    assert_int_equal(hit->count, 2);
    assert_null(dns_cache_find(cache, &name, DNS_TYPE_AAAA, 1000));
    assert_null(dns_cache_find(cache, &other, DNS_TYPE_A, 1000));
    /* Stored again, it is replaced; stored with nothing to keep, it is gone. */
    a = found(50, 3, 4);
    dns_cache_store(cache, &name, DNS_TYPE_A, &a, 1000);
    assert_int_equal(dns_cache_count(cache), 1);
    assert_int_equal(dns_cache_find(cache, &name, DNS_TYPE_A, 1000)->count, 3);
    a = nothing(DNS_SERVFAIL, 50);
    dns_cache_store(cache, &name, DNS_TYPE_A, &a, 1000);
    assert_int_equal(dns_cache_count(cache), 0);
    dns_cache_free(cache);
    dns_cache_free(NULL);
}

static void test_cache_times(void **state)
{
    (void)state;
    static const struct {
        enum dns_result result;
        uint32_t ttl_s;
        uint32_t kept_s;
    } rows[] = {
        {DNS_OK,        50,         50 },
        {DNS_OK,        100000,     100},
        {DNS_OK,        UINT32_MAX, 100},
        {DNS_OK,        0,          0  },
        {DNS_NXDOMAIN,  5,          5  },
        {DNS_NXDOMAIN,  3600,       10 },
        {DNS_NODATA,    3600,       10 },
        {DNS_NODATA,    0,          0  },
        {DNS_SERVFAIL,  60,         0  },
        {DNS_REFUSED,   60,         0  },
        {DNS_MALFORMED, 60,         0  },
        {DNS_NO_SERVER, 60,         0  },
        {DNS_TIMEOUT,   60,         0  },
    };
    struct hostname name = host("a.test");

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dns_cache *cache = make_cache(10);
        struct dns_addresses a = nothing(rows[i].result, rows[i].ttl_s);
        uint64_t end_ms = 5000 + (uint64_t)rows[i].kept_s * 1000;

        dns_cache_store(cache, &name, DNS_TYPE_A, &a, 5000);
        if (rows[i].kept_s > 0) {
            assert_non_null(dns_cache_find(cache, &name, DNS_TYPE_A, end_ms - 1));
        }
        assert_null(dns_cache_find(cache, &name, DNS_TYPE_A, end_ms));
        assert_int_equal(dns_cache_count(cache), 0);
        dns_cache_free(cache);
    }
}

static void test_cache_is_bounded(void **state)
{
    (void)state;
    struct dns_cache *cache = make_cache(100);
    struct dns_addresses a = found(50, 1, 4);
    struct hostname kept = numbered(0);

    for (unsigned i = 0; i < 5000; i++) {
        struct hostname name = numbered(i);

        dns_cache_store(cache, &name, DNS_TYPE_A, &a, 1000);
        assert_non_null(dns_cache_find(cache, &kept, DNS_TYPE_A, 1000)); /* what is used stays */
        assert_int_equal(dns_cache_count(cache), i < 99 ? i + 1 : 100);
    }
    for (unsigned i = 1; i < 5000; i++) {
        struct hostname name = numbered(i);
        bool there = dns_cache_find(cache, &name, DNS_TYPE_A, 1000) != NULL;

        assert_int_equal(there, i > 4900); /* the latest 99 */
    }
    dns_cache_free(cache);
}

static void test_merge_results(void **state)
{
    (void)state;
    static const struct {
        enum dns_result a, aaaa, merged;
    } rows[] = {
        {DNS_NODATA,    DNS_NODATA,    DNS_NODATA   },
        {DNS_NXDOMAIN,  DNS_NXDOMAIN,  DNS_NXDOMAIN },
        {DNS_NXDOMAIN,  DNS_NODATA,    DNS_NODATA   },
        {DNS_NODATA,    DNS_NXDOMAIN,  DNS_NODATA   },
        {DNS_SERVFAIL,  DNS_NODATA,    DNS_SERVFAIL },
        {DNS_NODATA,    DNS_REFUSED,   DNS_REFUSED  },
        {DNS_NXDOMAIN,  DNS_TIMEOUT,   DNS_TIMEOUT  },
        {DNS_MALFORMED, DNS_SERVFAIL,  DNS_MALFORMED},
        {DNS_NO_SERVER, DNS_NO_SERVER, DNS_NO_SERVER},
    };
    struct answers out;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dns_addresses a = nothing(rows[i].a, 0);
        struct dns_addresses aaaa = nothing(rows[i].aaaa, 0);

        answers_merge((const struct dns_addresses *const[]){&a, &aaaa}, &out);
        assert_int_equal(out.result, rows[i].merged);
        assert_int_equal(out.count, 0);
    }
    answers_merge((const struct dns_addresses *const[]){NULL, NULL}, &out);
    assert_int_equal(out.result, DNS_TIMEOUT);
    struct dns_addresses no = nothing(DNS_NODATA, 0);

    answers_merge((const struct dns_addresses *const[]){&no, NULL}, &out);
    assert_int_equal(out.result, DNS_TIMEOUT);
}

static void test_merge_addresses(void **state)
{
    (void)state;
    struct dns_addresses a = found(1, 16, 4);
    struct dns_addresses aaaa = found(1, 16, 6);
    struct dns_addresses failed = nothing(DNS_SERVFAIL, 0);
    struct answers out;

    answers_merge((const struct dns_addresses *const[]){&a, &aaaa}, &out);
    assert_int_equal(out.count, 16);
    for (uint8_t i = 0; i < 16; i++) {
        assert_int_equal(out.addresses[i].family, i % 2 == 0 ? 4 : 6);
        assert_int_equal(out.addresses[i].bytes[0], i / 2);
    }
    aaaa.count = 2;
    answers_merge((const struct dns_addresses *const[]){&a, &aaaa}, &out);
    assert_int_equal(out.count, 16);
    assert_int_equal(out.addresses[15].bytes[0], 13);
    a.count = 1;
    answers_merge((const struct dns_addresses *const[]){&a, &failed}, &out);
    assert_int_equal(out.result, DNS_OK);
    assert_int_equal(out.count, 1);
    answers_merge((const struct dns_addresses *const[]){NULL, &aaaa}, &out);
    assert_int_equal(out.result, DNS_OK);
    assert_int_equal(out.count, 2);
}

static void test_resolv_conf(void **state)
{
    (void)state;
    static const char text[] = "# nameserver 1.1.1.1\n"
                               "nameserver 10.0.0.1\n"
                               "search corp.test\n"
                               "options ndots:5\n"
                               "\tnameserver\t 2001:DB8::53 trailing\r\n"
                               "nameserver fe80::1%eth0\n"
                               "nameserver\n"
                               "nameserver 1.2.3\n"
                               "nameservers 1.2.3.4\n"
                               "nameserver 0123456789012345678901234567890123456789012345678901234567890\n"
                               "nameserver 192.0.2.7";
    struct resolver_server servers[8];

    assert_int_equal(resolv_conf_parse(span_text(text), servers, 8), 3);
    assert_int_equal(servers[0].addr.family, 4);
    assert_int_equal(servers[0].addr.bytes[0], 10);
    assert_int_equal(servers[0].port, 53);
    assert_int_equal(servers[1].addr.family, 6);
    assert_int_equal(servers[1].addr.bytes[15], 0x53);
    assert_int_equal(servers[2].addr.bytes[3], 7);
    assert_int_equal(resolv_conf_parse(span_text(text), servers, 2), 2);
    assert_int_equal(resolv_conf_parse(span_text(""), servers, 8), 0);
    assert_int_equal(resolv_conf_parse(span_text("\n\n\n"), servers, 8), 0);
    assert_int_equal(resolv_conf_parse(span_make("nameserver 10.0.0.1\0", 20), servers, 8), 0);
    assert_int_equal(resolv_conf_read("/nonexistent/resolv.conf", servers, 8), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache_by_name_and_type), cmocka_unit_test(test_cache_times),
        cmocka_unit_test(test_cache_is_bounded),       cmocka_unit_test(test_merge_results),
        cmocka_unit_test(test_merge_addresses),        cmocka_unit_test(test_resolv_conf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
