/* SPDX-License-Identifier: Apache-2.0 */
/* forward_head: what the makers of heads share with those who read them. */
#ifndef WIRE_FORWARD_HEAD_H
#define WIRE_FORWARD_HEAD_H

/* Before the digits of via_id. */
#define FORWARD_PSEUDONYM "sallyport-"

#endif
