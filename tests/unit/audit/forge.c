/* SPDX-License-Identifier: Apache-2.0 */
#include "forge.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void put_file(const struct forge *g, const char *name, const char *mode, const void *bytes, size_t len)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", g->dir, name);
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void hex_of(const uint8_t hash[static DIGEST_BYTES], char out[static 2 * DIGEST_BYTES + 1])
{
    struct outbuf o = outbuf_make(out, 2 * DIGEST_BYTES);
    outbuf_hex(&o, span_make(hash, DIGEST_BYTES));
    out[2 * DIGEST_BYTES] = '\0';
}

static void begin(struct forge *g, const struct fixture *f)
{
    static const char *const dirs[] = {"", "/segments", "/keys", "/blobs"};
    static const char log_json[] = "{\"origin\":\"" FIXTURE_ORIGIN "\"}\n";
    char path[256], vkey[NOTE_VKEY_MAX];
    uint8_t public_key[ED25519_KEY_BYTES], hash[DIGEST_BYTES];
    snprintf(path, sizeof path, "rm -rf '%s'", f->dir);
    assert_int_equal(system(path), 0);
    memset(g, 0, sizeof *g);
    g->dir = f->dir;
    g->time_ms = 1000;
    snprintf(g->host, sizeof g->host, "files.test");
    assert_int_equal(digest_new(&g->digest), ERR_NONE);
    g->tree.digest = g->digest;
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        snprintf(path, sizeof path, "%s%s", g->dir, dirs[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    put_file(g, "log.json", "w", log_json, sizeof log_json - 1);
    digest_once(span_text(log_json), hash);
    hex_of(hash, g->log_json_hash);
    assert_int_equal(ed25519_generate(g->seed), ERR_NONE);
    assert_int_equal(ed25519_public(g->seed, public_key), ERR_NONE);
    assert_int_equal(note_key_make(FIXTURE_ORIGIN, public_key, &g->key), ERR_NONE);
    note_key_format(&g->key, vkey);
    put_file(g, "keys/log.vkey", "w", vkey, strlen(vkey));
}

static void put_leaf(struct forge *g, const char *text)
{
    uint8_t hash[DIGEST_BYTES];
    size_t len = strlen(text);
    assert_in_range(g->len + len, 0, sizeof g->bytes - 256);
    g->bytes[g->len++] = (uint8_t)(len >> 8);
    g->bytes[g->len++] = (uint8_t)len;
    memcpy(g->bytes + g->len, text, len);
    g->len += len;
    tree_leaf_hash(g->digest, span_text(text), hash);
    tree_append(&g->tree, hash, NULL, NULL);
}

static void put_event(struct forge *g, const char *code, const char *facts)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"event_code\":\"%s\",\"sequence\":%llu,\"uid\":\"u\"},\"time\":%llu,\"unmapped\":{"
             "\"boot\":\"b\",%s}}",
             code, (unsigned long long)g->tree.size, (unsigned long long)g->time_ms, facts);
    put_leaf(g, text);
}

static void put_flow(struct forge *g, char letter, const char *flow)
{
    bool other = letter >= 'A' && letter <= 'Z';
    char kind = (char)text_lower((uint8_t)letter), text[1024];
    snprintf(text, sizeof text,
             "{\"action_id\":%d,\"metadata\":{\"event_code\":\"%s\",\"sequence\":%llu,\"tenant_uid\":\"%s\","
             "\"correlation_uid\":\"%032d\",\"uid\":\"u\"},\"dst_endpoint\":{\"hostname\":\"%s\"},\"time\":%llu,"
             "\"unmapped\":{\"env_seq\":%llu,\"boot\":\"b\",\"dials\":%d,\"dns_sent\":%d}}",
             kind == 'd' || kind == 'r' || kind == 'x' ? 2 : 1,
             kind == 'a' || kind == 'd' ? "attempt"
             : kind == 't'              ? "traffic"
             : kind == 'l'              ? "lookup"
                                        : "outcome",
             (unsigned long long)g->tree.size, other ? "env-b" : "env-a", flow[0] - '0', g->host,
             (unsigned long long)g->time_ms, (unsigned long long)++g->env_seq[other], kind == 'o' || kind == 'x',
             kind == 'o' || kind == 'l' ? 2 : 0);
    put_leaf(g, text);
}

