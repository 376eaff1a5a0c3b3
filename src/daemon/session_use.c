/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session has used up stands in its file, so that a restart or a crash gives it nothing back: bytes each way,
 * and the end of a quarantine. It is written once a second where it has changed, and when the program ends. A crash
 * loses what came since: a second's worth, or as many seconds as it takes to write SAVES_A_TICK files at a time.
 */
#include "session.h"

#include "base/clock.h"

#define SAVES_A_TICK 256u

static uint64_t wall_ms(void)
{
    return (uint64_t)(clock_wall_ns() / 1000000);
}

/* In whole seconds of the wall clock, rounded up, since the other clock begins anew with the machine. */
static uint64_t quarantine_end_s(const struct session *session)
{
    uint64_t left_ms = meter_quarantined_ms(&session->use.meter, clock_mono_ns() / 1000000);
    return left_ms == 0 ? 0 : (wall_ms() + left_ms + 999) / 1000;
}

void session_use_note(struct session *session)
{
    struct session_spec *spec = &session->spec;
    spec->used_up = gauge_spent(&session->use.meter.up);
    spec->used_down = gauge_spent(&session->use.meter.down);
    uint64_t end_s = quarantine_end_s(session);
    /* The same end looks a second apart from one moment to the next. */
    if (end_s == 0 || end_s > spec->quarantined_s + 1 || end_s + 1 < spec->quarantined_s)
        spec->quarantined_s = end_s;
}

void session_use_restore(struct session *session)
{
    const struct session_spec *spec = &session->spec;
    gauge_add(&session->use.meter.up, spec->used_up);
    gauge_add(&session->use.meter.down, spec->used_down);
    uint64_t now_ms = wall_ms(), end_ms = spec->quarantined_s * 1000;
    if (end_ms > now_ms)
        meter_quarantine(&session->use.meter, clock_mono_ns() / 1000000 + (end_ms - now_ms));
}

static bool has_changed(struct session *session)
{
    const struct session_spec *spec = &session->spec;
    uint64_t up = spec->used_up, down = spec->used_down, end_s = spec->quarantined_s;
    session_use_note(session);
    bool changed = up != spec->used_up || down != spec->used_down || end_s != spec->quarantined_s;
    session->use_unsaved = session->use_unsaved || changed;
    return session->use_unsaved;
}

void sessions_use_save(struct sessions *sessions, bool all)
{
    struct session *first = sessions->first;
    size_t saves = 0, seen = 0;
    /* From where the last second ended, so that nobody's turn never comes. */
    for (size_t i = 0; first != NULL && i < sessions->use_from; i++)
        first = first->next;
    sessions->use_from = first == NULL || all ? 0 : sessions->use_from;
    for (struct session *s = all || first == NULL ? sessions->first : first; s != NULL; s = s->next, seen++) {
        if (!s->open || !has_changed(s))
            continue;
        if (!all && saves++ == SAVES_A_TICK)
            break;
        s->use_unsaved = !session_place_save(s);
    }
    sessions->use_from = !all && saves > SAVES_A_TICK ? sessions->use_from + seen : 0;
}
