/* SPDX-License-Identifier: Apache-2.0 */
/* explain_open: the few lines that would turn a refusal into a yes, and everything else that they would open. */
#ifndef CLI_EXPLAIN_OPEN_H
#define CLI_EXPLAIN_OPEN_H

#include "base/json.h"
#include "policy/catalogue.h"
#include "policy/policy.h"

#define OPENING_CHANGES_MAX 6

/* Asks a policy what was asked before. */
typedef void opening_ask_fn(const void *arg, const struct policy *policy, struct decision *out,
                            const struct ipaddr **out_address);

struct opening_case {
    const struct policy_sources *sources; /* of `policy` */
    const struct policy *policy;
    const struct question *question;
    const struct catalogue *catalogue;
    opening_ask_fn *ask;
    const void *arg;
};

struct opening {
    char text[16384];
    size_t len;
    struct policy_change changes[OPENING_CHANGES_MAX];
    size_t change_count;
    bool opens;             /* with these lines the answer is yes */
    struct decision left;   /* the answer with them */
    struct policy *changed; /* the policy with them; NULL if there are none */
    char forbids[640];      /* why a policy with these lines would not load; empty: it would */
};

void opening_find(const struct opening_case *c, const struct decision *decision, const struct ipaddr *address,
                  struct opening *out);
void opening_free(struct opening *opening);

void opening_print(const struct opening_case *c, const struct opening *opening);
void opening_json(const struct opening_case *c, const struct opening *opening, struct json *j);

#endif
