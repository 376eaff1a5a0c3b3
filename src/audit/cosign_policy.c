/* SPDX-License-Identifier: Apache-2.0 */
#include "cosign_policy.h"

#include "base/text.h"
#include "io.h"
#include "note.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLICY_BYTES_MAX 65536u
#define WORDS_MAX        40u
#define COSIGN_TYPE      0x04

static enum err wrong(char *why, size_t cap, unsigned line, const char *text)
{
    snprintf(why, cap, "line %u: %s", line, text);
    return ERR_INVALID;
}

/* NAME+HASH+BASE64(04 || KEY). */
static bool parse_vkey(struct span vkey, struct cosign_witness *w)
{
    size_t plus = span_find(vkey, '+'), len = 0;
    struct span name = span_first(vkey, plus), rest = span_from(vkey, plus + 1);
    uint8_t typed[1 + ED25519_KEY_BYTES], text[NOTE_ORIGIN_MAX + 2 + ED25519_KEY_BYTES], hash[DIGEST_BYTES];
    char hex[8];
    if (!note_origin_valid(name) || rest.len < 10 || rest.data[8] != '+' ||
        base64_decode(span_from(rest, 9), typed, sizeof typed, &len) != ERR_NONE || len != sizeof typed ||
        typed[0] != COSIGN_TYPE)
        return false;
    struct outbuf o = outbuf_make(text, sizeof text);
    outbuf_span(&o, name);
    outbuf_char(&o, '\n');
    outbuf_bytes(&o, typed, sizeof typed);
    digest_once(outbuf_written(&o), hash);
    o = outbuf_make(hex, sizeof hex);
    outbuf_hex(&o, span_make(hash, 4));
    if (!span_equal(outbuf_written(&o), span_first(rest, 8)))
        return false;
    snprintf(w->name, sizeof w->name, "%.*s", (int)name.len, (const char *)name.data);
    memcpy(w->key_hash, hash, 4);
    memcpy(w->public_key, typed + 1, ED25519_KEY_BYTES);
    return true;
}

static size_t split(struct span line, struct span words[static WORDS_MAX])
{
    size_t count = 0, at = 0;
    while (at < line.len && count < WORDS_MAX) {
        if (line.data[at] == ' ' || line.data[at] == '\t') {
            at++;
            continue;
        }
        if (line.data[at] == '#')
            break;
        size_t start = at;
        while (at < line.len && line.data[at] != ' ' && line.data[at] != '\t')
            at++;
        words[count++] = span_make(line.data + start, at - start);
    }
    return count;
}

/* Witnesses come first in the numbering, groups behind them; COSIGN_NODES_MAX: there is none of that name. */
static size_t find(const struct cosign_policy *p, struct span name)
{
    for (size_t i = 0; i < p->witness_count; i++)
        if (span_is(name, p->witnesses[i].label))
            return i;
    for (size_t i = 0; i < p->group_count; i++)
        if (span_is(name, p->groups[i].label))
            return COSIGN_WITNESSES_MAX + i;
    return COSIGN_NODES_MAX;
}

static const char *take_witness(struct cosign_policy *p, const struct span *words, size_t count)
{
    if (count < 3 || count > 4)
        return "write: witness NAME VKEY [URL]";
    if (p->witness_count == COSIGN_WITNESSES_MAX)
        return "there are too many witnesses";
    struct cosign_witness *w = &p->witnesses[p->witness_count];
    if (words[1].len >= sizeof w->label || find(p, words[1]) != COSIGN_NODES_MAX || span_is(words[1], "none"))
        return "this name is too long, or taken";
    if (!parse_vkey(words[2], w))
        return "this is no verifier key of a witness (type 04)";
    if (count == 4 && words[3].len >= sizeof w->url)
        return "the URL is too long";
    snprintf(w->label, sizeof w->label, "%.*s", (int)words[1].len, (const char *)words[1].data);
    if (count == 4)
        snprintf(w->url, sizeof w->url, "%.*s", (int)words[3].len, (const char *)words[3].data);
    p->witness_count++;
    return NULL;
}

