/* SPDX-License-Identifier: Apache-2.0 */
/* What writing and reading a snapshot share: lines of text, and rows behind a line with their number. */
#ifndef AUDIT_SNAPSHOT_PRIVATE_H
#define AUDIT_SNAPSHOT_PRIVATE_H

#define SNAPSHOT_HEAD "sallyport snapshot 1"
#define SNAPSHOT_NAME 16

void snapshot_name(unsigned number, char out[static SNAPSHOT_NAME]);

#endif
