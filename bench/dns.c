/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns: a name server for the bench. Any name under .test has one A record and nothing else; every other name does not
 * exist. It echoes the question byte for byte, so that the asker's 0x20 check holds. On SIGTERM it prints how many
 * queries it saw: a subject that asks for every tunnel shows.
 */
#include "tool.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define MESSAGE_MAX    512
#define HEADER_BYTES   12
#define TYPE_A         1
#define TYPE_SOA       6
#define RCODE_NXDOMAIN 3
#define RCODE_NOTIMP   4

static volatile sig_atomic_t ended;

static void on_term(int number)
{
    (void)number;
    ended = 1;
}

struct question {
    size_t end; /* offset behind it */
    uint16_t type;
    bool under_test;
};

/* RFC 1035 4.1.2: labels, a zero, type, class. A question is never compressed. */
static bool question_read(const uint8_t *message, size_t len, struct question *out)
{
    size_t at = HEADER_BYTES;
    const uint8_t *last = NULL;
    if (len < HEADER_BYTES + 5 || message[4] != 0 || message[5] != 1)
        return false;
    while (at < len && message[at] != 0) {
        if (message[at] > 63)
            return false;
        last = message + at;
        at += 1u + message[at];
    }
    if (at + 5 > len)
        return false;
    out->under_test = last != NULL && last[0] == 4 && strncasecmp((const char *)last + 1, "test", 4) == 0;
    out->type = (uint16_t)(message[at + 1] << 8 | message[at + 2]);
    out->end = at + 5;
    return true;
}

static size_t add_bytes(uint8_t *message, size_t len, const void *data, size_t count)
{
    memcpy(message + len, data, count);
    return len + count;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Turns the query in `message` into its answer and gives the length, 0 for none. */
static size_t answer(uint8_t *message, size_t len, const struct sockaddr_in *address, uint32_t ttl_s)
{
    struct question question;
    if (!question_read(message, len, &question) || (message[2] & 0x80) != 0)
        return 0;
    unsigned rcode = (message[2] & 0x78) != 0 ? RCODE_NOTIMP : question.under_test ? 0 : RCODE_NXDOMAIN;
    bool has_address = rcode == 0 && question.type == TYPE_A;
    message[2] = (uint8_t)(0x84 | (message[2] & 0x01)); /* QR, AA, RD as asked */
    message[3] = (uint8_t)(0x80 | rcode);               /* RA */
    memset(message + 6, 0, 6);
    len = question.end; /* an OPT record of the query is not answered */
    uint8_t record[] = {0xc0, HEADER_BYTES, 0, TYPE_A, 0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0};
    put32(record + 6, ttl_s);
    if (has_address) {
        message[7] = 1;
        memcpy(record + 12, &address->sin_addr, 4);
        return add_bytes(message, len, record, sizeof record);
    }
    /* RFC 2308: the SOA in the authority section says for how long "no" holds. Names in it are the root. */
    message[9] = 1;
    uint8_t numbers[22] = {0};
    put32(numbers + 2, 1);
    put32(numbers + 18, ttl_s);
    record[3] = TYPE_SOA;
    record[11] = sizeof numbers;
    len = add_bytes(message, len, record, 12);
    return add_bytes(message, len, numbers, sizeof numbers);
}

int main(int argc, char **argv)
{
    struct sockaddr_in listen = address_read("127.0.0.1:0");
    struct sockaddr_in address = address_read("127.0.0.1:0");
    uint64_t ttl_s = 300;
    const struct option_row rows[] = {
        {"listen",  OPTION_ADDRESS, &listen,  "where to listen, UDP"                   },
        {"address", OPTION_ADDRESS, &address, "the address of every name (its port: 0)"},
        {"ttl",     OPTION_NUMBER,  &ttl_s,   "seconds that an answer holds"           },
    };
    options_read(argc, argv, "a name server for names under .test", rows, sizeof rows / sizeof rows[0]);
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof listen;
    if (fd < 0 || bind(fd, (struct sockaddr *)&listen, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&listen, &len) != 0)
        die("bind");
    announce(&listen);
    uint64_t queries = 0;
    while (!ended) {
        uint8_t message[MESSAGE_MAX + 64];
        struct sockaddr_in from;
        socklen_t from_len = sizeof from;
        ssize_t got = recvfrom(fd, message, MESSAGE_MAX, 0, (struct sockaddr *)&from, &from_len);
        if (got < 0)
            continue;
        queries++;
        size_t reply = answer(message, (size_t)got, &address, (uint32_t)ttl_s);
        if (reply > 0)
            sendto(fd, message, reply, 0, (struct sockaddr *)&from, from_len);
    }
    printf("{\"queries\":%llu}\n", (unsigned long long)queries);
    return 0;
}
