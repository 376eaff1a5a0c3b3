/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault: a library to be loaded before the C library. It makes calls of a program fail, or takes its time before them,
 * as a file says that the test has mapped as well; it sets the clocks; and it can keep a journal of what a program does to its files, from
 * which the state of the disk after a power cut is made. tests/fault/fault.py has the same layout.
 */
#ifndef FAULT_H
#define FAULT_H

#include <stdatomic.h>
#include <stdint.h>

#define FAULT_SLOTS   96
#define FAULT_FOREVER UINT32_MAX
#define FAULT_HEAD    4096
#define FAULT_JOURNAL (48u << 20)

/* One call. The test writes `times` last; the library counts down `skip`, then `times`. */
struct fault_slot {
    _Atomic uint32_t skip;     /* calls that pass before the first failure */
    _Atomic uint32_t times;    /* calls that fail; 0: none */
    _Atomic int32_t error;     /* errno; 0: it is only late */
    _Atomic uint32_t delay_ms; /* before each of these calls */
    _Atomic uint32_t short_by; /* write: bytes that are left out, instead of an error */
    _Atomic uint32_t of_child; /* 1: of the processes that the program forked, instead of its own */
    _Atomic uint64_t calls, failed;
};

enum fault_journal {
    JOURNAL_WRITE = 1,
    JOURNAL_SYNC,
    JOURNAL_TRUNCATE,
    JOURNAL_CREATE,
    JOURNAL_RENAME,
    JOURNAL_UNLINK
};

/* In the journal, followed by `len` bytes: data, or names with NUL between them. Padded to 8. */
struct fault_event {
    _Atomic uint32_t ready; /* 1 once it is whole */
    uint32_t type, len, spare;
    uint64_t inode, other, at;
};

struct fault_control {
    struct fault_slot slots[FAULT_SLOTS];
    _Atomic uint64_t journal_used; /* bytes; more than FAULT_JOURNAL: it is full */
    _Atomic uint32_t journal_on;
    _Atomic int64_t wall_shift_ns; /* what every process finds the wall clock set by */
    _Atomic int64_t mono_shift_ns; /* and the monotonic clock gone on by */
};

#endif
