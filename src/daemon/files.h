/* SPDX-License-Identifier: Apache-2.0 */
/* files: what a load read, with a mark of each, so that somebody can see later whether it changed. */
#ifndef DAEMON_FILES_H
#define DAEMON_FILES_H

#include "policy/policy.h"

struct files {
    struct policy_file *items; /* heap; so are the paths */
    size_t count, cap;
};

/* False: no memory. */
bool files_add(struct files *files, const char *path, bool on_demand, const struct policy_mark *mark);
bool files_add_policy(struct files *files, const struct policy *policy);
void files_clear(struct files *files);

/* The first that is not what it was; NULL if there is none. */
const struct policy_file *files_changed(const struct files *files);

#endif
