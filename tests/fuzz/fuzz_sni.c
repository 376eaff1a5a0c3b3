/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name that we judge against the name that a TLS server sees: the same records go to wire/hello and to OpenSSL. A
 * hello that we take and OpenSSL reads must name the same host to both, or none to both. Same input as fuzz_hello.
 */
#include "fuzz_check.h"

#include "base/text.h"
#include "wire/hello.h"

#include <openssl/ssl.h>

static const struct hello_limits limits = {.raw_bytes = 65536, .message_bytes = 16384};

struct seen {
    bool reached, has_name, odd;
    char name[300];
    size_t len;
};

/* The entry of a server_name extension: OpenSSL hands it over whole, with all of its lengths checked by nobody yet. */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
    struct seen *seen = arg;
    const unsigned char *ext;
    size_t len;
    (void)alert;
    seen->reached = true;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) != 1)
        return SSL_CLIENT_HELLO_ERROR;
    seen->has_name = true;
    seen->odd = len < 5 || len > sizeof seen->name || ext[2] != TLSEXT_NAMETYPE_host_name;
    if (!seen->odd) {
        seen->len = len - 5;
        memcpy(seen->name, ext + 5, seen->len);
    }
    return SSL_CLIENT_HELLO_ERROR; /* that was all that was wanted */
}

static SSL_CTX *context(struct seen *seen)
{
    static SSL_CTX *ctx;
    if (ctx == NULL) {
        ctx = SSL_CTX_new(TLS_server_method());
        CHECK(ctx != NULL);
        SSL_CTX_set_security_level(ctx, 0);
    }
    SSL_CTX_set_client_hello_cb(ctx, on_hello, seen);
    return ctx;
}

static void ask_openssl(struct span records, struct seen *seen)
{
    SSL *ssl = SSL_new(context(seen));
    BIO *in = BIO_new_mem_buf(records.data, (int)records.len);
    BIO *out = BIO_new(BIO_s_mem());
    CHECK(ssl != NULL && in != NULL && out != NULL);
    SSL_set_bio(ssl, in, out);
    SSL_accept(ssl);
    SSL_free(ssl);
}

/* The message in one record, or in small ones: the same bytes for both. */
static struct span put_records(struct span message, size_t size, uint8_t *out)
{
    size_t len = 0;
    for (size_t at = 0; at < message.len; at += size) {
        struct span part = span_first(span_from(message, at), size);
        const uint8_t head[] = {22, 3, 1, (uint8_t)(part.len >> 8), (uint8_t)part.len};
        memcpy(out + len, head, sizeof head);
        memcpy(out + len + sizeof head, part.data, part.len);
        len += sizeof head + part.len;
    }
    return span_make(out, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t records[65536 + 16384], scratch[HELLO_SCRATCH_BYTES];
    static struct hello hello;
    struct hello_parser parser = {0};
    struct seen seen = {0};
    enum reason reason = REASON_NONE;
    if (size < 3 || size > 16384)
        return 0;
    struct span raw = span_make(data + 2, size - 2);
    if (data[1] % 2 == 1)
        raw = put_records(raw, data[0] % 4 == 0 ? 200 : 16384, records);
    if (hello_feed(&parser, raw, &limits, scratch, &hello, &reason) != FEED_DONE)
        return 0;
    ask_openssl(span_first(raw, hello.raw_bytes), &seen);
    if (!seen.reached)
        return 0; /* OpenSSL wants more of a hello than we do, and then nobody is misled */
    CHECK(!seen.odd);
    CHECK(seen.has_name == (hello.sni == SNI_PRESENT));
    if (seen.has_name)
        CHECK(span_equal_fold(span_make(seen.name, seen.len), hostname_span(&hello.name)));
    return 0;
}