static const char *take_group(struct cosign_policy *p, const struct span *words, size_t count)
{
    uint64_t k = 0;
    if (count < 4)
        return "write: group NAME all|any|K MEMBER…";
    if (p->group_count == COSIGN_WITNESSES_MAX)
        return "there are too many groups";
    struct cosign_group *g = &p->groups[p->group_count];
    *g = (struct cosign_group){0};
    if (words[1].len >= sizeof g->label || find(p, words[1]) != COSIGN_NODES_MAX || span_is(words[1], "none"))
        return "this name is too long, or taken";
    for (size_t i = 3; i < count; i++) {
        size_t member = find(p, words[i]);
        if (member == COSIGN_NODES_MAX || g->member[member])
            return "a member is unknown, or stands twice";
        g->member[member] = true;
    }
    if (span_is(words[2], "all"))
        k = count - 3;
    else if (span_is(words[2], "any"))
        k = 1;
    else if (text_u64(words[2], count - 3, &k) != ERR_NONE || k == 0)
        return "as many as what? all, any, or a number of them";
    g->wanted = (unsigned)k;
    snprintf(g->label, sizeof g->label, "%.*s", (int)words[1].len, (const char *)words[1].data);
    p->group_count++;
    return NULL;
}

static const char *take_quorum(struct cosign_policy *p, const struct span *words, size_t count)
{
    if (count != 2 || p->has_quorum)
        return "write one: quorum NAME, or quorum none";
    p->has_quorum = true;
    p->quorum = span_is(words[1], "none") ? COSIGN_NODES_MAX : find(p, words[1]);
    return p->quorum == COSIGN_NODES_MAX && !span_is(words[1], "none") ? "nothing above has this name" : NULL;
}

static const char *take_line(struct cosign_policy *p, struct span line)
{
    struct span words[WORDS_MAX];
    size_t count = split(line, words);
    if (count == 0 || span_is(words[0], "log"))
        return NULL; /* the key of the log is given otherwise */
    if (count == WORDS_MAX)
        return "too many words";
    if (span_is(words[0], "witness"))
        return take_witness(p, words, count);
    if (span_is(words[0], "group"))
        return take_group(p, words, count);
    return span_is(words[0], "quorum") ? take_quorum(p, words, count) : "this is not witness, group or quorum";
}

enum err cosign_policy_load(const char *path, struct cosign_policy **out, char *why, size_t cap)
{
    struct cosign_policy *p = calloc(1, sizeof *p);
    char *text = malloc(POLICY_BYTES_MAX);
    size_t len = 0;
    unsigned number = 0;
    enum err err =
        p == NULL || text == NULL ? ERR_NO_MEMORY : io_read_file(AT_FDCWD, path, text, POLICY_BYTES_MAX, &len);
    if (err != ERR_NONE)
        snprintf(why, cap, "%s", err_text(err));
    for (struct span rest = span_make(text, len); err == ERR_NONE && rest.len > 0;) {
        size_t end = span_find(rest, '\n');
        const char *problem = take_line(p, span_first(rest, end));
        number++;
        if (problem != NULL)
            err = wrong(why, cap, number, problem);
        rest = span_from(rest, end + 1);
    }
    if (err == ERR_NONE && !p->has_quorum)
        err = wrong(why, cap, number, "the quorum is missing");
    free(text);
    if (err == ERR_NONE)
        *out = p;
    else
        free(p);
    return err;
}

void cosign_policy_free(struct cosign_policy *policy)
{
    free(policy);
}

size_t cosign_count(const struct cosign_policy *policy)
{
    return policy->witness_count;
}

const struct cosign_witness *cosign_witness(const struct cosign_policy *policy, size_t index)
{
    return &policy->witnesses[index];
}

/* Members stand above their group: one walk from the first to the last knows them all. */
bool cosign_quorum(const struct cosign_policy *policy, const bool have[static COSIGN_WITNESSES_MAX])
{
    bool held[COSIGN_NODES_MAX] = {false};
    if (policy->quorum == COSIGN_NODES_MAX)
        return true;
    memcpy(held, have, COSIGN_WITNESSES_MAX * sizeof *have);
    for (size_t i = 0; i < policy->group_count; i++) {
        const struct cosign_group *g = &policy->groups[i];
        unsigned count = 0;
        for (size_t k = 0; k < COSIGN_NODES_MAX; k++)
            count += g->member[k] && held[k];
        held[COSIGN_WITNESSES_MAX + i] = count >= g->wanted;
    }
    return held[policy->quorum];
}
