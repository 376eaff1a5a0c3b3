/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a hostile name server for one fixed question; the first byte chooses A or AAAA. A second reading of the
 * same bytes behind the program's own question keeps the fuzzer from having to guess it. */
#include "fuzz_check.h"

#include "wire/dnsmsg.h"

#define MESSAGE_MAX 70000

static void check_answer(struct span message, const struct hostname *name, enum dns_type type)
{
    struct span copy = exact_copy(message);
    struct dns_addresses out;
    memset(&out, 0x55, sizeof out);
    dnsmsg_answer(copy, name, type, &out);
    CHECK(out.result <= DNS_MALFORMED && out.count <= DNSMSG_ADDRESSES_MAX);
    CHECK((out.result == DNS_OK) == (out.count > 0));
    CHECK(out.ttl_s <= INT32_MAX);
    for (size_t i = 0; i < out.count; i++)
        CHECK(out.addresses[i].family == (type == DNS_TYPE_A ? 4 : 6));
    if (out.result == DNS_MALFORMED)
        CHECK(out.ttl_s == 0);
    free_copy(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t message[MESSAGE_MAX];
    if (size < 1 || size > 65535)
        return 0;
    struct hostname name;
    CHECK(hostname_parse(span_text("allowed.test"), &name) == ERR_NONE);
    enum dns_type type = data[0] % 2 ? DNS_TYPE_A : DNS_TYPE_AAAA;
    struct span raw = span_make(data + 1, size - 1);
    check_answer(raw, &name, type);

    /* flags and counts from the input, then our question, then the rest of the input */
    if (raw.len < 8)
        return 0;
    const uint8_t bits[32] = {data[0]};
    struct outbuf out = outbuf_make(message, sizeof message);
    dnsmsg_query(&out, 0x1234, &name, type, bits);
    struct span query = exact_copy(outbuf_written(&out));
    memcpy(message + 2, raw.data, 2);
    message[2] |= 0x80;
    memcpy(message + 6, raw.data + 2, 6);
    outbuf_span(&out, span_from(raw, 8));
    CHECK(!out.overflow);
    CHECK(dnsmsg_echoes(query, outbuf_written(&out)));
    check_answer(outbuf_written(&out), &name, type);
    struct span reply = exact_copy(raw);
    (void)dnsmsg_echoes(query, reply);
    (void)dnsmsg_echoes(reply, query); /* a broken query must not hurt either */
    free_copy(reply);
    free_copy(query);
    return 0;
}
