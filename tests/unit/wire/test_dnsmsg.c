/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/dnsmsg.h"

#include <stdlib.h>

#define QNAME                                                                                                          \
    "\x07"                                                                                                             \
    "allowed"                                                                                                          \
    "\x04"                                                                                                             \
    "test"                                                                                                             \
    "\0"
#define QA    QNAME "\x00\x01\x00\x01"
#define PTR   "\xc0\x0c" /* to the question's name */
#define IN_A  "\x00\x01\x00\x01"
#define TTL60 "\x00\x00\x00\x3c"
#define A1                                                                                                             \
    PTR IN_A TTL60 "\x00\x04"                                                                                          \
                   "\x0b\x16\x21\x2c"
#define OK                          "\x81\x80"
#define ONE                         "\x00\x01"
#define NIL                         "\x00\x00"
#define HEAD(flags, qd, an, ns, ar) "\x12\x34" flags qd an ns ar
#define ANSWER1                     HEAD(OK, ONE, ONE, NIL, NIL) QA
#define SOA_TAIL                    "\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04"
#define L60                         "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh"

static struct hostname name_of(const char *text)
{
    struct hostname name;
    assert_int_equal(hostname_parse(span_text(text), &name), ERR_NONE);
    return name;
}

static struct dns_addresses read_as(struct span message, const char *host, enum dns_type type)
{
    struct hostname name = name_of(host);
    struct dns_addresses out;
    memset(&out, 0x55, sizeof out);
    uint8_t *copy = malloc(message.len == 0 ? 1 : message.len); /* exact, so that a read behind the end shows */
    assert_non_null(copy);
    if (message.len > 0)
        memcpy(copy, message.data, message.len);
    dnsmsg_answer(span_make(copy, message.len), &name, type, &out);
    free(copy);
    return out;
}

struct row {
    const char *id;
    struct span message;
    enum dns_result result;
    unsigned count;
    uint32_t ttl_s;
};

#define ROW(id, bytes, result, count, ttl)                                                                             \
    {                                                                                                                  \
        id, {(const uint8_t *)(bytes), sizeof(bytes) - 1}, result, count, ttl                                          \
    }

