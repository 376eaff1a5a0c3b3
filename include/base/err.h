/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err: how our own plumbing fails.
 *
 * Three vocabularies are kept apart in this program: `err` (a function could not do its work), `verdict` with its
 * rule (what a policy says, policy/decision.h) and `reason` (why an attempt was refused or a tunnel ended,
 * wire/reason.h). A function that can fail returns `enum err`, must be checked, and leaves its outputs untouched on
 * failure; outputs come last and are named out_*.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_TABLE(X)                                                                                                   \
    X(ERR_NONE, "none")           /* done */                                                                           \
    X(ERR_INVALID, "invalid")     /* the input breaks its grammar */                                                   \
    X(ERR_TOO_BIG, "too big")     /* a bound or a capacity is reached */                                               \
    X(ERR_AGAIN, "again")         /* not now; the caller will be told */                                               \
    X(ERR_NOT_FOUND, "not found") /* nothing of that name */                                                           \
    X(ERR_EXISTS, "exists")       /* something of that name is there */                                                \
    X(ERR_DENIED, "denied")       /* permission or ownership */                                                        \
    X(ERR_NO_MEMORY, "no memory") /* allocation failed */                                                              \
    X(ERR_IO, "i/o")              /* a system call failed; see errno */                                                \
    X(ERR_CLOSED, "closed")       /* the peer or the gate is closed */                                                 \
    X(ERR_TIMEOUT, "timeout")     /* a deadline passed */                                                              \
    X(ERR_CORRUPT, "corrupt")     /* stored data contradict themselves */                                              \
    X(ERR_BUSY, "busy")           /* held by somebody else */

enum err {
#define X(name, text) name,
    ERR_TABLE(X)
#undef X
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* A short constant English name, never NULL. */
const char *err_text(enum err err);

#endif
