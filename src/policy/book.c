/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/book.h"

#include "base/assert.h"

#include <stdatomic.h>
#include <stdlib.h>

struct book {
    atomic_uint references;
    uint64_t generation;
    void *attached;
    void (*free_attached)(void *object);
    size_t count;
    struct policy *policies[];
};

static bool shares_an_id(const struct policy *a, const struct policy *b)
{
    for (size_t i = 0; i < policy_environment_id_count(a); i++)
        for (size_t j = 0; j < policy_environment_id_count(b); j++)
            if (span_equal(policy_environment_id(a, i), policy_environment_id(b, j)))
                return true;
    return false;
}

static bool clashes(struct policy *const *policies, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            if (span_equal(policy_name(policies[i]), policy_name(policies[j])) ||
                shares_an_id(policies[i], policies[j]))
                return true;
    return false;
}

enum err book_make(struct policy *const *policies, size_t count, uint64_t generation, struct book **out)
{
    if (clashes(policies, count))
        return ERR_EXISTS;
    struct book *book = calloc(1, sizeof *book + count * sizeof(struct policy *));
    if (book == NULL)
        return ERR_NO_MEMORY;
    atomic_init(&book->references, 1);
    book->generation = generation;
    book->count = count;
    for (size_t i = 0; i < count; i++)
        book->policies[i] = policy_ref(policies[i]);
    *out = book;
    return ERR_NONE;
}

struct book *book_ref(struct book *book)
{
    unsigned before = atomic_fetch_add_explicit(&book->references, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return book;
}

void book_unref(struct book *book)
{
    if (book == NULL)
        return;
    unsigned before = atomic_fetch_sub_explicit(&book->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    for (size_t i = 0; i < book->count; i++)
        policy_unref(book->policies[i]);
    if (book->free_attached != NULL)
        book->free_attached(book->attached);
    free(book);
}

void book_attach(struct book *book, void *object, void (*free_object)(void *object))
{
    ASSERT(book->attached == NULL);
    book->attached = object;
    book->free_attached = free_object;
}

void *book_attached(const struct book *book)
{
    return book->attached;
}

uint64_t book_generation(const struct book *book)
{
    return book->generation;
}

size_t book_count(const struct book *book)
{
    return book->count;
}

struct policy *book_at(const struct book *book, size_t index)
{
    ASSERT(index < book->count);
    return book->policies[index];
}

struct policy *book_find(const struct book *book, struct span environment)
{
    for (size_t i = 0; i < book->count; i++)
        if (span_equal(policy_name(book->policies[i]), environment))
            return book->policies[i];
    return NULL;
}

struct policy *book_find_id(const struct book *book, struct span environment_id)
{
    for (size_t i = 0; i < book->count; i++)
        for (size_t j = 0; j < policy_environment_id_count(book->policies[i]); j++)
            if (span_equal(policy_environment_id(book->policies[i], j), environment_id))
                return book->policies[i];
    return NULL;
}
