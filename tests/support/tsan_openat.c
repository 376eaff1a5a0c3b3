/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For builds with the thread sanitizer alone. It watches descriptors by the calls that make and close them, and clang 14
 * does not know openat(): a descriptor that a worker closed and the writer got again from openat() looks to it like one
 * that both use, and it ends while it reports that. Here openat() goes by open(), which it knows.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

int __wrap_openat(int directory, const char *path, int flags, ...);

/* NOLINTNEXTLINE: the linker's name (--wrap) */
int __wrap_openat(int directory, const char *path, int flags, ...)
{
    char whole[4200];
    mode_t mode = 0;
    if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (directory == AT_FDCWD || path[0] == '/')
        return open(path, flags, mode);
    snprintf(whole, sizeof whole, "/proc/self/fd/%d/%s", directory, path);
    return open(whole, flags, mode);
}
