/* SPDX-License-Identifier: Apache-2.0 */
#include "leaf.h"

#include "base/json.h"
#include "pack.h"

#define OCSF_ENTITY_MANAGEMENT 3004u
#define OCSF_OTHER             99u
#define TIGHT_FACT             24

struct event_row {
    unsigned class_uid, activity;
    const char *name;
};

static const struct event_row rows[] = {
#define X(id, class_uid, activity, name) [EVENT_##id] = {class_uid, activity, name},
    EVENT_TABLE(X)
#undef X
};

static void write_fact(struct json *j, const struct event_fact *fact, bool tight)
{
    if (fact->is_number)
        json_key_u64(j, fact->key, fact->number);
    else
        json_key_span(j, fact->key, tight ? pack_cut(fact->text, TIGHT_FACT) : fact->text);
}

static void write_string(struct leaf_writer *w, struct json *j, const char *key, struct span value)
{
    if (value.len != 0)
        json_key_span(j, key, leaf_kept(w, value));
}

static void write_entity(struct leaf_writer *w, struct json *j, const struct record_event *e)
{
    json_key(j, "entity");
    json_open(j, '{');
    json_key_text(j, "type",
                  e->event == EVENT_KEY_CREATED || e->event == EVENT_KEY_ROTATED || e->event == EVENT_SIGNER_ADOPTED
                      ? "key"
                      : "policy");
    write_string(w, j, "uid", e->subject.len != 0 ? e->subject : span_text("-"));
    json_close(j, '}');
}

static unsigned severity(enum event_kind event)
{
    bool notable = event == EVENT_POLICY_REFUSED || event == EVENT_SIGNER_ADOPTED || event == EVENT_LIMIT_WARNING;
    return event == EVENT_GATE_CLOSED ? 5 : notable ? 3 : 1;
}

static void write_class(struct leaf_writer *w, struct json *j, const struct event_row *row, unsigned severity_id)
{
    json_key_i64(j, "time", w->sealed->wall_ms);
    json_key_u64(j, "class_uid", row->class_uid);
    json_key_u64(j, "category_uid", row->class_uid / 1000);
    json_key_u64(j, "activity_id", row->activity);
    json_key_u64(j, "type_uid", row->class_uid * 100 + row->activity);
    json_key_u64(j, "severity_id", severity_id);
}

/* Events are few and their facts many: behind their metadata they are written within bounds, piece by piece. */
uint8_t *leaf_write_event(struct leaf_writer *w, uint8_t *at)
{
    const struct record_event *e = &w->sealed->event;
    const struct event_row *row = &rows[(size_t)e->event < sizeof rows / sizeof rows[0] ? (size_t)e->event : 0];
    uint8_t *begun = leaf_open(w, at, row->name, leaf_environment(w->sealed), NULL);
    size_t len = (size_t)(begun - at);
    struct outbuf o = outbuf_make(begun, len < RECORD_LEAF_MAX ? RECORD_LEAF_MAX - len : 0);
    struct json j = json_make(&o);
    j.need_comma = true;
    for (size_t i = 0; i < e->fact_count; i++)
        write_fact(&j, &e->facts[i], w->tight);
    json_close(&j, '}');
    write_class(w, &j, row, severity(e->event));
    if (row->activity == OCSF_OTHER)
        json_key_text(&j, "activity_name", row->name);
    write_string(w, &j, "message", e->message);
    if (row->class_uid == OCSF_ENTITY_MANAGEMENT) {
        write_entity(w, &j, e);
    } else {
        json_key_text(&j, "log_name", w->ctx->origin);
        json_key_text(&j, "log_provider", "sallyport");
    }
    return o.overflow ? NULL : begun + o.len;
}