/* clang-format off */
static const struct row rows[] = {
    ROW("one address", ANSWER1 A1, DNS_OK, 1, 60),
    ROW("owner in other case", ANSWER1 "\x07" "ALLowed" "\x04" "TEST" "\0" IN_A TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_OK, 1, 60),
    ROW("two addresses, least ttl", HEAD(OK, ONE, "\x00\x02", NIL, NIL) QA A1 PTR IN_A "\x00\x00\x00\x05" "\x00\x04" "\x0b\x16\x21\x2d", DNS_OK, 2, 5),
    ROW("ttl with the top bit", ANSWER1 PTR IN_A "\x80\x00\x00\x01" "\x00\x04" "\x0b\x16\x21\x2c", DNS_OK, 1, 0),
    ROW("D-12 other owner", ANSWER1 "\x05" "other" "\x04" "test" "\0" IN_A TTL60 "\x00\x04" "\x7f\x00\x00\x01", DNS_NODATA, 0, 0),
    ROW("D-12 other owner beside", HEAD(OK, ONE, "\x00\x02", NIL, NIL) QA "\x05" "other" "\x04" "test" "\0" IN_A TTL60 "\x00\x04" "\x7f\x00\x00\x01" A1, DNS_OK, 1, 60),
    ROW("D-12 other type", ANSWER1 PTR "\x00\x10\x00\x01" TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_NODATA, 0, 0),
    ROW("D-12 other class", ANSWER1 PTR "\x00\x01\x00\x03" TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_NODATA, 0, 0),
    ROW("D-12 authority and additional", HEAD(OK, ONE, NIL, ONE, ONE) QA A1 A1, DNS_NODATA, 0, 0),
    ROW("D-12 subdomain is another owner", ANSWER1 "\x01" "a" PTR IN_A TTL60 "\x00\x04" "\x7f\x00\x00\x01", DNS_NODATA, 0, 0),
    ROW("D-13 dot inside a label", ANSWER1 "\x0c" "allowed.test" "\0" IN_A TTL60 "\x00\x04" "\x7f\x00\x00\x01", DNS_NODATA, 0, 0),
    ROW("D-13 NUL behind the name", ANSWER1 "\x08" "allowed\0" "\x04" "test" "\0" IN_A TTL60 "\x00\x04" "\x7f\x00\x00\x01", DNS_NODATA, 0, 0),
    ROW("D-14 loop", ANSWER1 "\xc0\x1e" IN_A TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_MALFORMED, 0, 0),
    ROW("D-14 forward", ANSWER1 "\xc0\x20" IN_A TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_MALFORMED, 0, 0),
    ROW("D-14 past the end", ANSWER1 "\xff\xff" IN_A TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_MALFORMED, 0, 0),
    ROW("D-14 pointer into the head loops", ANSWER1 "\xc0\x00" IN_A TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_MALFORMED, 0, 0),
    ROW("D-14 label 0x80", ANSWER1 "\x80" IN_A TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_MALFORMED, 0, 0),
    ROW("D-14 label 0xbf", ANSWER1 "\xbf" IN_A TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_MALFORMED, 0, 0),
    ROW("D-14 label of 64 bytes that are there", ANSWER1 "\x40" L60 "abcd" "\0" IN_A TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_MALFORMED, 0, 0),
    ROW("D-14 label 0x40", ANSWER1 "\x40" IN_A TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_MALFORMED, 0, 0),
    ROW("D-14 RDLENGTH too long", ANSWER1 PTR IN_A TTL60 "\x00\x05" "\x0b\x16\x21\x2c", DNS_MALFORMED, 0, 0),
    ROW("D-14 RDLENGTH not of an address", ANSWER1 PTR IN_A TTL60 "\x00\x03" "\x0b\x16\x21", DNS_MALFORMED, 0, 0),
    ROW("D-14 address of five bytes", ANSWER1 PTR IN_A TTL60 "\x00\x05" "\x0b\x16\x21\x2c" "x", DNS_MALFORMED, 0, 0),
    ROW("D-14 ANCOUNT 65535", HEAD(OK, ONE, "\xff\xff", NIL, NIL) QA A1, DNS_MALFORMED, 0, 0),
    ROW("D-14 RDLENGTH too long in additional", HEAD(OK, ONE, ONE, NIL, ONE) QA A1 PTR IN_A TTL60 "\x00\x05" "\x0b\x16\x21\x2c", DNS_MALFORMED, 0, 0),
    ROW("trailing byte", ANSWER1 A1 "x", DNS_MALFORMED, 0, 0),
    ROW("D-15 empty", "", DNS_MALFORMED, 0, 0),
    ROW("head alone", "\x12\x34" OK ONE NIL NIL, DNS_MALFORMED, 0, 0),
    ROW("a query", HEAD("\x01\x00", ONE, NIL, NIL, NIL) QA, DNS_MALFORMED, 0, 0),
    ROW("D-16 truncated", HEAD("\x83\x80", ONE, ONE, NIL, NIL) QA A1, DNS_MALFORMED, 0, 0),
    ROW("another opcode", HEAD("\xa1\x80", ONE, ONE, NIL, NIL) QA A1, DNS_MALFORMED, 0, 0),
    ROW("another question", HEAD(OK, ONE, ONE, NIL, NIL) "\x05" "other" "\x04" "test" "\0" IN_A A1, DNS_MALFORMED, 0, 0),
    ROW("another type asked", HEAD(OK, ONE, ONE, NIL, NIL) QNAME "\x00\x1c\x00\x01" A1, DNS_MALFORMED, 0, 0),
    ROW("two questions", HEAD(OK, "\x00\x02", ONE, NIL, NIL) QA QA A1, DNS_MALFORMED, 0, 0),
    ROW("no question", HEAD(OK, NIL, ONE, NIL, NIL) A1, DNS_MALFORMED, 0, 0),
    ROW("D-18 SERVFAIL", HEAD("\x81\x82", ONE, NIL, NIL, NIL) QA, DNS_SERVFAIL, 0, 0),
    ROW("D-18 REFUSED", HEAD("\x81\x85", ONE, NIL, NIL, NIL) QA, DNS_REFUSED, 0, 0),
    ROW("D-18 REFUSED without question", HEAD("\x81\x85", NIL, NIL, NIL, NIL), DNS_REFUSED, 0, 0),
    ROW("D-18 NOTIMP", HEAD("\x81\x84", ONE, NIL, NIL, NIL) QA, DNS_REFUSED, 0, 0),
    ROW("D-18 NXDOMAIN", HEAD("\x81\x83", ONE, NIL, NIL, NIL) QA, DNS_NXDOMAIN, 0, 0),
    ROW("NXDOMAIN without question", HEAD("\x81\x83", NIL, NIL, NIL, NIL), DNS_MALFORMED, 0, 0),
    ROW("NXDOMAIN with an address", HEAD("\x81\x83", ONE, ONE, NIL, NIL) QA A1, DNS_NXDOMAIN, 0, 0),
    ROW("D-18 NODATA", HEAD(OK, ONE, NIL, NIL, NIL) QA, DNS_NODATA, 0, 0),
    ROW("NXDOMAIN, SOA of test", HEAD("\x81\x83", ONE, NIL, ONE, NIL) QA "\xc0\x14" "\x00\x06\x00\x01" "\x00\x00\x01\x00" "\x00\x18" "\xc0\x14" "\xc0\x14" SOA_TAIL "\x00\x00\x00\x1e", DNS_NXDOMAIN, 0, 30),
    ROW("NODATA, SOA record's own ttl is less", HEAD(OK, ONE, NIL, ONE, NIL) QA "\x00" "\x00\x06\x00\x01" "\x00\x00\x00\x07" "\x00\x16" "\x00\x00" SOA_TAIL "\x00\x00\x00\x1e", DNS_NODATA, 0, 7),
    ROW("NODATA, SOA of another zone", HEAD(OK, ONE, NIL, ONE, NIL) QA "\x05" "other" "\0" "\x00\x06\x00\x01" "\x00\x00\x00\x07" "\x00\x16" "\x00\x00" SOA_TAIL "\x00\x00\x00\x1e", DNS_NODATA, 0, 0),
    ROW("SOA cut short", HEAD(OK, ONE, NIL, ONE, NIL) QA "\x00" "\x00\x06\x00\x01" "\x00\x00\x00\x07" "\x00\x12" "\x00\x00" SOA_TAIL, DNS_MALFORMED, 0, 0),
    /* allowed.test -> a.test -> address, in both orders; 0x14 is "test" of the question, 0x2a is a.test */
    ROW("CNAME", HEAD(OK, ONE, "\x00\x02", NIL, NIL) QA PTR "\x00\x05\x00\x01" "\x00\x00\x00\x0a" "\x00\x04" "\x01" "a" "\xc0\x14" "\xc0\x2a" IN_A TTL60 "\x00\x04" "\x0b\x16\x21\x2c", DNS_OK, 1, 10),
    ROW("CNAME behind its address", HEAD(OK, ONE, "\x00\x02", NIL, NIL) QA "\x01" "a" "\xc0\x14" IN_A TTL60 "\x00\x04" "\x0b\x16\x21\x2c" PTR "\x00\x05\x00\x01" "\x00\x00\x00\x0a" "\x00\x04" "\x01" "a" "\xc0\x14", DNS_OK, 1, 10),
    ROW("CNAME alone", HEAD(OK, ONE, ONE, NIL, NIL) QA PTR "\x00\x05\x00\x01" "\x00\x00\x00\x0a" "\x00\x04" "\x01" "a" "\xc0\x14", DNS_NODATA, 0, 0),
    ROW("CNAME to itself", HEAD(OK, ONE, ONE, NIL, NIL) QA PTR "\x00\x05\x00\x01" "\x00\x00\x00\x0a" "\x00\x02" PTR, DNS_MALFORMED, 0, 0),
    ROW("CNAME with a byte behind its name", HEAD(OK, ONE, ONE, NIL, NIL) QA PTR "\x00\x05\x00\x01" "\x00\x00\x00\x0a" "\x00\x05" "\x01" "a" "\xc0\x14" "x", DNS_MALFORMED, 0, 0),
    ROW("D-13 CNAME of 255 bytes and more", HEAD(OK, ONE, ONE, NIL, NIL) QA PTR "\x00\x05\x00\x01" "\x00\x00\x00\x0a" "\x01\x32" "\x3c" L60 "\x3c" L60 "\x3c" L60 "\x3c" L60 "\x3c" L60 "\0", DNS_MALFORMED, 0, 0),
    ROW("CNAME of 255 bytes", HEAD(OK, ONE, ONE, NIL, NIL) QA PTR "\x00\x05\x00\x01" "\x00\x00\x00\x0a" "\x00\xff" "\x3f" L60 "abc" "\x3f" L60 "abc" "\x3f" L60 "abc" "\x3d" L60 "a" "\0", DNS_NODATA, 0, 0),
    ROW("CNAME of 256 bytes", HEAD(OK, ONE, ONE, NIL, NIL) QA PTR "\x00\x05\x00\x01" "\x00\x00\x00\x0a" "\x01\x00" "\x3f" L60 "abc" "\x3f" L60 "abc" "\x3f" L60 "abc" "\x3e" L60 "ab" "\0", DNS_MALFORMED, 0, 0),
    ROW("D-13 CNAME with control bytes", HEAD(OK, ONE, ONE, NIL, NIL) QA PTR "\x00\x05\x00\x01" "\x00\x00\x00\x0a" "\x00\x07" "\x05" "a\0\n .\0", DNS_NODATA, 0, 0),
};
/* clang-format on */

