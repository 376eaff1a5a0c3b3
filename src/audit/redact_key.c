/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/redact_key.h"

#include "base/outbuf.h"
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX     ".key"
#define FILE_NAME  (REDACT_KEY_NAME + sizeof SUFFIX - 1)
#define TEXT_BYTES (2 * DIGEST_BYTES + 1) /* hexadecimal digits and a newline */
#define MONTH      6                      /* characters of a name: year and month */
#define FILES_MAX  4096

static bool is_key_name(const char *name)
{
    static const char form[] = "00000000T000000Z" SUFFIX;
    if (strlen(name) != FILE_NAME)
        return false;
    for (size_t i = 0; i < FILE_NAME; i++)
        if (form[i] == '0' ? name[i] < '0' || name[i] > '9' : name[i] != form[i])
            return false;
    return true;
}

static enum err fail(char *message, size_t cap, const char *dir, const char *name, enum err err, const char *what)
{
    snprintf(message, cap, "%.200s/%s: %s", dir, name, what);
    return err;
}

static int digit_value(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_key(struct span text, uint8_t out[static DIGEST_BYTES])
{
    if (text.len != TEXT_BYTES || text.data[TEXT_BYTES - 1] != '\n')
        return false;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = digit_value(text.data[2 * i]), low = digit_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

/* The key is random: nobody can go back to it from its hash, nor guess it. */
static void fill(struct redact_key *key, const char *name)
{
    uint8_t hash[DIGEST_BYTES];
    memcpy(key->name, name, REDACT_KEY_NAME);
    key->name[REDACT_KEY_NAME] = '\0';
    digest_once(span_make(key->bytes, sizeof key->bytes), hash);
    struct outbuf id = outbuf_make(key->id, REDACT_KEY_ID);
    outbuf_hex(&id, span_make(hash, REDACT_KEY_ID / 2));
    key->id[REDACT_KEY_ID] = '\0';
}

static enum err read_key(int fd, const char *dir, const char *name, struct redact_key *out, char *message, size_t cap)
{
    uint8_t text[TEXT_BYTES + 1];
    size_t len = 0;
    enum err err = io_read_file(fd, name, text, sizeof text, &len);
    if (err != ERR_NONE)
        return fail(message, cap, dir, name, err, err_text(err));
    bool good = parse_key(span_make(text, len), out->bytes);
    secret_wipe(text, sizeof text);
    if (!good)
        return fail(message, cap, dir, name, ERR_CORRUPT, "is no key: 64 hexadecimal digits and a newline");
    fill(out, name);
    return ERR_NONE;
}

static bool is_private(const struct stat *st)
{
    return st->st_uid == geteuid() && (st->st_mode & 077) == 0;
}

static enum err judge(int fd, const char *dir, const char *name, char *message, size_t cap)
{
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return fail(message, cap, dir, name, ERR_IO, strerror(errno));
    bool is_dir = strcmp(name, ".") == 0;
    if (is_dir ? S_ISDIR(st.st_mode) && is_private(&st) : S_ISREG(st.st_mode) && is_private(&st))
        return ERR_NONE;
    return fail(message, cap, dir, name, ERR_DENIED,
                "must belong to the account of this program and be closed to all others");
}

static enum err open_dir(const char *dir, DIR **out, char *message, size_t cap)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream != NULL) {
        *out = stream;
        return ERR_NONE;
    }
    enum err err = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    snprintf(message, cap, "%.200s: %s", dir, strerror(errno));
    if (fd >= 0)
        close(fd);
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Names of keys, oldest first. */
static enum err list(DIR *stream, char (**out)[FILE_NAME + 1], size_t *out_count)
{
    char(*names)[FILE_NAME + 1] = calloc(FILES_MAX, sizeof *names);
    size_t count = 0;
    enum err err = names == NULL ? ERR_NO_MEMORY : ERR_NONE;
    for (const char *name; err == ERR_NONE && (name = io_next_name(stream, &err)) != NULL;)
        if (is_key_name(name) && count < FILES_MAX)
            memcpy(names[count++], name, FILE_NAME + 1);
    if (err != ERR_NONE) {
        free(names);
        return err;
    }
    qsort(names, count, sizeof *names, by_name);
    *out = names;
    *out_count = count;
    return ERR_NONE;
}

/* Names are taken in order even when the clock went back: the newest key is the one that was made last. */
static enum err make(int fd, const char *dir, int64_t now_ms, const char *after, struct redact_key *out, char *message,
                     size_t cap)
{
    char name[FILE_NAME + 1], text[TEXT_BYTES];
    for (int64_t seconds = now_ms / 1000;; seconds++) {
        time_t at = (time_t)seconds;
        struct tm tm;
        if (gmtime_r(&at, &tm) == NULL || strftime(name, sizeof name, "%Y%m%dT%H%M%SZ" SUFFIX, &tm) != FILE_NAME)
            return fail(message, cap, dir, ".", ERR_INVALID, "the clock is no time");
        if (after == NULL || strcmp(name, after) > 0)
            break;
    }
    random_bytes(out->bytes, sizeof out->bytes);
    struct outbuf line = outbuf_make(text, sizeof text);
    outbuf_hex(&line, span_make(out->bytes, sizeof out->bytes));
    outbuf_char(&line, '\n');
    enum err err = io_replace_file(fd, name, outbuf_written(&line), 0600);
    secret_wipe(text, sizeof text);
    if (err != ERR_NONE)
        return fail(message, cap, dir, name, err, strerror(errno));
    fill(out, name);
    return ERR_NONE;
}

static bool of_an_earlier_month(const char *name, int64_t now_ms)
{
    time_t at = (time_t)(now_ms / 1000);
    struct tm tm;
    char month[MONTH + 1];
    return gmtime_r(&at, &tm) != NULL && strftime(month, sizeof month, "%Y%m", &tm) == MONTH &&
           memcmp(name, month, MONTH) < 0;
}

enum err redact_key_take(const char *dir, int64_t now_ms, struct redact_key *out, bool *out_made, char *message,
                         size_t message_cap)
{
    DIR *stream = NULL;
    char(*names)[FILE_NAME + 1] = NULL;
    size_t count = 0;
    enum err err = open_dir(dir, &stream, message, message_cap);
    if (err != ERR_NONE)
        return err;
    int fd = dirfd(stream);
    err = judge(fd, dir, ".", message, message_cap);
    if (err == ERR_NONE)
        err = list(stream, &names, &count);
    const char *newest = count > 0 ? names[count - 1] : NULL;
    bool make_one = newest == NULL || of_an_earlier_month(newest, now_ms);
    struct redact_key key = {0};
    if (err == ERR_NONE && !make_one)
        err = judge(fd, dir, newest, message, message_cap);
    if (err == ERR_NONE)
        err = make_one ? make(fd, dir, now_ms, newest, &key, message, message_cap)
                       : read_key(fd, dir, newest, &key, message, message_cap);
    if (err == ERR_NONE) {
        *out = key;
        *out_made = make_one;
    }
    secret_wipe(&key, sizeof key);
    free(names);
    closedir(stream);
    return err;
}

enum err redact_key_all(const char *dir, struct redact_key *out, size_t cap, size_t *out_count, char *message,
                        size_t message_cap)
{
    DIR *stream = NULL;
    char(*names)[FILE_NAME + 1] = NULL;
    size_t count = 0, taken = 0;
    enum err err = open_dir(dir, &stream, message, message_cap);
    if (err != ERR_NONE)
        return err;
    err = list(stream, &names, &count);
    for (size_t i = count > cap ? count - cap : 0; err == ERR_NONE && i < count; i++)
        err = read_key(dirfd(stream), dir, names[i], &out[taken++], message, message_cap);
    free(names);
    closedir(stream);
    if (err == ERR_NONE)
        *out_count = taken;
    return err;
}
