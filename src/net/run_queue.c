/* SPDX-License-Identifier: Apache-2.0 */
#include "run_queue.h"

static void list_init(struct run_item **list, struct run_item *end)
{
    *end = (struct run_item){.link = list};
    *list = end;
}

void run_queue_init(struct run_queue *queue)
{
    list_init(&queue->asked, &queue->asked_end);
    list_init(&queue->running, &queue->running_end);
}

bool run_queue_empty(const struct run_queue *queue)
{
    return queue->asked == &queue->asked_end;
}

void run_item_init(struct run_item *item, run_fn *fn)
{
    *item = (struct run_item){.fn = fn};
}

void run_queue_add(struct run_queue *queue, struct run_item *item)
{
    if (item->link != NULL) {
        return;
    }
    item->link = queue->asked_end.link;
    item->next = &queue->asked_end;
    *item->link = item;
    queue->asked_end.link = &item->next;
}

void run_item_cancel(struct run_item *item)
{
    if (item->link == NULL) {
        return;
    }
    *item->link = item->next;
    item->next->link = item->link;
    item->next = NULL;
    item->link = NULL;
}

void run_queue_run(struct run_queue *queue)
{
    if (run_queue_empty(queue)) {
        return;
    }
    queue->running = queue->asked;
    queue->running->link = &queue->running;
    queue->running_end.link = queue->asked_end.link;
    *queue->running_end.link = &queue->running_end;
    list_init(&queue->asked, &queue->asked_end);
    while (queue->running != &queue->running_end) {
        struct run_item *item = queue->running;

        run_item_cancel(item);
        item->fn(item);
    }
}
