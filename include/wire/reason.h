/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reason: why an attempt was refused, failed or ended. One row a reason in wire/reason_tbl.h; the name is stable and
 * stands in records, refusals and tests.
 */
#ifndef WIRE_REASON_H
#define WIRE_REASON_H

#include "base/span.h"

enum reason {
    REASON_NONE, /* nothing decided yet; never recorded */
#define X(id, code, name, status, alert, socks, severity, retry, sentence) REASON_##id,
#include "wire/reason_tbl.h"
#undef X
    REASON_COUNT
};

struct reason_row {
    const char *code;     /* "R-HOST" */
    const char *name;     /* "host_not_allowed" */
    uint16_t http_status; /* 0: cannot reach an HTTP client */
    uint8_t tls_alert;    /* 0: none is sent (RFC 8446 6.2) */
    uint8_t socks_reply;  /* 0xff: closed without a reply (RFC 1928 6) */
    uint8_t severity;     /* OCSF severity_id */
    bool retry;           /* whether trying again later may help */
    const char *sentence; /* what a person is told */
};

/* The row; `reason` must be a real one, not REASON_NONE. */
const struct reason_row *reason_row(enum reason reason);

/* By stable name; REASON_NONE if there is none such. */
enum reason reason_by_name(struct span name);

#endif