static void reads_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct dns_addresses got = read_as(row->message, "allowed.test", DNS_TYPE_A);
        if (got.result != row->result || got.count != row->count || got.ttl_s != row->ttl_s)
            fail_msg("%s: %s, %u addresses, ttl %u", row->id, dns_result_text(got.result), got.count, got.ttl_s);
        if (got.count > 0)
            assert_memory_equal(got.addresses[0].bytes, "\x0b\x16\x21\x2c", 4);
        /* No start of a message is read past its end. */
        for (size_t len = 0; len < row->message.len; len++)
            read_as(span_first(row->message, len), "allowed.test", DNS_TYPE_A);
    }
}

static void ipv6_answers(void **state)
{
    (void)state;
    static const char message[] =
        HEAD(OK, ONE, ONE, NIL, NIL) QNAME "\x00\x1c\x00\x01" PTR "\x00\x1c\x00\x01" TTL60 "\x00\x10"
                                           "\x20\x01\x0d\xb8\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05";
    struct dns_addresses got = read_as(span_make(message, sizeof message - 1), "allowed.test", DNS_TYPE_AAAA);
    char text[IPADDR_TEXT_MAX];
    assert_int_equal(got.result, DNS_OK);
    assert_int_equal(got.count, 1);
    ipaddr_format(&got.addresses[0], text);
    assert_string_equal(text, "2001:db8:1::5");
}

