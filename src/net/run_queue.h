/* SPDX-License-Identifier: Apache-2.0 */
/* run_queue: items that wait for the end of the turn (net/loop.h). */
#ifndef NET_RUN_QUEUE_H
#define NET_RUN_QUEUE_H

#include "net/loop.h"

/* Each list ends in an item of its own, so that an item can leave without knowing its list. */
struct run_queue {
    struct run_item *asked; /* since the run began */
    struct run_item asked_end;
    struct run_item *running; /* of the run under way */
    struct run_item running_end;
};

void run_queue_init(struct run_queue *queue);
bool run_queue_empty(const struct run_queue *queue);
void run_queue_add(struct run_queue *queue, struct run_item *item);
/* Runs what is there; what is added meanwhile waits for the next run, so that nobody keeps the events waiting. */
void run_queue_run(struct run_queue *queue);

#endif
