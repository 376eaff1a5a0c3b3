/* SPDX-License-Identifier: Apache-2.0 */
#include "resolv_conf.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX ((size_t)64 * 1024)
#define DNS_PORT 53

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line, which is shortened by it. */
static struct span next_word(struct span *line)
{
    size_t start = 0;

    while (start < line->len && is_blank(line->data[start])) {
        start++;
    }
    size_t end = start;

    while (end < line->len && !is_blank(line->data[end])) {
        end++;
    }
    struct span word = span_first(span_from(*line, start), end - start);

    *line = span_from(*line, end);
    return word;
}

/* Administrators spell addresses in any way that the C library takes, so this is not the strict parser of targets. */
static bool parse_server(struct span word, struct resolver_server *out)
{
    char text[INET6_ADDRSTRLEN];
    struct ipaddr addr = {.family = 4};

    if (word.len == 0 || word.len >= sizeof(text) || span_find(word, '\0') < word.len) {
        return false;
    }
    memcpy(text, word.data, word.len);
    text[word.len] = '\0';
    if (inet_pton(AF_INET, text, addr.bytes) != 1) {
        addr.family = 6;
        if (inet_pton(AF_INET6, text, addr.bytes) != 1) {
            return false;
        }
    }
    *out = (struct resolver_server){.addr = addr, .port = DNS_PORT};
    return true;
}

size_t resolv_conf_parse(struct span text, struct resolver_server *out, size_t cap)
{
    size_t count = 0;

    while (text.len > 0 && count < cap) {
        size_t end = span_find(text, '\n');
        struct span line = span_first(text, end);

        text = span_from(text, end + 1);
        if (span_is(next_word(&line), "nameserver") && parse_server(next_word(&line), &out[count])) {
            count++;
        }
    }
    return count;
}

size_t resolv_conf_read(const char *path, struct resolver_server *out, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *text = malloc(FILE_MAX);
    size_t len = 0;
    ssize_t n = 1;

    while (fd >= 0 && text != NULL && n > 0 && len < FILE_MAX) {
        n = read(fd, text + len, FILE_MAX - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    size_t count = text == NULL ? 0 : resolv_conf_parse(span_make(text, len), out, cap);

    free(text);
    return count;
}
