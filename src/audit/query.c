/* SPDX-License-Identifier: Apache-2.0 */
#include "query_match.h"

#include "audit/reader.h"
#include "base/text.h"
#include "flows.h"
#include "leaf.h"

#include <stdlib.h>

#define WORD_MAX    1600 /* the longest string of a record, when every byte of it is escaped */
#define FRONT_BYTES 64   /* of a leaf: its action and its kind stand there */

/* A wanted string as it stands in a leaf: with its key where that is unique, quoted and escaped. */
struct word {
    char text[WORD_MAX];
    size_t len; /* 0: not asked for */
};

struct audit_query {
    struct audit_reader *reader;
    struct audit_filter filter;
    struct word environment, session, rule, reason, host, address;
    bool below;           /* host is a suffix */
    struct flows refused; /* allowed at first, denied in the end */
};

static enum err word_make(struct word *word, const char *before, const char *value)
{
    if (value == NULL)
        return ERR_NONE;
    struct outbuf o = outbuf_make(word->text, sizeof word->text);
    outbuf_text(&o, before);
    struct json j = json_make(&o);
    json_text(&j, value);
    word->len = o.len;
    return o.overflow ? ERR_TOO_BIG : ERR_NONE;
}

static enum err host_make(struct audit_query *q, const char *host)
{
    char name[300];
    if (host == NULL)
        return ERR_NONE;
    if (strlen(host) >= sizeof name)
        return ERR_TOO_BIG;
    for (size_t i = 0; i <= strlen(host); i++)
        name[i] = (char)text_lower((uint8_t)host[i]);
    q->below = strncmp(name, "*.", 2) == 0;
    if (q->below)
        return word_make(&q->host, "", name + 1);
    enum err err = word_make(&q->host, "\"hostname\":", name);
    return err == ERR_NONE ? word_make(&q->address, "\"ip\":", name) : err;
}

static enum err words_make(struct audit_query *q)
{
    const struct audit_filter *f = &q->filter;
    enum err err = word_make(&q->environment, "\"tenant_uid\":", f->environment);
    if (err == ERR_NONE)
        err = word_make(&q->session, "\"uid\":", f->session);
    if (err == ERR_NONE)
        err = word_make(&q->rule, "\"firewall_rule\":{\"uid\":", f->rule);
    if (err == ERR_NONE)
        err = word_make(&q->reason, "\"status_code\":", f->reason);
    return err == ERR_NONE ? host_make(q, f->host) : err;
}

static bool has(struct span text, const struct word *word)
{
    return word->len == 0 || (text.len > 0 && memmem(text.data, text.len, word->text, word->len) != NULL);
}

/* From behind `"key":{` to the end of that object. Quotes in strings are escaped, so the key is one; no string of an
 * endpoint may hold a brace unless it ends the search early, which only shortens what is looked at. */
static struct span object(struct span leaf, const char *key)
{
    const uint8_t *at = memmem(leaf.data, leaf.len, key, strlen(key));
    if (at == NULL)
        return span_make(NULL, 0);
    struct span rest = span_from(leaf, (size_t)(at - leaf.data) + strlen(key));
    return span_first(rest, span_find(rest, '}'));
}

/* Its kind stands near the front of a leaf; looking for what only lookups have would pass over all of every other. */
static bool is_lookup(struct span leaf)
{
    static const char code[] = "\"event_code\":\"lookup\"";
    struct span front = span_first(leaf, FRONT_BYTES);
    return front.len > 0 && memmem(front.data, front.len, code, sizeof code - 1) != NULL;
}

static bool host_matches(const struct audit_query *q, struct span leaf)
{
    if (q->host.len == 0)
        return true;
    struct span to = object(leaf, "\"dst_endpoint\":{"), asked = span_make(NULL, 0);
    if (is_lookup(leaf))
        asked = object(leaf, "\"query\":{");
    if (!q->below)
        return has(to, &q->host) || has(to, &q->address) || has(asked, &q->host);
    struct span name = leaf_text(asked.len > 0 ? asked : to, "hostname");
    size_t want = q->host.len - 2; /* without its quotes */
    return name.len > want && memcmp(name.data + name.len - want, q->host.text + 1, want) == 0;
}

