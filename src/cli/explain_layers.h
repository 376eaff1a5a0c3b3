/* SPDX-License-Identifier: Apache-2.0 */
/* explain_layers: one line for what each layer says by itself. */
#ifndef CLI_EXPLAIN_LAYERS_H
#define CLI_EXPLAIN_LAYERS_H

#include "base/json.h"
#include "policy/policy.h"

struct layers_case {
    const struct policy *policy;
    const struct policy *ceiling; /* NULL: none */
    const struct question *question;
    const struct decision *decision;
    bool address_asked, hello_asked;
};

void layers_print(const struct layers_case *c);
void layers_json(const struct layers_case *c, struct json *j);

#endif
