/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "base/log.h"

#include <stdio.h>

#define EXIT_CONFIG 78

/* Those that heads of the log wait for, if any. Without a quorum there would be nobody to wait for. */
int witnesses_load(struct daemon *daemon)
{
    static const bool nobody[COSIGN_WITNESSES_MAX];
    char why[256] = "";
    const char *file = daemon->config->audit.witness_file;
    if (!daemon->config->audit.publish)
        return 0;
    enum err err = cosign_policy_load(file, &daemon->witnesses, why, sizeof why);
    if (err == ERR_NONE && cosign_quorum(daemon->witnesses, nobody)) {
        snprintf(why, sizeof why, "%s", "'quorum none' asks for no witness; use audit.witness.require: async");
        err = ERR_INVALID;
    }
    if (err != ERR_NONE)
        log_error("the witnesses of the audit log are not known", "file=%s why=%s", file, why);
    return err == ERR_NONE ? 0 : EXIT_CONFIG;
}
