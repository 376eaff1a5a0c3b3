/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mutator that knows a ClientHello: extensions are doubled, taken out, moved, made new or changed inside, and the
 * lengths around them are made right again, so that what is tried lies behind the first length check. Every third input
 * is left to libFuzzer's own mutations, which is where the lengths lie.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PREFIX    2u /* the target's own two bytes */
#define EXTS_MAX  64u
#define BLOCK_MAX 16000u

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

struct ext {
    const uint8_t *at;
    size_t len; /* with its four bytes */
};

static unsigned next(unsigned *state)
{
    *state = *state * 1103515245u + 12345u;
    return *state >> 8;
}

static size_t get16(const uint8_t *at)
{
    return (size_t)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Where the length of the extension block stands in the message; 0: this is not a message of that shape. */
static size_t block_at(const uint8_t *m, size_t size)
{
    size_t at = 4 + 2 + 32;
    if (size < at + 1 || m[0] != 1)
        return 0;
    at += 1u + m[at];
    if (size < at + 2)
        return 0;
    at += 2 + get16(m + at);
    if (size < at + 1)
        return 0;
    at += 1u + m[at];
    return size < at + 2 ? 0 : at;
}

static size_t split(const uint8_t *block, size_t size, struct ext *out)
{
    size_t count = 0;
    for (size_t at = 0; at + 4 <= size && count < EXTS_MAX - 2; count++) {
        size_t len = 4 + get16(block + at + 2);
        len = len < size - at ? len : size - at;
        out[count] = (struct ext){.at = block + at, .len = len};
        at += len;
    }
    return count;
}

/* Each as it stands in a hello, with its own length in it. */
static const char *const known[] = {
    "\0\0\0\013\0\011\0\0\006a.test", /* server_name */
    "\0\0\0\0",                       /* an empty one */
    "\0\0\0\002\0\0",
    "\376\015\0\003\0\0\001", /* encrypted_client_hello */
    "\377\316\0\001\0",
    "\0\053\0\003\002\003\004", /* supported_versions */
    "\0\020\0\005\0\003\002h2", /* ALPN */
    "\072\072\0\001\0",         /* GREASE */
    "\0\025\0\004\0\0\0\0",     /* padding */
};

/* Changes the list; `spare` holds what is new. */
static size_t change(struct ext *exts, size_t count, uint8_t *spare, size_t spare_max, unsigned *state)
{
    size_t at = count == 0 ? 0 : next(state) % count;
    unsigned what = next(state) % 5;
    if (count == 0 || what == 0) { /* a known one, somewhere */
        const uint8_t *fresh = (const uint8_t *)known[next(state) % (sizeof known / sizeof known[0])];
        memmove(exts + at + 1, exts + at, (count - at) * sizeof *exts);
        exts[at] = (struct ext){.at = fresh, .len = 4 + get16(fresh + 2)};
        return count + 1;
    }
    struct ext one = exts[at];
    if (what == 1) { /* twice */
        exts[count] = one;
        return count + 1;
    }
    if (what == 2) { /* gone */
        memmove(exts + at, exts + at + 1, (count - at - 1) * sizeof *exts);
        return count - 1;
    }
    if (what == 3) { /* with another's place */
        size_t other = next(state) % count;
        exts[at] = exts[other];
        exts[other] = one;
        return count;
    }
    size_t body = one.len - 4 < spare_max / 2 ? one.len - 4 : spare_max / 2; /* changed inside */
    memcpy(spare, one.at, 4 + body);
    body = LLVMFuzzerMutate(spare + 4, body, spare_max - 4);
    put16(spare + 2, body);
    exts[at] = (struct ext){.at = spare, .len = 4 + body};
    return count;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static uint8_t spare[4096], block[BLOCK_MAX];
    struct ext exts[EXTS_MAX];
    unsigned state = seed;
    size_t at = size > PREFIX && data[1] % 2 == 1 ? block_at(data + PREFIX, size - PREFIX) : 0;
    if (at == 0 || next(&state) % 3 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    uint8_t *message = data + PREFIX;
    size_t count = split(message + at + 2, size - PREFIX - at - 2, exts), len = 0;
    count = change(exts, count, spare, sizeof spare, &state);
    for (size_t i = 0; i < count && len + exts[i].len <= sizeof block; i++) {
        memcpy(block + len, exts[i].at, exts[i].len);
        len += exts[i].len;
    }
    size_t whole = at + 2 + len;
    if (PREFIX + whole > max_size)
        return size;
    memcpy(message + at + 2, block, len);
    put16(message + at, len);
    message[1] = 0;
    put16(message + 2, whole - 4);
    return PREFIX + whole;
}
