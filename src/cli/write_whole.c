/* SPDX-License-Identifier: Apache-2.0 */
#include "write_whole.h"

#include <unistd.h>

bool write_whole(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}
