/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"
#include "base/outbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

static void assert_hex(const uint8_t *bytes, size_t len, const char *hex)
{
    char text[256];
    struct outbuf o = outbuf_make(text, sizeof text - 1);
    outbuf_hex(&o, span_make(bytes, len));
    text[o.len] = '\0';
    assert_string_equal(text, hex);
}

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        for (size_t k = 0; k < 2; k++) {
            char c = hex[2 * i + k];
            byte = byte << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        out[i] = (uint8_t)byte;
    }
    return len;
}

static void sha256(void **state)
{
    (void)state;
    uint8_t out[DIGEST_BYTES];
    digest_once(span_text("abc"), out);
    assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_once(span_make(NULL, 0), out);
    assert_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    struct digest *d = NULL;
    assert_int_equal(digest_new(&d), ERR_NONE);
    for (int round = 0; round < 2; round++) {
        digest_begin(d);
        digest_add(d, span_text("abcdbcdecdefdefgefghfghighijhijk"));
        digest_add(d, span_text("ijkljklmklmnlmnomnopnopq"));
        digest_end(d, out);
        assert_hex(out, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
    digest_free(d);
}

/* Every length around the borders of blocks, against the parts that it is made of. */
static void a_tagged_one_is_that_of_its_bytes(void **state)
{
    (void)state;
    uint8_t bytes[400], fast[DIGEST_BYTES], slow[DIGEST_BYTES];
    struct digest *d = NULL;
    assert_int_equal(digest_new(&d), ERR_NONE);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 3);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        uint8_t tag = (uint8_t)(len * 5);
        digest_begin(d);
        digest_add(d, span_make(&tag, 1));
        digest_add(d, span_make(bytes, len));
        digest_end(d, slow);
        digest_add(d, span_text("left over"));
        digest_tagged(d, tag, span_make(len == 0 ? NULL : bytes, len), fast);
        assert_memory_equal(fast, slow, DIGEST_BYTES);
    }
    digest_free(d);
}

static void *in_a_thread(void *arg)
{
    digest_once(span_text("abc"), arg);
    return NULL;
}

static void each_thread_has_a_context(void **state)
{
    (void)state;
    pthread_t threads[4];
    uint8_t out[4][DIGEST_BYTES];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, in_a_thread, out[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_hex(out[i], 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}

static void hmac_of_rfc_4231(void **state)
{
    (void)state;
    uint8_t key[20], out[DIGEST_BYTES];
    memset(key, 0x0b, sizeof key);
    struct hmac *h = NULL;
    assert_int_equal(hmac_new(span_make(key, sizeof key), &h), ERR_NONE);
    for (int round = 0; round < 2; round++) {
        hmac_once(h, span_text("Hi There"), out);
        assert_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }
    hmac_free(h);
    assert_int_equal(hmac_new(span_text("Jefe"), &h), ERR_NONE);
    hmac_once(h, span_text("what do ya want for nothing?"), out);
    assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    hmac_free(h);
}

static void ed25519_of_rfc_8032(void **state)
{
    (void)state;
    uint8_t seed[32], key[32], signature[64];
    from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", seed);
    assert_int_equal(ed25519_public(seed, key), ERR_NONE);
    assert_hex(key, 32, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    uint8_t message[] = {0x72};
    assert_int_equal(ed25519_sign(seed, span_make(message, 1), signature), ERR_NONE);
    assert_hex(signature, 64,
               "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
               "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    assert_true(ed25519_verify(key, span_make(message, 1), signature));
    message[0] = 0x73;
    assert_false(ed25519_verify(key, span_make(message, 1), signature));
    message[0] = 0x72;
    signature[40] ^= 1;
    assert_false(ed25519_verify(key, span_make(message, 1), signature));
    uint8_t other[32];
    assert_int_equal(ed25519_generate(other), ERR_NONE);
    assert_memory_not_equal(other, seed, 32);
}

static void base64_round_trip(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"",       ""        },
        {"f",      "Zg=="    },
        {"fo",     "Zm8="    },
        {"foo",    "Zm9v"    },
        {"foob",   "Zm9vYg=="},
        {"fooba",  "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char text[16];
        uint8_t bytes[16];
        size_t len = 99;
        size_t put = base64_encode(span_text(pairs[i][0]), text, sizeof text);
        assert_true(span_is(span_make(text, put), pairs[i][1]));
        assert_int_equal(base64_decode(span_make(text, put), bytes, sizeof bytes, &len), ERR_NONE);
        assert_true(span_is(span_make(bytes, len), pairs[i][0]));
    }
}

static void base64_is_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {"Zg",   "Zg=",  "Zh==", "Zm9=",     "Zm 9", "Zm9v\n",
                                      "=Zm9", "Z===", "====", "Zg==Zg==", "Zm-_"};
    uint8_t bytes[16];
    size_t len = 99;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(base64_decode(span_text(bad[i]), bytes, sizeof bytes, &len), ERR_INVALID);
    assert_int_equal(base64_decode(span_text("Zm9v"), bytes, 2, &len), ERR_TOO_BIG);
    assert_int_equal(len, 99);
}

static void random_and_wipe(void **state)
{
    (void)state;
    uint8_t a[32], b[32] = {0};
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    secret_wipe(a, sizeof a);
    memset(b, 0, sizeof b);
    assert_memory_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256),
        cmocka_unit_test(a_tagged_one_is_that_of_its_bytes),
        cmocka_unit_test(each_thread_has_a_context),
        cmocka_unit_test(hmac_of_rfc_4231),
        cmocka_unit_test(ed25519_of_rfc_8032),
        cmocka_unit_test(base64_round_trip),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(random_and_wipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
