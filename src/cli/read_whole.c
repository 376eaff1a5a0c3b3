/* SPDX-License-Identifier: Apache-2.0 */
#include "read_whole.h"

#include <stdlib.h>
#include <unistd.h>

#define FIRST_BYTES 32768

char *read_whole(int fd, size_t max, size_t *out_len)
{
    size_t len = 0, cap = FIRST_BYTES;
    char *text = malloc(cap);
    for (ssize_t got = 1; text != NULL && got > 0; len += got > 0 ? (size_t)got : 0) {
        if (len + 1 == cap) {
            char *more = cap < max ? realloc(text, 2 * cap) : NULL;
            if (more == NULL) {
                free(text);
                return NULL;
            }
            text = more;
            cap *= 2;
        }
        got = read(fd, text + len, cap - 1 - len);
    }
    if (text == NULL)
        return NULL;
    text[len] = '\0';
    *out_len = len;
    return text;
}
