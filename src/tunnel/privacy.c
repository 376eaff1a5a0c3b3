/* SPDX-License-Identifier: Apache-2.0 */
/* What of a request may stand in its records, kept from the head for both of them. */
#include "internal.h"

/* A keyed hash's context belongs to a thread, and the key may be replaced while the program runs. */
static const struct redactor *redactor_of(struct tunnels *home)
{
    const struct redact_key *key = atomic_load_explicit(&home->o.process->redact_key, memory_order_acquire);
    if (key != home->redact_key) {
        hmac_free(home->redactor.hmac);
        home->redactor.hmac = NULL;
        if (key != NULL && hmac_new(span_make(key->bytes, sizeof key->bytes), &home->redactor.hmac) != ERR_NONE)
            home->redactor.hmac = NULL; /* secrets are shown as nothing at all then */
        home->redact_key = key;
    }
    home->redactor.words = home->o.process->redact_words;
    return &home->redactor;
}

static void keep_method(struct setup *s, const struct redactor *redactor, struct span method)
{
    struct span kept = span_first(method, sizeof s->method - 1);
    for (size_t i = 0; i < kept.len; i++)
        if (!secret_is_run_byte(kept.data[i]))
            return; /* what is no method may be anything */
    if (method.len > sizeof s->method - 1 && secret_looks(method))
        kept.len = redact_hash(redactor, method, s->method);
    else if (kept.len > 0)
        memcpy(s->method, kept.data, kept.len);
}

/* Whether the end of a target was seen, or the parser stopped in it. */
static bool is_whole(const struct setup *s, struct span raw)
{
    static const char after[] = " HTTP/";
    if (raw.len == 0)
        return true;
    struct span rest = span_from(span_make(s->in->data, s->in_len), (size_t)(raw.data - s->in->data) + raw.len);
    return rest.len >= sizeof after - 1 && memcmp(rest.data, after, sizeof after - 1) == 0;
}

void privacy_keep(struct tunnel *t, const struct request *request, bool parsed)
{
    struct setup *s = t->setup;
    const struct redactor *redactor = redactor_of(t->home);
    struct outbuf out = outbuf_make(s->raw_target, sizeof s->raw_target);
    if (parsed)
        redact_target(redactor, request->raw_target, &out, &s->raw_target_truncated);
    else
        redact_unparsed(redactor, request->raw_target, is_whole(s, request->raw_target), &out,
                        &s->raw_target_truncated);
    s->raw_target_len = (uint16_t)out.len;
    if ((!parsed || s->raw_target_truncated) && request->raw_target.len > 0) {
        s->raw_target_bytes = (uint32_t)request->raw_target.len;
        s->raw_target_hash_len = (uint8_t)redact_hash(redactor, request->raw_target, s->raw_target_hash);
    }
    keep_method(s, redactor, request->method_text);
}

/* Whether the raw target was kept whole, and ends with the path as that is shown: then nothing of it is looked at
 * again. Before the path stands what was copied as it is. */
static bool path_was_kept(const struct setup *s, const struct request *request, size_t before)
{
    struct span raw = request->raw_target, path = request->path;
    if (s->raw_target_truncated || path.data != raw.data + before || span_find(path, '?') < path.len)
        return false;
    return s->raw_target_len >= before && memcmp(s->raw_target, raw.data, before) == 0;
}

void privacy_keep_path(struct tunnel *t, const struct request *request)
{
    struct setup *s = t->setup;
    struct span path = request->path;
    size_t before = request->raw_target.len > path.len ? request->raw_target.len - path.len : 0;
    if (before > 0 && path_was_kept(s, request, before)) {
        s->path_len = (uint16_t)(s->raw_target_len - before);
        memcpy(s->path, s->raw_target + before, s->path_len);
        return; /* and no query */
    }
    const struct redactor *redactor = redactor_of(t->home);
    bool cut_path = false, cut_names = false;
    struct outbuf out = outbuf_make(s->path, sizeof s->path);
    redact_path(redactor, path, &out, &cut_path);
    s->path_len = (uint16_t)out.len;
    out = outbuf_make(s->query_names, sizeof s->query_names);
    redact_query_names(redactor, path, &out, &cut_names);
    s->query_names_len = (uint16_t)out.len;
    s->raw_target_truncated = s->raw_target_truncated || cut_path || cut_names;
}

void privacy_keep_sni(struct tunnel *t, struct span raw)
{
    struct setup *s = t->setup;
    struct outbuf out = outbuf_make(s->odd_sni, sizeof s->odd_sni);
    if (raw.len == 0)
        return;
    redact_unparsed(redactor_of(t->home), raw, true, &out, &s->odd_sni_truncated);
    s->odd_sni_len = (uint8_t)out.len;
}
