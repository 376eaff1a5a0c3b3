/* SPDX-License-Identifier: Apache-2.0 */
/* request_fields: the field lines of a complete head, and the checks that need all of them. */
#ifndef WIRE_REQUEST_FIELDS_H
#define WIRE_REQUEST_FIELDS_H

#include "wire/request.h"

/* `lines` are the field lines, each with its CRLF, byte-wise checked by the scanner and at most REQUEST_HEADERS_MAX;
 * the request line's facts are in *request already. Gives REASON_NONE, or why the head is refused. */
enum reason request_fields_read(struct span lines, struct request *request);

#endif
