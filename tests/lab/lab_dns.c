/* SPDX-License-Identifier: Apache-2.0 */
/* The fake name server of the lab, and what is on record of the questions to it. */
#include "lab_private.h"

#include "base/assert.h"

#define LOOKUPS   (sizeof((struct lab *)0)->lookups / sizeof((struct lab *)0)->lookups[0])
#define QUESTIONS 2u /* of a lookup: A and AAAA */

enum err lab_lookup(void *ctx, const struct hostname *name, uint32_t timeout_ms, const struct lookup_calls *calls,
                    void *arg, struct answers *out, struct lookup **out_lookup)
{
    struct lab *lab = ctx;
    ASSERT(timeout_ms > 0);
    struct lab_attempt *permit = lab_permit_for(lab, hostname_span(name), false);
    ASSERT(permit != NULL);
    if (lab->no_server)
        return ERR_CLOSED;
    if (lab->dns_at_once) {
        permit->lookups++;
        lab->queries++;
        *out = (struct answers){.result = DNS_OK, .count = (uint8_t)lab->dns_addr_count};
        memcpy(out->addresses, lab->dns_addr, sizeof lab->dns_addr);
        return ERR_NONE;
    }
    for (size_t i = 0; i < LOOKUPS; i++) {
        struct lab_lookup *l = &lab->lookups[i];
        if (l->in_use || l->orphan)
            continue;
        void *note = calls->begins(arg, QUESTIONS);
        if (note == NULL)
            return ERR_BUSY;
        permit->lookups++;
        lab->queries++;
        lab->questions += QUESTIONS;
        *l = (struct lab_lookup){.in_use = true, .name = *name, .calls = calls, .note = note, .arg = arg};
        *out_lookup = (struct lookup *)(void *)l;
        return ERR_AGAIN;
    }
    return ERR_TOO_BIG;
}

/* Its questions go on without it. */
uint32_t lab_lookup_cancel(void *ctx, struct lookup *lookup)
{
    (void)ctx;
    struct lab_lookup *l = (struct lab_lookup *)(void *)lookup;
    ASSERT(l->in_use);
    l->in_use = false;
    l->orphan = true;
    return QUESTIONS;
}

static void end_questions(struct lab_lookup *l, enum dns_result result)
{
    const struct dns_addresses answer = {.result = result};
    const struct lookup_question question = {
        .name = &l->name, .type = DNS_TYPE_A, .answer = &answer, .sent = 1, .rcode = DNS_RCODE_NONE};
    for (unsigned i = 0; i < QUESTIONS; i++)
        l->calls->ended(l->note, &question);
    l->orphan = false;
}

void lab_end_orphans(struct lab *lab)
{
    for (size_t i = 0; i < LOOKUPS; i++)
        if (lab->lookups[i].orphan)
            end_questions(&lab->lookups[i], DNS_TIMEOUT);
}

bool lab_answer(struct lab *lab, size_t index, enum dns_result result)
{
    for (size_t i = 0; i < LOOKUPS; i++) {
        struct lab_lookup *l = &lab->lookups[i];
        if (!l->in_use || index-- > 0)
            continue;
        struct answers answers = {.result = result, .queries_sent = 2};
        if (result == DNS_OK) {
            answers.count = (uint8_t)lab->dns_addr_count;
            memcpy(answers.addresses, lab->dns_addr, sizeof lab->dns_addr);
        }
        l->in_use = false;
        end_questions(l, result);
        l->calls->answered(l->arg, &answers);
        lab_turn(lab);
        return true;
    }
    return false;
}

size_t lab_lookups_pending(const struct lab *lab)
{
    size_t n = 0;
    for (size_t i = 0; i < LOOKUPS; i++)
        n += lab->lookups[i].in_use;
    return n;
}

/* Sentence 1: a question belongs to an allowed attempt that was sealed before it, and no more are on record than left. */
void lab_note_lookup(struct lab *lab, const struct record_flow *flow)
{
    for (size_t i = lab->attempt_count; i > 0; i--) {
        struct lab_attempt *a = &lab->attempts[i - 1];
        if (memcmp(a->flow, flow->flow, sizeof a->flow) != 0)
            continue;
        ASSERT(a->allowed && span_is(hostname_span(&flow->target->name), a->host));
        a->questions++;
        lab->questions_recorded++;
        /* Which of several attempts for one name a lookup is of cannot be told from outside: each has one at most. */
        ASSERT(a->questions <= QUESTIONS && lab->questions_recorded <= lab->questions && flow->dns_sent == 1);
        return;
    }
    ASSERT(false); /* a question without its attempt */
}