static void end_batch(struct forge *g)
{
    struct commit c = {.first = g->first,
                       .count = (uint32_t)(g->tree.size - g->first),
                       .wall_ns = (int64_t)(1700000000 + g->mono_s) * 1000000000,
                       .mono_ns = (g->mono_s + 1) * 1000000000u,
                       .boot = {g->boot}};
    if (c.count == 0)
        return;
    tree_root(&g->tree, c.root);
    frame_commit_put(&c, g->bytes + g->len);
    g->len += FRAME_COMMIT_BYTES;
    g->first = g->tree.size;
}

void forge_sign(struct forge *g, const struct tree_head *head)
{
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    struct outbuf o = outbuf_make(g->note, sizeof g->note);
    note_body(FIXTURE_ORIGIN, head, &o);
    g->body_len = o.len;
    assert_int_equal(ed25519_sign(g->seed, outbuf_written(&o), signature), ERR_NONE);
    outbuf_char(&o, '\n');
    note_sign_line(&g->key, signature, &o);
    g->note_len = o.len;
    put_file(g, "checkpoint", "w", g->note, o.len);
    put_file(g, "checkpoints.log", "a", g->note, o.len);
    put_file(g, "checkpoints.log", "a", "\n", 1);
}

static void sign(struct forge *g, bool other)
{
    struct tree_head head = {.size = g->tree.size};
    end_batch(g);
    tree_root(&g->tree, head.root);
    head.root[0] ^= other;
    forge_sign(g, &head);
}

static bool put_word(struct forge *g, const char *word)
{
    static const struct {
        const char *word, *code, *facts;
    } events[] = {
        {"stop",     "log_stopped",    "\"x\":1"                                                                    },
        {"adopted",  "signer_adopted", "\"x\":1"                                                                    },
        {"lost1",    "open_flows",     "\"flows\":\"00000000000000000000000000000001\""                             },
        {"lie",      "env_manifest",   "\"part\":1,\"parts\":1,\"environments\":\"9/9/env-a\""                      },
        {"handover", "key_rotated",    "\"old_vkey\":\"a\",\"new_vkey\":\"b\""                                      },
        {"strange",  "log_started",    "\"log_json\":\"0000\""                                                      },
        {"blob",     "policy_loaded",
         "\"blob\":\"no hash\",\"source_blob\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""},
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (strcmp(word, events[i].word) == 0) {
            put_event(g, events[i].code, events[i].facts);
            return true;
        }
    }
    if (strcmp(word, "start") == 0) {
        char facts[200];
        snprintf(facts, sizeof facts,
                 "\"log_json\":\"%s\",\"signer_account\":\"own\",\"signer_network\":\"a name that is too long\"",
                 g->log_json_hash);
        put_event(g, "log_started", facts);
    } else if (strcmp(word, "junk") == 0) {
        put_leaf(g, "{\"no\":\"leaf\"}");
    } else if (strcmp(word, "gap") == 0 || strcmp(word, "GAP") == 0) {
        g->env_seq[word[0] == 'G']++;
    } else if (strcmp(word, "boot") == 0) {
        g->boot++;
    } else {
        return false;
    }
    return true;
}

static void put_mark(struct forge *g, const char *word)
{
    uint64_t number = 0;
    bool has_number = text_u64(span_text(word + 1), INT32_MAX, &number) == ERR_NONE;
    if (word[0] == '|')
        end_batch(g);
    else if (word[0] == '!' || strcmp(word, "other") == 0)
        sign(g, word[0] == 'o');
    else if (word[0] == '+' && has_number)
        g->mono_s += number;
    else if (word[0] == '=' && has_number)
        g->time_ms = number;
    else if (word[0] == '@')
        snprintf(g->host, sizeof g->host, "%s", word + 1);
    else if (has_number && strchr("adorxtlADORXTL", word[0]) != NULL)
        put_flow(g, word[0], word + 1);
    else
        fail_msg("%s is no word of a script", word);
}

void forge_log(struct forge *g, const struct fixture *f, const char *script)
{
    char copy[512], *rest = copy;
    begin(g, f);
    assert_in_range(strlen(script), 0, sizeof copy - 1);
    snprintf(copy, sizeof copy, "%s", script);
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " "))
        if (!put_word(g, word))
            put_mark(g, word);
    end_batch(g);
    put_file(g, "segments/00000000000000000000.seg", "w", g->bytes, g->len);
}

void forge_free(struct forge *g)
{
    digest_free(g->digest);
    g->digest = NULL;
}
