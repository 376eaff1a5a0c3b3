/* SPDX-License-Identifier: Apache-2.0 */
#include "mutate_lines.h"

#include <stdbool.h>
#include <string.h>

static const char *const fields[] = {
    "Host: a.test\r\n",
    "Host: b.test:81\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, X-A\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    "Via: 1.1 sallyport-0123456789abcdef\r\n",
    "TE: trailers\r\n",
    "Trailer: X-A\r\n",
    "Proxy-Authorization: Basic eDp5\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "3;a=b\r\nabc\r\n",
    "\r\n",
    " folded\r\n",
    "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "CONNECT a.test:443 HTTP/1.1\r\n",
    "POST http://a.test/ HTTP/1.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
};

static unsigned next(unsigned *state)
{
    *state = *state * 1103515245u + 12345u;
    return *state >> 8;
}

/* A line's place: [*from, *to) ends behind its line feed, or at the end. */
static void choose_line(const uint8_t *data, size_t size, size_t skip, unsigned *state, size_t *from, size_t *to)
{
    size_t at = skip + next(state) % (size - skip);
    *from = at;
    while (*from > skip && data[*from - 1] != '\n')
        (*from)--;
    *to = at;
    while (*to < size && data[*to] != '\n')
        (*to)++;
    *to += *to < size;
}

static size_t insert(uint8_t *data, size_t size, size_t max_size, size_t at, const void *bytes, size_t len)
{
    if (len == 0 || size + len > max_size)
        return size;
    memmove(data + at + len, data + at, size - at);
    memcpy(data + at, bytes, len);
    return size + len;
}

size_t mutate_lines(uint8_t *data, size_t size, size_t max_size, unsigned seed, size_t skip)
{
    unsigned state = seed;
    size_t from, to, other, end;
    uint8_t line[512];
    if (size <= skip || next(&state) % 3 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    choose_line(data, size, skip, &state, &from, &to);
    size_t len = to - from < sizeof line ? to - from : sizeof line;
    switch (next(&state) % 5) {
    case 0: { /* another field before it */
        const char *field = fields[next(&state) % (sizeof fields / sizeof fields[0])];
        return insert(data, size, max_size, from, field, strlen(field));
    }
    case 1: /* twice */
        memcpy(line, data + from, len);
        return insert(data, size, max_size, to, line, len);
    case 2: /* gone */
        memmove(data + from, data + to, size - to);
        return size - (to - from);
    case 3: /* elsewhere */
        memcpy(line, data + from, len);
        memmove(data + from, data + from + len, size - from - len);
        size -= len;
        if (size <= skip)
            return insert(data, size, max_size, skip < size ? skip : size, line, len);
        choose_line(data, size, skip, &state, &other, &end);
        return insert(data, size, max_size, other, line, len);
    default: /* changed inside, its end kept */
        memcpy(line, data + from, len);
        len = LLVMFuzzerMutate(line, len, sizeof line);
        if (size - (to - from) + len > max_size)
            return size;
        memmove(data + from + len, data + to, size - to);
        memcpy(data + from, line, len);
        return size - (to - from) + len;
    }
}
