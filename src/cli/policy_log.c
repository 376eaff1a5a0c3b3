/* SPDX-License-Identifier: Apache-2.0 */
#include "policy_log.h"

#include "read_whole.h"
#include "record_json.h"

#include "audit/reader.h"
#include "base/digest.h"
#include "base/outbuf.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX       (64u * 1024u * 1024u)
#define LEAST_ID       8
#define COPY(to, from) snprintf((to), sizeof(to), "%s", (from))

static uint64_t number_of(json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));
    return number > 0 ? (uint64_t)number : 0;
}

static bool read_entry(uint64_t index, struct span leaf, struct policy_entry *out)
{
    json_t *record = json_loadb((const char *)leaf.data, leaf.len, 0, NULL);
    json_t *metadata = json_object_get(record, "metadata"), *unmapped = json_object_get(record, "unmapped");
    const char *event = record_text(metadata, "event_code");
    bool wanted = strncmp(event, "policy_", 7) == 0 && strcmp(event, "policy_file") != 0;
    if (wanted) {
        *out = (struct policy_entry){
            .index = index,
            .time_ms = json_integer_value(json_object_get(record, "time")),
            .generation = number_of(unmapped, "generation"),
            .line = number_of(unmapped, "line"),
            .egress_line = number_of(unmapped, "egress_line"),
        };
        if (out->generation == 0)
            out->generation = number_of(unmapped, "generation_in_force");
        COPY(out->event, event);
        COPY(out->environment, record_text(metadata, "tenant_uid"));
        COPY(out->id, record_text(json_object_get(record, "entity"), "uid"));
        COPY(out->text, record_text(unmapped, "text_sha256"));
        COPY(out->egress_text, record_text(unmapped, "egress_text_sha256"));
        COPY(out->who, record_text(unmapped, "who"));
        COPY(out->reason, record_text(unmapped, "reason"));
        COPY(out->commit, record_text(unmapped, "commit"));
        COPY(out->file, record_text(unmapped, "file"));
        COPY(out->egress_file, record_text(unmapped, "egress_file"));
        COPY(out->message, record_text(record, "message"));
    }
    json_decref(record);
    return wanted;
}

/* Takes an entry; false: the walk ends. */
typedef bool leaf_fn(void *arg, uint64_t index, struct span leaf);

/* The entries in which `word` stands. Most entries are attempts: it is looked for before the JSON is read. */
static enum err each_with(const char *dir, const char *word, leaf_fn *fn, void *arg)
{
    struct audit_reader *reader = NULL;
    enum err err = audit_reader_open(dir, 0, &reader);
    struct span leaf;
    uint64_t index;
    bool more = true;
    while (err == ERR_NONE && more) {
        err = audit_reader_next(reader, &index, &leaf);
        if (err == ERR_NONE && memmem(leaf.data, leaf.len, word, strlen(word)) != NULL)
            more = fn(arg, index, leaf);
    }
    audit_reader_close(reader);
    return err == ERR_AGAIN ? ERR_NONE : err;
}

struct entry_taker {
    policy_entry_fn *fn;
    void *arg;
};

static bool take_entry(void *arg, uint64_t index, struct span leaf)
{
    const struct entry_taker *to = arg;
    struct policy_entry entry;
    return !read_entry(index, leaf, &entry) || to->fn(to->arg, &entry);
}

enum err policy_log_each(const char *dir, policy_entry_fn *fn, void *arg)
{
    return each_with(dir, "\"policy_", take_entry, &(struct entry_taker){.fn = fn, .arg = arg});
}

static bool read_file_entry(struct span leaf, const char *id, struct policy_file_entry *out)
{
    json_t *record = json_loadb((const char *)leaf.data, leaf.len, 0, NULL);
    json_t *unmapped = json_object_get(record, "unmapped");
    const char *event = record_text(json_object_get(record, "metadata"), "event_code");
    bool wanted = strcmp(event, "policy_file") == 0 && strcmp(record_text(unmapped, "policy"), id) == 0;
    if (wanted) {
        out->generation = number_of(unmapped, "generation");
        COPY(out->kind, record_text(unmapped, "kind"));
        COPY(out->file, record_text(unmapped, "file"));
        COPY(out->blob, record_text(unmapped, "blob"));
    }
    json_decref(record);
    return wanted;
}

struct file_taker {
    policy_file_entry_fn *fn;
    void *arg;
    const char *id;
};

static bool take_file_entry(void *arg, uint64_t index, struct span leaf)
{
    const struct file_taker *to = arg;
    struct policy_file_entry entry;
    (void)index;
    return !read_file_entry(leaf, to->id, &entry) || to->fn(to->arg, &entry);
}

enum err policy_log_files(const char *dir, const char *id, policy_file_entry_fn *fn, void *arg)
{
    return each_with(dir, "\"policy_file", take_file_entry, &(struct file_taker){.fn = fn, .arg = arg, .id = id});
}

/* ---- one of them ---- */

struct search {
    const char *prefix;
    size_t len;
    struct policy_entry *out;
    bool found, two;
};

static bool look(void *arg, const struct policy_entry *entry)
{
    struct search *s = arg;
    bool by_id = strncmp(entry->id, s->prefix, s->len) == 0;
    bool by_text = strncmp(entry->text, s->prefix, s->len) == 0;
    if (strcmp(entry->event, "policy_removed") == 0 || entry->text[0] == '\0' || (!by_id && !by_text))
        return true;
    if (strcmp(entry->event, "policy_loaded") != 0 && s->found && strcmp(s->out->event, "policy_loaded") == 0)
        return true; /* the same text was in force as well */
    s->two |= s->found && strcmp(s->out->text, entry->text) != 0;
    s->found = true;
    *s->out = *entry;
    return true;
}

enum err policy_log_find(const char *dir, const char *prefix, struct policy_entry *out)
{
    struct policy_entry found;
    struct search s = {.prefix = prefix, .len = strlen(prefix), .out = &found};
    if (s.len < LEAST_ID || s.len > 64 || strspn(prefix, "0123456789abcdef") != s.len)
        return ERR_INVALID;
    enum err err = policy_log_each(dir, look, &s);
    if (err != ERR_NONE)
        return err;
    if (!s.found || s.two)
        return s.found ? ERR_EXISTS : ERR_NOT_FOUND;
    *out = found;
    return ERR_NONE;
}

/* ---- texts ---- */

static bool is_hash_of(const char *hash, const char *text, size_t len)
{
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES];
    struct outbuf out = outbuf_make(hex, sizeof hex);
    digest_once(span_make(text, len), digest);
    outbuf_hex(&out, span_make(digest, sizeof digest));
    return strlen(hash) == sizeof hex && memcmp(hash, hex, sizeof hex) == 0;
}

enum err policy_log_text(const char *dir, const char *hash, char **out_text, size_t *out_len)
{
    char path[4200];
    if (strlen(hash) != 64 || strspn(hash, "0123456789abcdef") != 64 ||
        snprintf(path, sizeof path, "%s/blobs/%s", dir, hash) >= (int)sizeof path)
        return ERR_INVALID;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return ERR_NOT_FOUND;
    size_t len = 0;
    char *text = read_whole(fd, TEXT_MAX, &len);
    close(fd);
    if (text == NULL)
        return ERR_IO;
    if (!is_hash_of(hash, text, len)) {
        free(text);
        return ERR_CORRUPT;
    }
    *out_text = text;
    *out_len = len;
    return ERR_NONE;
}
