/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names: every name and `*.` pattern of a policy in one table, whatever list it came from, so that one pass over the
 * labels of a host finds all that is said about it. A million names cost a decision what ten cost.
 *
 * The hash of a name is chained over its labels from the right, so that the hashes of all its suffixes come out of one
 * pass: h(www.example.com) = H(h(example.com), "www"). A slot is 32 bits: the number of an item and, in the bits that
 * the number leaves free, a piece of its hash, so that a slot of another name rarely costs a look at its bytes.
 *
 * Built by one thread, then sealed; afterwards it is only read.
 */
#ifndef POLICY_NAMES_H
#define POLICY_NAMES_H

#include "base/hash.h"
#include "wire/hostname.h"

/* In the order in which they are named when several of equal exactness match. */
enum name_kind {
    NAME_ENTRY,        /* egress.hosts */
    NAME_ALLOWED,      /* allowed_hosts */
    NAME_MCP,          /* an MCP endpoint's host */
    NAME_FILE,         /* a line of a list file that allows */
    NAME_GROUP,        /* a host of a package group */
    NAME_GROUP_EXCEPT, /* what a wildcard of that group leaves out */
    NAME_DENIED,       /* denied_hosts */
    NAME_BLOCKLIST,    /* a line of a list file that denies */
    NAME_BUILTIN,      /* names that are denied out of the box */
    NAME_KINDS,
};

struct name_item {
    uint32_t offset; /* of its bytes, a pattern without its "*." */
    uint32_t value;  /* what the list means by it: an index, or a line */
    uint16_t list;   /* which list file */
    uint8_t len;
    uint8_t kind_wild; /* kind * 2 + wild */
};

struct names {
    struct hash_key key;
    char *text; /* the bytes of all names, without separators */
    size_t text_len, text_cap;
    struct name_item *items;
    size_t count, cap;
    uint32_t *slots;
    uint32_t doubles; /* items that stand behind an equal one: known once it is sealed */
    uint32_t mask;
    uint8_t index_bits;
};

void names_init(struct names *names);
void names_clear(struct names *names);

/* Room for that many more, so that a large list grows the table once. */
MUST_CHECK enum err names_reserve(struct names *names, size_t items, size_t bytes);

/* `name` is canonical; for a pattern, what follows "*.". ERR_TOO_BIG above 4 GiB of names. */
MUST_CHECK enum err names_add(struct names *names, enum name_kind kind, bool wild, struct span name, uint32_t value,
                              uint16_t list);

/* Makes the table. Of two equal entries of one kind the first counts. */
MUST_CHECK enum err names_seal(struct names *names);

/* What matches a host: for each kind the most specific item (exact before the longest pattern). */
struct name_hit {
    uint32_t item; /* its number + 1; 0: nothing */
    uint8_t len;   /* of its name */
    bool exact;
};

/* `patterns_only` leaves exact items out. */
void names_find(const struct names *names, const struct hostname *host, bool patterns_only,
                struct name_hit out[static NAME_KINDS]);

/* The item of this very key, + 1; 0 if there is none. */
uint32_t names_lookup(const struct names *names, enum name_kind kind, bool wild, struct span name);

struct span names_text(const struct names *names, uint32_t item);  /* of a pattern, what follows "*." */
struct span names_whole(const struct names *names, uint32_t item); /* with "*." */
enum name_kind names_kind(const struct name_item *item);
bool names_is_wild(const struct name_item *item);

#endif
