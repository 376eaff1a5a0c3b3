/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deny-all of environments: one file beside the sessions' own, a name a line, "*" for all of them. It is written whole
 * before it counts, and a file that cannot be read keeps the program from starting: nobody's ban is forgotten.
 */
#include "session.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DENY_MAX (4u * 1024u * 1024u)

static bool deny_path(const struct daemon *daemon, const char *name, char out[static PATH_TEXT])
{
    /* Sessions do not begin with a dot. */
    int n = snprintf(out, PATH_TEXT, "%s/%s", daemon->sessions->state_dir, name);
    return n > 0 && n < PATH_TEXT;
}

static bool save(const struct daemon *daemon)
{
    char path[PATH_TEXT], fresh[PATH_TEXT];
    char *text = malloc(DENY_MAX);
    if (text == NULL || !deny_path(daemon, ".deny-all", path) || !deny_path(daemon, ".deny-all.new", fresh)) {
        free(text);
        return false;
    }
    struct outbuf out = outbuf_make(text, DENY_MAX);
    identity_denied_into(daemon->identity, &out);
    int fd = out.overflow ? -1 : open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, text, out.len) == (ssize_t)out.len && fsync(fd) == 0;
    if (fd >= 0)
        good = close(fd) == 0 && good;
    free(text);
    return good && rename(fresh, path) == 0;
}

enum err deny_restore(struct daemon *daemon)
{
    char path[PATH_TEXT];
    char *text = malloc(DENY_MAX + 1);
    int fd = text != NULL && deny_path(daemon, ".deny-all", path) ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0) {
        bool none = text != NULL && (errno == ENOENT || errno == ENOTDIR);
        if (!none)
            log_error("what is denied cannot be read", "why=%s", strerror(errno));
        free(text);
        return none ? ERR_NONE : ERR_IO;
    }
    ssize_t len = read(fd, text, DENY_MAX + 1);
    enum err err = len < 0 || len > (ssize_t)DENY_MAX || (len > 0 && text[len - 1] != '\n') ? ERR_CORRUPT : ERR_NONE;
    close(fd);
    for (char *line = text; err == ERR_NONE && line < text + len;) {
        char *end = memchr(line, '\n', (size_t)(text + len - line));
        *end = '\0';
        err = identity_deny(daemon->identity, line, true);
        log_warn("everything is denied, as it was before", "environment=%s", line);
        line = end + 1;
    }
    free(text);
    if (err != ERR_NONE)
        log_error("what is denied cannot be read", "file=%s why=%s", path, err_text(err));
    return err;
}

static void record(struct daemon *daemon, const char *name, bool deny, const char *who)
{
    struct record_event event = {
        .event = deny ? EVENT_ENVIRONMENT_DENIED : EVENT_ENVIRONMENT_LIFTED,
        .environment = span_text(strcmp(name, "*") == 0 ? "" : name),
        .subject = span_text(name),
        .message = span_text(deny ? "everything is denied, tunnels are cut" : "what was denied as a whole is no more"),
        .fact_count = 1,
        .facts = {{.key = "who", .text = span_text(who)}},
    };
    records_add(daemon, &event);
}

bool deny_change(struct daemon *daemon, const char *name, bool deny, const char *who, char *why, size_t why_cap)
{
    const char *said = name[0] == '\0' ? "*" : name;
    if (sessions_make_dirs(daemon, why, why_cap) != ERR_NONE)
        return false;
    if (identity_deny(daemon->identity, said, deny) != ERR_NONE) {
        snprintf(why, why_cap, "no more environments can be denied");
        return false;
    }
    bool kept = save(daemon);
    /* A ban holds from now on even if it cannot be kept; what would come back after a restart is not lifted. */
    if (!kept && !deny && identity_deny(daemon->identity, said, true) != ERR_NONE)
        log_error("what was to be lifted stays half denied", "environment=%s", said);
    if (deny || kept) {
        record(daemon, said, deny, who);
        for (unsigned i = 0; i < daemon->worker_count; i++)
            worker_swap(&daemon->workers[i], daemon->book); /* every open tunnel is judged again */
    }
    if (!kept)
        snprintf(why, why_cap,
                 deny ? "it is denied now, but not after a restart: %s below %.200s"
                      : "it is not lifted: %s below %.200s",
                 strerror(errno), daemon->sessions->state_dir);
    return kept;
}
