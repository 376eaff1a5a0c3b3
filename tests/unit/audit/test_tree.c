/* SPDX-License-Identifier: Apache-2.0 */
/* Expected values come from a direct transcription of RFC 6962's recursive definitions in another language. */
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define LEAVES 1000u

static uint8_t arrays[TREE_ARRAYS][LEAVES][DIGEST_BYTES];
static size_t array_counts[TREE_ARRAYS];
static struct digest *digest;

static void emit(void *arg, unsigned array, uint64_t index, const uint8_t hash[static DIGEST_BYTES])
{
    (void)arg;
    assert_int_equal(index, array_counts[array]);
    memcpy(arrays[array][array_counts[array]++], hash, DIGEST_BYTES);
}

static enum err read_array(void *arg, unsigned array, uint64_t first, size_t count, uint8_t (*out)[DIGEST_BYTES])
{
    (void)arg;
    if (first + count > array_counts[array])
        return ERR_CORRUPT;
    memcpy(out, arrays[array][first], count * DIGEST_BYTES);
    return ERR_NONE;
}

static const struct tree_source *source(void)
{
    static struct tree_source s;
    s = (struct tree_source){.read = read_array, .digest = digest};
    return &s;
}

static void assert_hex(const uint8_t *bytes, const char *hex)
{
    char text[65];
    for (size_t i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(text, hex);
}

static void leaf(unsigned i, uint8_t *out)
{
    char text[32];
    int len = snprintf(text, sizeof text, "entry %u", i);
    tree_leaf_hash(digest, span_make(text, (size_t)len), out);
}

static const struct {
    unsigned size;
    const char *root;
} roots[] = {
    {0,    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {1,    "773885a613489e24ce2cf76199d6a423f042e4bbf12d7eecee912ef276c65701"},
    {2,    "5a47662fd8a317d96049a3f9f47c55dc67ca66051baa3683dbb19b2fe09a07b0"},
    {3,    "94fbd0dd836f50301692e6d0eade728ee19ec52bfff1606ed807c8575d5aaa19"},
    {7,    "98c97f0ba3175cd08b031dd084b9dc4e649b64d1a28e6ea694646503173ab587"},
    {8,    "b69732ce5c914162ca9accfaf4e95d3f9874d68805437088aaff184a4db96773"},
    {255,  "cf66793e6329dff242eb3cee0a6f36ad3e3a196dcc573a1ec775e102be863f1c"},
    {256,  "da6596d95369f5fef322ab8e4e0da3b0b50236aa9c8a3b1d246f7411c9e2e32e"},
    {257,  "5c1fdfe835358022f2392de478dbe053fc130cfe1d3a082879a90cf6bf14bf7e"},
    {1000, "346c6b9cb89c4b76fac9dcb20cda86e3a01c0a57417c139028eacd4538fde95b"},
};

static void roots_of_the_rfc(void **state)
{
    (void)state;
    struct tree t = {.digest = digest};
    uint8_t hash[DIGEST_BYTES];
    size_t row = 0;
    for (unsigned i = 0; i <= LEAVES; i++) {
        if (row < sizeof roots / sizeof roots[0] && roots[row].size == i) {
            tree_root(&t, hash);
            assert_hex(hash, roots[row++].root);
        }
        leaf(i, hash);
        if (i < LEAVES)
            tree_append(&t, hash, emit, NULL);
    }
    assert_int_equal(row, sizeof roots / sizeof roots[0]);
    assert_int_equal(array_counts[0], LEAVES);
    assert_int_equal(array_counts[1], 3);
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        assert_int_equal(tree_root_at(source(), roots[i].size, hash), ERR_NONE);
        assert_hex(hash, roots[i].root);
        struct tree resumed = {.digest = digest};
        assert_int_equal(tree_resume(source(), roots[i].size, &resumed), ERR_NONE);
        tree_root(&resumed, hash);
        assert_hex(hash, roots[i].root);
    }
}

static void proofs_of_the_rfc(void **state)
{
    (void)state;
    static const struct {
        bool inclusion;
        unsigned a, b;
        size_t count;
        const char *digest_of_proof;
    } rows[] = {
        {true,  0,   1,   0,  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {true,  0,   7,   3,  "826120f46a1c0122aa9e1cfb8208acfd8e28b901353813b5ced14652b5374490"},
        {true,  6,   7,   2,  "3c054d8897f4c7a44d95b43f2eca0f39b590b359b1cfce6a29bf99e2d75ad27f"},
        {true,  299, 600, 10, "936d47734491c2d034994b22ed2b313618fe5cd363bf5147f70486e497015f65"},
        {true,  599, 600, 6,  "6768a19742d6634b1c535133e677168f829090808b353e16adc74a49058816a9"},
        {false, 1,   1,   0,  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {false, 1,   2,   1,  "1e30c9fb18f7eb86837f1f1e3762ad7f5bc0b04fdade58504d6b6dd0c72320ae"},
        {false, 3,   7,   4,  "c63bd033fc58b84a05f85c36fbb0b1574aa6d888d5a872f2832e05de027ce706"},
        {false, 4,   7,   1,  "8d7b507e4f3865c282cbf03b80b6b07e8e09ca46f90f4d06477a2e1f384ed25b"},
        {false, 6,   7,   3,  "ce2e6bf8e421b9a0f21525790def94043601469dc714f233bb56583a8badbca8"},
        {false, 256, 600, 2,  "2e9f92e55741b11614d52305726f0c9184fab8d181c97cc633465f86862f4363"},
        {false, 300, 600, 9,  "0d07c236f3b59788ecfb536892da824ea7b1bbc9ddd0f4f0d7484202f442af3a"},
        {false, 599, 600, 7,  "6d855a9c2594f48d2b1632f1a2afb3ed0d11f4b36f4ff15144a085afc76cd6a6"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t proof[TREE_PROOF_MAX][DIGEST_BYTES], hash[DIGEST_BYTES];
        size_t count = 99;
        enum err err = rows[i].inclusion ? tree_prove_inclusion(source(), rows[i].a, rows[i].b, proof, &count)
                                         : tree_prove_consistency(source(), rows[i].a, rows[i].b, proof, &count);
        assert_int_equal(err, ERR_NONE);
        assert_int_equal(count, rows[i].count);
        digest_once(span_make(proof, count * DIGEST_BYTES), hash);
        assert_hex(hash, rows[i].digest_of_proof);
    }
}

static void every_proof_checks_and_no_changed_one(void **state)
{
    (void)state;
    struct tree_head heads[131];
    for (unsigned n = 0; n < 131; n++) {
        heads[n].size = n;
        assert_int_equal(tree_root_at(source(), n, heads[n].root), ERR_NONE);
    }
    uint8_t proof[TREE_PROOF_MAX][DIGEST_BYTES], hash[DIGEST_BYTES];
    size_t count = 0;
    for (unsigned n = 1; n < 131; n++) {
        for (unsigned m = 1; m <= n; m++) {
            assert_int_equal(tree_prove_consistency(source(), m, n, proof, &count), ERR_NONE);
            assert_true(tree_check_consistency(digest, &heads[m], &heads[n], proof[0], count));
            assert_false(tree_check_consistency(digest, &heads[m], &heads[n], proof[0], count + 1));
            if (m < n) {
                assert_false(tree_check_consistency(digest, &heads[n], &heads[m], proof[0], count));
                assert_false(tree_check_consistency(digest, &heads[m - 1], &heads[n], proof[0], count) && m > 1);
            }
            if (count > 0) {
                proof[(m * 7 + n) % count][5] ^= 0x10;
                assert_false(tree_check_consistency(digest, &heads[m], &heads[n], proof[0], count));
            }
            leaf(m - 1, hash);
            assert_int_equal(tree_prove_inclusion(source(), m - 1, n, proof, &count), ERR_NONE);
            assert_true(tree_check_inclusion(digest, hash, m - 1, &heads[n], proof[0], count));
            assert_false(tree_check_inclusion(digest, hash, m, &heads[n], proof[0], count));
            hash[0] ^= 1;
            assert_false(tree_check_inclusion(digest, hash, m - 1, &heads[n], proof[0], count));
        }
    }
    struct tree_head nothing = {0};
    assert_true(tree_check_consistency(digest, &nothing, &heads[9], proof[0], 0));
    assert_false(tree_check_consistency(digest, &heads[9], &heads[10], proof[0], 0));
    assert_false(tree_check_inclusion(digest, hash, 0, &nothing, proof[0], 0));
}

static void a_short_array_is_no_proof(void **state)
{
    (void)state;
    uint8_t proof[TREE_PROOF_MAX][DIGEST_BYTES];
    size_t count = 99;
    assert_int_equal(tree_prove_inclusion(source(), 5, LEAVES + 1, proof, &count), ERR_CORRUPT);
    assert_int_equal(count, 99);
}

static int setup(void **state)
{
    (void)state;
    return digest_new(&digest) == ERR_NONE ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    digest_free(digest);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_of_the_rfc),
        cmocka_unit_test(proofs_of_the_rfc),
        cmocka_unit_test(every_proof_checks_and_no_changed_one),
        cmocka_unit_test(a_short_array_is_no_proof),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