static bool time_matches(const struct audit_filter *f, struct span leaf)
{
    static const char key[] = "},\"time\":";
    if (f->since_ms == 0 && f->until_ms == 0)
        return true;
    const uint8_t *at = memmem(leaf.data, leaf.len, key, sizeof key - 1);
    if (at == NULL)
        return false;
    struct span rest = span_from(leaf, (size_t)(at - leaf.data) + sizeof key - 1);
    uint64_t ms = 0;
    if (text_u64(span_first(rest, span_find(rest, ',')), INT64_MAX, &ms) != ERR_NONE)
        return false;
    return (int64_t)ms >= f->since_ms && (f->until_ms == 0 || (int64_t)ms < f->until_ms);
}

static bool flow_refused(const struct audit_query *q, const uint8_t flow[static FLOW_ID_BYTES])
{
    return flows_has(&q->refused, flow);
}

static bool verdict_matches(const struct audit_query *q, struct span leaf)
{
    struct leaf_facts facts;
    if (q->filter.verdict == AUDIT_ANY)
        return true;
    if (!leaf_scan(leaf, &facts) || facts.kind == LEAF_EVENT)
        return false;
    bool allowed = facts.allowed && !flow_refused(q, facts.flow);
    return allowed == (q->filter.verdict == AUDIT_ALLOWED);
}

bool query_matches(const struct audit_query *q, struct span leaf)
{
    if (!has(leaf, &q->environment) || !has(leaf, &q->reason) || !has(leaf, &q->rule) || !host_matches(q, leaf))
        return false;
    if (q->session.len > 0 && !has(object(leaf, "\"src_endpoint\":{"), &q->session))
        return false;
    return time_matches(&q->filter, leaf) && verdict_matches(q, leaf);
}

/* The end of a flow stands behind its beginning, so its final verdict needs a pass of its own. */
static enum err find_refused(struct audit_query *q, const char *dir)
{
    struct audit_reader *reader = NULL;
    enum err err = audit_reader_open(dir, 0, &reader);
    while (err == ERR_NONE) {
        uint64_t index = 0;
        struct span leaf;
        struct leaf_facts facts;
        err = audit_reader_next(reader, &index, &leaf);
        static const char mark[] = "{\"action_id\":2,\"metadata\":{\"event_code\":\"outcome\"";
        if (err != ERR_NONE || leaf.len < sizeof mark || memcmp(leaf.data, mark, sizeof mark - 1) != 0)
            continue;
        if (leaf_scan(leaf, &facts))
            err = flows_put(&q->refused, facts.flow, index, 0);
    }
    audit_reader_close(reader);
    return err == ERR_AGAIN ? ERR_NONE : err;
}

enum err query_matcher(const struct audit_filter *filter, struct audit_query **out)
{
    struct audit_query *q = calloc(1, sizeof *q);
    if (q == NULL)
        return ERR_NO_MEMORY;
    q->filter = *filter;
    enum err err = words_make(q);
    if (err == ERR_NONE)
        *out = q;
    else
        free(q);
    return err;
}

enum err audit_query_open(const char *dir, const struct audit_filter *filter, struct audit_query **out)
{
    struct audit_query *q = calloc(1, sizeof *q);
    if (q == NULL)
        return ERR_NO_MEMORY;
    q->filter = *filter;
    enum err err = words_make(q);
    if (err == ERR_NONE && filter->verdict != AUDIT_ANY)
        err = find_refused(q, dir);
    if (err == ERR_NONE)
        err = audit_reader_open(dir, 0, &q->reader);
    if (err == ERR_NONE)
        *out = q;
    else
        audit_query_close(q);
    return err;
}

void audit_query_close(struct audit_query *query)
{
    if (query == NULL)
        return;
    audit_reader_close(query->reader);
    flows_free(&query->refused);
    free(query);
}

enum err audit_query_next(struct audit_query *query, uint64_t *out_index, struct span *out_leaf)
{
    for (;;) {
        uint64_t index = 0;
        struct span leaf;
        enum err err = audit_reader_next(query->reader, &index, &leaf);
        if (err != ERR_NONE)
            return err;
        if (!query_matches(query, leaf))
            continue;
        *out_index = index;
        *out_leaf = leaf;
        return ERR_NONE;
    }
}
