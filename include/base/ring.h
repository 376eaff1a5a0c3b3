/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring: a byte ring with one producer thread and one consumer thread, no locks. A message is contiguous: one that
 * would cross the end of the buffer is put at its start and the gap is skipped by the consumer.
 *
 *   consumed <= read <= published          positions only grow; index = position % capacity
 *   |--- kept until consumed ---|--- published ---|--- free ---|
 *
 * Space returns when the consumer says so (ring_consume), not when it reads: the audit writer reads a record, makes
 * it durable, and only then consumes it. `consumed` is therefore the "durable up to" number that the producer polls.
 * When the ring is empty the producer continues at the start of the buffer, so that a large ring in quiet times
 * touches few pages.
 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include "base/err.h"
#include "base/span.h"

struct ring;

/* `cap` is a power of two from 4096 to 2^31, else ERR_INVALID; memory is mapped, not touched. ERR_NO_MEMORY. */
MUST_CHECK enum err ring_new(size_t cap, struct ring **out);
void ring_free(struct ring *r); /* NULL is allowed */

/* Producer: room for a message of `len` bytes, 8-byte aligned, or NULL when it does not fit now. ring_publish() makes
 * the first `len` bytes of it visible (len at most what was reserved) and gives the position behind it: the message
 * has been consumed once ring_consumed() >= that position. */
void *ring_reserve(struct ring *r, size_t len);
uint64_t ring_publish(struct ring *r, size_t len);
uint64_t ring_consumed(const struct ring *r); /* acquire */

/* Consumer: the next message not read yet, or an empty span; its bytes stay valid until consumed. */
struct span ring_read(struct ring *r);
uint64_t ring_read_position(const struct ring *r);
/* Everything read so far is done with (release). */
void ring_consume(struct ring *r);
/* Forgets what was read and not consumed: the next ring_read() starts at `consumed` again. */
void ring_rewind(struct ring *r);

#endif
