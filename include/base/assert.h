/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assert: our own bugs end the process, in every build. Never assert on a byte that a peer, a file or a disk sent.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

/* Prints file, line and expression to standard error with write(2) alone and aborts. */
_Noreturn void assert_failed(const char *file, int line, const char *expression);

#define ASSERT(expression) ((expression) ? (void)0 : assert_failed(__FILE__, __LINE__, #expression))

#endif
