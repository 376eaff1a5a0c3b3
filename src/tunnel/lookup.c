/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The questions that leave for an attempt, and their records. A question may outlive the tunnel that it was asked for,
 * so what its record needs is kept in a note of its own; room for the record is promised before it leaves.
 */
#include "internal.h"

#include "base/assert.h"

#include <stdlib.h>

#define NOTE_TEXT_MAX 128
#define NOTES_KEPT    512u

#define QUESTIONS_A_LOOKUP 2u /* A and AAAA */

struct note_text {
    char text[NOTE_TEXT_MAX];
    uint8_t len;
};

/* For whom the questions of one lookup left. */
struct lookup_note {
    struct lookup_note *next; /* of those that are free */
    struct tunnels *home;
    struct tenant *tenant;
    struct tunnel_client from;
    uint8_t flow[FLOW_ID_BYTES];
    struct note_text environment, session, work, agent;
    unsigned questions; /* that have not ended */
};

static void keep(struct note_text *to, struct span text)
{
    struct span kept = span_first(text, text.len < NOTE_TEXT_MAX ? text.len : NOTE_TEXT_MAX);
    if (kept.len > 0)
        memcpy(to->text, kept.data, kept.len);
    to->len = (uint8_t)kept.len;
}

static struct span text_of(const struct note_text *text)
{
    return span_make(text->text, text->len);
}

static struct lookup_note *note_get(struct tunnels *home)
{
    struct lookup_note *note = home->free_notes;
    if (note == NULL)
        return malloc(sizeof *note);
    home->free_notes = note->next;
    home->free_note_count--;
    return note;
}

static void note_put(struct tunnels *home, struct lookup_note *note)
{
    if (home->free_note_count >= NOTES_KEPT) {
        free(note);
        return;
    }
    note->next = home->free_notes;
    home->free_notes = note;
    home->free_note_count++;
}

void lookup_notes_free(struct tunnels *home)
{
    while (home->free_notes != NULL) {
        struct lookup_note *note = home->free_notes;
        home->free_notes = note->next;
        free(note);
    }
}

static uint64_t share_of(const struct tunnel *t, uint64_t max)
{
    return tunnel_share(t, policy_limits(t->policy), max);
}

/* Questions may outlive the attempt that they left for, and a worker has room for few: each environment for its share. */
static bool take_share(struct tunnel *t, unsigned count, size_t bytes)
{
    const struct tunnel_process *process = t->home->o.process;
    struct tenant *tenant = t->who.tenant;
    if (!budget_take(&tenant->questions, count, QUESTIONS_A_LOOKUP * share_of(t, process->lookups_max)))
        return false;
    if (budget_take(&tenant->credit, bytes, share_of(t, process->credit_max)))
        return true;
    budget_give(&tenant->questions, count);
    return false;
}

/* Of the worker's room and of the environment's share of it. */
static bool take_room(struct tunnel *t, unsigned count)
{
    const size_t bytes = (size_t)count * DESK_RECORD_BYTES;
    t->setup->lookup_share_full = !take_share(t, count, bytes);
    if (t->setup->lookup_share_full)
        return false;
    if (desk_credit_take(t->home->o.desk, bytes))
        return true;
    budget_give(&t->who.tenant->questions, count);
    budget_give(&t->who.tenant->credit, bytes);
    return false;
}

static void *lookup_begins(void *arg, unsigned count)
{
    struct tunnel *t = arg;
    struct tunnels *home = t->home;
    struct lookup_note *note = note_get(home);
    if (note == NULL)
        return NULL;
    if (!take_room(t, count)) {
        note_put(home, note);
        return NULL;
    }
    note->home = home;
    note->tenant = t->who.tenant;
    note->from = t->from;
    note->questions = count;
    memcpy(note->flow, t->flow, sizeof note->flow);
    keep(&note->environment, t->who.environment);
    keep(&note->session, t->who.session);
    keep(&note->work, t->who.work);
    keep(&note->agent, t->who.agent);
    home->noted++;
    return note;
}

static void lookup_ended(void *arg, const struct lookup_question *question)
{
    struct lookup_note *note = arg;
    struct tunnels *home = note->home;
    const struct lookup_asker asker = {
        .flow = note->flow,
        .from = &note->from,
        .environment = text_of(&note->environment),
        .session = text_of(&note->session),
        .work = text_of(&note->work),
        .agent = text_of(&note->agent),
    };
    if (question != NULL)
        COUNT(home, dns_sent, question->sent);
    if (question != NULL)
        record_lookup(home, &asker, question);
    else
        desk_credit_give(home->o.desk, DESK_RECORD_BYTES);
    budget_give(&note->tenant->credit, DESK_RECORD_BYTES);
    budget_give(&note->tenant->questions, 1);
    ASSERT(note->questions > 0);
    if (--note->questions > 0)
        return;
    home->noted--;
    note_put(home, note);
}

bool lookup_take(struct tunnel *t)
{
    return budget_take(&t->who.tenant->lookups, 1, share_of(t, t->home->o.process->lookups_max));
}

void lookup_given_back(struct tunnel *t)
{
    budget_give(&t->who.tenant->lookups, 1);
}

static void on_answers(void *arg, const struct answers *answers)
{
    struct tunnel *t = arg;
    t->setup->lookup = NULL;
    lookup_given_back(t);
    t->setup->answers = *answers;
    t->setup->has_answers = true;
    tunnel_run(t);
}

const struct lookup_calls tunnel_lookup_calls = {
    .answered = on_answers,
    .begins = lookup_begins,
    .ended = lookup_ended,
};
