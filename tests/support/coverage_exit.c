/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of a build for coverage are written by exit() alone; processes that were forked end by _exit(). */
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
void __gcov_dump(void);

_Noreturn void __wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}
