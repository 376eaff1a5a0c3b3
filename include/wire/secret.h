/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret: does a piece of a path look like a credential? Told by known prefixes of tokens, by length, and by how often
 * the kind of character changes, which is what sets random text apart from words, versions and file names. It errs
 * towards yes: what is taken for a secret can still be found in the log by whoever knows it.
 */
#ifndef WIRE_SECRET_H
#define WIRE_SECRET_H

#include "base/span.h"

/* Bytes that a token may be made of; every other byte ends a run. */
bool secret_is_run_byte(uint8_t c);

/* `run` holds run bytes alone. Linear in its length. */
bool secret_looks(struct span run);

#endif
