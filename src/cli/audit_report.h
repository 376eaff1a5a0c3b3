/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_AUDIT_REPORT_H
#define CLI_AUDIT_REPORT_H

#include "audit/verify.h"

/* What was verified, for an auditor: as text on standard output, or with `file` as one HTML file without any reference
 * to elsewhere. False when it could not be written; that was said. */
bool audit_report(const struct verify_report *report, const char *file);

#endif