/* D-17 */
static void many_addresses(void **state)
{
    (void)state;
    static uint8_t bytes[65535];
    struct outbuf o = outbuf_make(bytes, sizeof bytes);
    static const char head[] = HEAD(OK, ONE, "\x0f\xa0", NIL, NIL) QA; /* 4,000 */
    outbuf_bytes(&o, head, sizeof head - 1);
    for (unsigned i = 0; i < 4000; i++) {
        outbuf_bytes(&o,
                     PTR IN_A TTL60 "\x00\x04"
                                    "\x0b\x16",
                     14);
        outbuf_be16(&o, (uint16_t)i);
    }
    assert_false(o.overflow);
    struct dns_addresses got = read_as(outbuf_written(&o), "allowed.test", DNS_TYPE_A);
    assert_int_equal(got.result, DNS_OK);
    assert_int_equal(got.count, DNSMSG_ADDRESSES_MAX);
    for (unsigned i = 0; i < DNSMSG_ADDRESSES_MAX; i++)
        assert_int_equal(got.addresses[i].bytes[3], i);
}

/* allowed.test -> n0.test -> n1.test … -> an address; `reversed` puts the chain in the worst order. */
static struct dns_addresses read_chain(unsigned aliases, bool reversed)
{
    static uint8_t bytes[4096];
    struct outbuf o = outbuf_make(bytes, sizeof bytes);
    outbuf_bytes(&o, "\x12\x34" OK ONE, 6);
    outbuf_be16(&o, (uint16_t)(aliases + 1));
    outbuf_bytes(&o, NIL NIL QA, sizeof(NIL NIL QA) - 1);
    for (unsigned n = 0; n <= aliases; n++) {
        unsigned i = reversed ? aliases - n : n;
        if (i == 0)
            outbuf_bytes(&o, PTR, 2);
        else
            outbuf_bytes(&o, (uint8_t[]){2, 'n', (uint8_t)('a' + i - 1), 0xc0, 0x14}, 5);
        outbuf_be16(&o, i == aliases ? 1 : 5);
        outbuf_bytes(&o, "\x00\x01" TTL60, 6);
        if (i == aliases)
            outbuf_bytes(&o,
                         "\x00\x04"
                         "\x0b\x16\x21\x2c",
                         6);
        else
            outbuf_bytes(&o, (uint8_t[]){0, 5, 2, 'n', (uint8_t)('a' + i), 0xc0, 0x14}, 7);
    }
    assert_false(o.overflow);
    return read_as(outbuf_written(&o), "allowed.test", DNS_TYPE_A);
}

