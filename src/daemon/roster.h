/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster: who belongs to which environment while one book is in force: by the listener that a client came in by, and by
 * its source address. Immutable, attached to its book, gone with it.
 */
#ifndef DAEMON_ROSTER_H
#define DAEMON_ROSTER_H

#include "policy/book.h"
#include "policy/config.h"
#include "tunnel/tenant.h"

struct roster;

#define ROSTER_NONE SIZE_MAX

/*
 * `open` are the listeners that are open, as the configuration at the start had them; `config` is the one that belongs
 * to the book, whose policies stand in the order of its environments, and so do `tenants` (copied). A listener that
 * `config` does not have any more belongs to nobody. ERR_INVALID with findings when it contradicts itself.
 */
MUST_CHECK enum err roster_new(const struct config *open, const struct config *config, const struct book *book,
                               struct tenant *const *tenants, struct diag *diag, struct roster **out);
void roster_free(struct roster *roster); /* NULL is allowed */

/* Index of an environment in the book, or ROSTER_NONE. */
size_t roster_by_listener(const struct roster *roster, size_t listener);
size_t roster_by_source(const struct roster *roster, const struct ipaddr *source);
struct tenant *roster_tenant(const struct roster *roster, size_t environment);

#endif
