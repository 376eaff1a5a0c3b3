/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change: lines that could be added to a policy, as a value: policy_opening() makes one, and a load can be asked what
 * the policy would be if they stood in it (struct policy_sources).
 */
#ifndef POLICY_CHANGE_H
#define POLICY_CHANGE_H

#include "wire/target.h"

#define CHANGE_PORTS_MAX 64
#define CHANGE_NEW_ENTRY UINT32_MAX

enum change_kind {
    CHANGE_NONE,          /* nothing opens it, or no few lines would */
    CHANGE_MCP_TOGGLE,    /* allow_mcp_servers: true */
    CHANGE_ALLOWED_HOST,  /* one more in allowed_hosts */
    CHANGE_ENTRY,         /* keys of an entry of egress.hosts */
    CHANGE_BLOCKED_PORTS, /* the list that replaces the default */
};

struct policy_change {
    enum change_kind kind;
    char host[TARGET_TEXT_MAX];
    uint32_t entry; /* its number in egress.hosts, or CHANGE_NEW_ENTRY */
    bool sets_ports;
    uint16_t ports[CHANGE_PORTS_MAX]; /* the whole list */
    size_t port_count;
    char address[IPADDR_TEXT_MAX + 4]; /* one more prefix to pin to; empty: none */
    uint32_t methods;                  /* the whole set, bits 1 << enum method; 0: as they are */
    const char *tls_key, *tls_word;    /* literals; NULL: as they are */
};

#endif