static void chains_are_bounded(void **state)
{
    (void)state;
    for (int reversed = 0; reversed < 2; reversed++) {
        assert_int_equal(read_chain(0, reversed).result, DNS_OK);
        assert_int_equal(read_chain(1, reversed).result, DNS_OK);
        assert_int_equal(read_chain(DNSMSG_CNAME_MAX, reversed).result, DNS_OK);
        assert_int_equal(read_chain(DNSMSG_CNAME_MAX, reversed).count, 1);
        assert_int_equal(read_chain(DNSMSG_CNAME_MAX + 1, reversed).result, DNS_MALFORMED);
    }
}

static void queries(void **state)
{
    (void)state;
    uint8_t bytes[DNSMSG_QUERY_MAX];
    uint8_t bits[32] = {0};
    struct hostname name = name_of("allowed.test");
    struct outbuf o = outbuf_make(bytes, sizeof bytes);
    dnsmsg_query(&o, 0x1234, &name, DNS_TYPE_AAAA, bits);
    static const char plain[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" QNAME "\x00\x1c\x00\x01";
    assert_true(span_equal(outbuf_written(&o), span_make(plain, sizeof plain - 1)));
    memset(bits, 0xff, sizeof bits);
    bits[0] = 0xfe; /* but the first */
    o = outbuf_make(bytes, sizeof bytes);
    dnsmsg_query(&o, 0x1234, &name, DNS_TYPE_A, bits);
    assert_true(span_equal(span_from(outbuf_written(&o), 12), span_make("\x07"
                                                                        "aLLOWED"
                                                                        "\x04"
                                                                        "TEST"
                                                                        "\0"
                                                                        "\x00\x01\x00\x01",
                                                                        18)));
}

static void the_longest_name_fits(void **state)
{
    (void)state;
    uint8_t bytes[DNSMSG_QUERY_MAX];
    uint8_t bits[32] = {0};
    struct hostname name = name_of(L60 "." L60 "." L60 "." L60 ".abcd.test");
    assert_int_equal(name.len, 253);
    struct outbuf o = outbuf_make(bytes, sizeof bytes);
    dnsmsg_query(&o, 1, &name, DNS_TYPE_A, bits);
    assert_false(o.overflow);
    assert_int_equal(o.len, 12 + 255 + 4);
    bytes[2] |= 0x80; /* the same with QR is an answer without records */
    struct dns_addresses got;
    dnsmsg_answer(outbuf_written(&o), &name, DNS_TYPE_A, &got);
    assert_int_equal(got.result, DNS_NODATA);
}

/* D-15: id, case, type and a whole question. */
static void echoes(void **state)
{
    (void)state;
    uint8_t query[DNSMSG_QUERY_MAX];
    uint8_t reply[DNSMSG_QUERY_MAX + 100];
    uint8_t bits[32] = {0x15};
    struct hostname name = name_of("allowed.test");
    struct outbuf o = outbuf_make(query, sizeof query);
    dnsmsg_query(&o, 0xbeef, &name, DNS_TYPE_A, bits);
    struct span q = outbuf_written(&o);
    memcpy(reply, query, q.len);
    assert_false(dnsmsg_echoes(q, span_make(reply, q.len))); /* a query is no reply */
    reply[2] |= 0x80;
    assert_true(dnsmsg_echoes(q, span_make(reply, q.len)));
    memcpy(reply + q.len, A1, 16);
    assert_true(dnsmsg_echoes(q, span_make(reply, q.len + 16)));
    for (size_t len = 0; len < q.len; len++)
        assert_false(dnsmsg_echoes(q, span_make(reply, len)));
    static const size_t changed[] = {0, 1, 5, 12, 13, 14, 20, 26, 28};
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++) {
        reply[changed[i]] ^= 0x20;
        assert_false(dnsmsg_echoes(q, span_make(reply, q.len)));
        reply[changed[i]] ^= 0x20;
    }
    assert_true(dnsmsg_echoes(q, span_make(reply, q.len)));
}

