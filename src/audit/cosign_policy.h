/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_COSIGN_POLICY_H
#define AUDIT_COSIGN_POLICY_H

#include "audit/cosign.h"

#define COSIGN_NODES_MAX (2u * COSIGN_WITNESSES_MAX) /* witnesses, then groups */

struct cosign_group {
    char label[64];
    unsigned wanted;
    bool member[COSIGN_NODES_MAX];
};

struct cosign_policy {
    struct cosign_witness witnesses[COSIGN_WITNESSES_MAX];
    size_t witness_count;
    struct cosign_group groups[COSIGN_WITNESSES_MAX];
    size_t group_count;
    size_t quorum; /* a node; COSIGN_NODES_MAX: none is asked for */
    bool has_quorum;
};

#endif
