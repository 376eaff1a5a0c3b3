/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

static void tell_ready(int fd, struct span line)
{
    if (fd < 0)
        return;
    while (line.len > 0) {
        ssize_t n = write(fd, line.data, line.len);
        if (n <= 0) {
            log_warn("the ready descriptor did not take the line", "fd=%d", fd);
            break;
        }
        line = span_from(line, (size_t)n);
    }
    close(fd);
}

void ready_say(const struct daemon *daemon)
{
    size_t cap = 4 * PATH_TEXT + daemon_environments_bytes(daemon) + daemon->entrance_count * sizeof(struct entrance);
    char *text = malloc(cap);
    ASSERT(text != NULL);
    struct outbuf out = outbuf_make(text, cap);
    struct json j = json_make(&out);
    json_open(&j, '{');
    json_key(&j, "listeners");
    json_open(&j, '[');
    for (size_t i = 0; i < daemon->entrance_count; i++) {
        json_text(&j, daemon->entrances[i].name);
        log_info("listening", "on=%s", daemon->entrances[i].name);
    }
    json_close(&j, ']');
    json_key_text(&j, "policy", policy_id(book_at(daemon->book, 0)));
    json_key_span(&j, "environment", policy_name(book_at(daemon->book, 0)));
    daemon_environments_into(&j, daemon);
    json_key_text(&j, "audit_dir", daemon->place.audit_dir);
    json_key_text(&j, "audit_key", audit_log_vkey(daemon->log));
    json_key_text(&j, "admin", daemon->place.admin_path);
    json_key_u64(&j, "workers", daemon->worker_count);
    json_key_u64(&j, "pid", (uint64_t)getpid());
    json_close(&j, '}');
    outbuf_char(&out, '\n');
    ASSERT(!out.overflow);
    log_info("ready", "policy=%s audit=%s workers=%u", policy_id(book_at(daemon->book, 0)), daemon->place.audit_dir,
             daemon->worker_count);
    tell_ready(daemon->options->ready_fd, outbuf_written(&out));
    free(text);
}
