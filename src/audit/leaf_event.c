/* SPDX-License-Identifier: Apache-2.0 */
#include "leaf.h"
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

static void write_fact(struct leaf_writer *w, const struct event_fact *fact)
{
    if (fact->is_number)
        json_key_u64(&w->json, fact->key, fact->number);
    else
        json_key_span(&w->json, fact->key, w->tight ? pack_cut(fact->text, TIGHT_FACT) : fact->text);
}

static void write_entity(struct leaf_writer *w, const struct record_event *e)
{
    struct json *j = &w->json;
    json_key(j, "entity");
    json_open(j, '{');
    json_key_text(j, "type",
                  e->event == EVENT_KEY_CREATED || e->event == EVENT_KEY_ROTATED || e->event == EVENT_SIGNER_ADOPTED
                      ? "key"
                      : "policy");
    leaf_string(w, "uid", e->subject.len != 0 ? e->subject : span_text("-"));
    json_close(j, '}');
}

void leaf_write_event(struct leaf_writer *w)
{
    const struct record_event *e = &w->sealed->event;
    struct json *j = &w->json;
    const struct event_row *row = &rows[(size_t)e->event < sizeof rows / sizeof rows[0] ? (size_t)e->event : 0];
    leaf_metadata(w, row->name, leaf_environment(w->sealed), NULL);
    leaf_unmapped_open(w);
    for (size_t i = 0; i < e->fact_count; i++)
        write_fact(w, &e->facts[i]);
    json_close(j, '}');
    unsigned severity =
        e->event == EVENT_GATE_CLOSED                                                                             ? 5
        : e->event == EVENT_POLICY_REFUSED || e->event == EVENT_SIGNER_ADOPTED || e->event == EVENT_LIMIT_WARNING ? 3
                                                                                                                  : 1;
    leaf_class(w, row->class_uid, row->activity, severity);
    if (row->activity == OCSF_OTHER)
        json_key_text(j, "activity_name", row->name);
    leaf_string(w, "message", e->message);
    if (row->class_uid == OCSF_ENTITY_MANAGEMENT) {
        write_entity(w, e);
    } else {
        json_key_text(j, "log_name", w->ctx->origin);
        json_key_text(j, "log_provider", "sallyport");
    }
}