static void results_have_names(void **state)
{
    (void)state;
    assert_string_equal(dns_result_text(DNS_SERVFAIL), "servfail");
    assert_string_equal(dns_result_text(DNS_NXDOMAIN), "nxdomain");
    assert_string_equal(dns_result_text(DNS_NO_SERVER), "no_server");
    assert_string_equal(dns_result_text((enum dns_result)99), "unknown");
}

/* What is written behind `used` of a message. */
struct writing {
    uint8_t bytes[65535];
    size_t used;
};

static void put_bytes(struct writing *w, const void *bytes, size_t len)
{
    assert_true(w->used + len <= sizeof w->bytes);
    memcpy(w->bytes + w->used, bytes, len);
    w->used += len;
}

static void put_pointer(struct writing *w, size_t to)
{
    const uint8_t pointer[] = {(uint8_t)(0xc0 | to >> 8), (uint8_t)to};
    put_bytes(w, pointer, sizeof pointer);
}

/* A name of 247 bytes; gives its offset. */
static size_t put_long_name(struct writing *w, uint8_t number)
{
    size_t at = w->used;
    for (unsigned i = 0; i < 120; i++)
        put_bytes(w,
                  "\x01"
                  "a",
                  2);
    const uint8_t last[] = {4, (uint8_t)('a' + number), 'x', 'y', 'z', 0};
    put_bytes(w, last, sizeof last);
    return at;
}

/* A chain of aliases whose links stand last first, so that each is found by a look at all records, among as many records
 * as fit whose owner is a pointer to a long name. */
static void write_slow_answer(struct writing *w, unsigned fillers)
{
    size_t names[16];
    unsigned count = 32 + fillers;
    const uint8_t an[] = {(uint8_t)(count >> 8), (uint8_t)count};
    w->used = 0;
    put_bytes(w, "\x12\x34" OK ONE, 6);
    put_bytes(w, an, 2);
    put_bytes(w, NIL NIL, 4);
    put_bytes(w, QA, sizeof QA - 1);
    for (uint8_t i = 0; i < 16; i++) { /* TXT records that hold the names */
        put_bytes(w, PTR "\x00\x10\x00\x01" TTL60 "\x00\xf6", 12);
        names[i] = put_long_name(w, i);
    }
    for (size_t i = 16; i-- > 0;) {
        if (i == 0)
            put_bytes(w, PTR, 2);
        else
            put_pointer(w, names[i - 1]);
        put_bytes(w, "\x00\x05\x00\x01" TTL60 "\x00\x02", 10);
        put_pointer(w, names[i]);
    }
    for (unsigned i = 0; i < fillers; i++) {
        put_pointer(w, names[15]);
        put_bytes(w, "\x00\x10\x00\x01" TTL60 "\x00\x00", 10);
    }
}

static void what_is_read_of_an_answer_is_bounded(void **state)
{
    (void)state;
    static struct writing w;
    write_slow_answer(&w, 20);
    struct dns_addresses few = read_as(span_make(w.bytes, w.used), "allowed.test", DNS_TYPE_A);
    assert_int_equal(few.result, DNS_NODATA); /* it is read, though in a strange order */
    write_slow_answer(&w, 5000);
    struct dns_addresses many = read_as(span_make(w.bytes, w.used), "allowed.test", DNS_TYPE_A);
    assert_int_equal(many.result, DNS_MALFORMED);
    /* Thousands of addresses of one name are looked at once each, and fit. */
    const uint8_t an[] = {0x0f, 0xa0};
    w.used = 0;
    put_bytes(&w, "\x12\x34" OK ONE, 6);
    put_bytes(&w, an, 2);
    put_bytes(&w, NIL NIL, 4);
    put_bytes(&w, QA, sizeof QA - 1);
    for (unsigned i = 0; i < 4000; i++)
        put_bytes(&w, A1, sizeof A1 - 1);
    struct dns_addresses pool = read_as(span_make(w.bytes, w.used), "allowed.test", DNS_TYPE_A);
    assert_int_equal(pool.result, DNS_OK);
    assert_int_equal(pool.count, DNSMSG_ADDRESSES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rows),
        cmocka_unit_test(ipv6_answers),
        cmocka_unit_test(many_addresses),
        cmocka_unit_test(chains_are_bounded),
        cmocka_unit_test(what_is_read_of_an_answer_is_bounded),
        cmocka_unit_test(queries),
        cmocka_unit_test(the_longest_name_fits),
        cmocka_unit_test(echoes),
        cmocka_unit_test(results_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
