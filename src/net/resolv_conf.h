/* SPDX-License-Identifier: Apache-2.0 */
/* resolv_conf: the name servers of a resolv.conf(5), and nothing else of it: no search list, no options. */
#ifndef NET_RESOLV_CONF_H
#define NET_RESOLV_CONF_H

#include "net/resolver.h"

/* The first `cap` servers, port 53. A line that is not an address without a zone is left out. Gives their number. */
size_t resolv_conf_parse(struct span text, struct resolver_server *out, size_t cap);
/* The same of a file of at most 64 KiB; 0 if it cannot be read. */
size_t resolv_conf_read(const char *path, struct resolver_server *out, size_t cap);

#endif
