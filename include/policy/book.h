/* SPDX-License-Identifier: Apache-2.0 */
/*
 * book: the policies of all environments at one moment, immutable, with a generation; swapped whole. Main makes one,
 * takes a reference for each worker and posts it; a worker swaps its pointer between events. References are atomic.
 */
#ifndef POLICY_BOOK_H
#define POLICY_BOOK_H

#include "policy/policy.h"

struct book;

/* Takes its own references to the policies (names and environment_ids must differ, else ERR_EXISTS). */
MUST_CHECK enum err book_make(struct policy *const *policies, size_t count, uint64_t generation, struct book **out);
struct book *book_ref(struct book *book); /* gives it back; any thread, as the next */
void book_unref(struct book *book);       /* NULL is allowed */

/* Something of the maker's own that is true for this book alone and goes with it: freed after the last reference, by
 * the thread that gave it up. Once, before the book is shared. */
void book_attach(struct book *book, void *object, void (*free_object)(void *object));
void *book_attached(const struct book *book); /* NULL if there is nothing */

/* Policies in the order in which they were given; each reload has a greater generation. */
uint64_t book_generation(const struct book *book);
size_t book_count(const struct book *book);
struct policy *book_at(const struct book *book, size_t index);                    /* borrowed */
struct policy *book_find(const struct book *book, struct span environment);       /* borrowed, NULL if there is none */
struct policy *book_find_id(const struct book *book, struct span environment_id); /* by egress.environment_ids */

#endif
