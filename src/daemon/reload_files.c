/* SPDX-License-Identifier: Apache-2.0 */
/* Lists, agent definitions and a catalogue are part of what a policy meant: their texts are kept beside the audit
 * log, and one entry for each file names the text by its hash. */
#include "reload.h"

#include "base/digest.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX (64u * 1024u * 1024u)

static bool is_text_of_its_own(const struct policy_file *file)
{
    return strcmp(file->kind, "environment") != 0 && strcmp(file->kind, "egress") != 0;
}

/* The bytes that lie there now, if they are those that were read. */
static bool keep_bytes(struct daemon *daemon, const struct policy_file *file, int fd, char out_hex[static 65])
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > TEXT_MAX)
        return false;
    size_t size = (size_t)st.st_size, len = 0;
    uint8_t *text = malloc(size + 1), hash[DIGEST_BYTES];
    if (text == NULL)
        return false;
    for (ssize_t got = 1; got > 0 && len<size; len += got> 0 ? (size_t)got : 0)
        got = read(fd, text + len, size - len);
    digest_once(span_make(text, len), hash);
    bool same = memcmp(hash, file->sha256, sizeof hash) == 0;
    bool kept = same && audit_log_blob(daemon->log, span_make(text, len), out_hex) == ERR_NONE;
    free(text);
    return kept;
}

/* Many environments may share a list: it is written once a load. */
static bool was_kept(const struct kept_texts *kept, const struct policy_file *file)
{
    for (size_t i = 0; i < kept->count; i++)
        if (memcmp(kept->hashes[i], file->sha256, DIGEST_BYTES) == 0)
            return true;
    return false;
}

static void note_kept(struct kept_texts *kept, const struct policy_file *file)
{
    void *more = realloc(kept->hashes, (kept->count + 1) * sizeof *kept->hashes);
    if (more == NULL)
        return; /* it is written again */
    kept->hashes = more;
    memcpy(kept->hashes[kept->count++], file->sha256, DIGEST_BYTES);
}

bool load_keep_file(struct daemon *daemon, const struct policy_file *file, struct kept_texts *kept)
{
    char hex[65];
    if (was_kept(kept, file))
        return true;
    int fd = open(file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool good = fd >= 0 && keep_bytes(daemon, file, fd, hex);
    if (fd >= 0)
        close(fd);
    if (good)
        note_kept(kept, file);
    else
        log_warn("a file of a policy changed since it was read: its text is not kept beside the audit log", "file=%s",
                 file->path);
    return good;
}

/* Whose file it is: an environment's policy, or the configuration whose ceiling was read from it. */
struct reader_of {
    struct span environment; /* empty: the configuration */
    const char *id;
    uint64_t generation;
};

static void record_file(struct daemon *daemon, const struct reader_of *of, const struct policy_file *file,
                        struct kept_texts *kept)
{
    char hex[2 * DIGEST_BYTES];
    struct outbuf o = outbuf_make(hex, sizeof hex);
    outbuf_hex(&o, span_make(file->sha256, DIGEST_BYTES));
    bool good = load_keep_file(daemon, file, kept);
    struct record_event event = {
        .event = EVENT_POLICY_FILE,
        .environment = of->environment,
        .subject = outbuf_written(&o),
        .message = span_text(good ? "a file of a policy that is in force"
                                  : "a file of a policy that is in force; it changed before its text could be kept"),
        .fact_count = 4,
        .facts = {{.key = "policy", .text = span_text(of->id)},
                  {.key = "kind", .text = span_text(file->kind)},
                  {.key = "file", .text = span_text(file->path)},
                  {.key = "generation", .is_number = true, .number = of->generation}},
    };
    if (good)
        event.facts[event.fact_count++] = (struct event_fact){.key = "blob", .text = outbuf_written(&o)};
    records_add(daemon, &event);
}

static void record_files(struct daemon *daemon, const struct policy *policy, const struct reader_of *of,
                         struct kept_texts *kept)
{
    size_t count;
    const struct policy_file *files = policy_files(policy, &count);
    for (size_t i = 0; i < count; i++)
        if (is_text_of_its_own(&files[i]))
            record_file(daemon, of, &files[i], kept);
}

void load_record_files(struct daemon *daemon, const struct policy *policy, uint64_t generation, struct kept_texts *kept)
{
    record_files(daemon, policy, &(struct reader_of){policy_name(policy), policy_id(policy), generation}, kept);
}

void load_record_ceiling(struct daemon *daemon, const struct policy *ceiling, const char *config_id,
                         uint64_t generation, struct kept_texts *kept)
{
    record_files(daemon, ceiling, &(struct reader_of){span_make(NULL, 0), config_id, generation}, kept);
}
