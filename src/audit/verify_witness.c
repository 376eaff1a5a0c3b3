/* SPDX-License-Identifier: Apache-2.0 */
/* What witnesses have signed: the largest head in cosigned.log with a quorum is part of this log, or it was rolled back. */
#include "verify_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_all(int dir, uint8_t **out, size_t *out_len)
{
    struct stat st;
    int fd = openat(dir, COSIGN_LOG, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT;
    uint8_t *text = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? malloc((size_t)st.st_size + 1) : NULL;
    ssize_t got = text == NULL ? -1 : pread(fd, text, (size_t)st.st_size, 0);
    close(fd);
    if (got < 0) {
        free(text);
        return false;
    }
    *out = text;
    *out_len = (size_t)got;
    return true;
}

static void name_them(struct verify *v, const bool *have)
{
    char *to = v->report->witnessed_by;
    size_t len = 0, cap = sizeof v->report->witnessed_by;
    to[0] = '\0';
    for (size_t i = 0; i < cosign_count(v->options->witnesses) && len < cap; i++)
        if (have[i])
            len += (size_t)snprintf(to + len, cap - len, "%s%s", len > 0 ? ", " : "",
                                    cosign_witness(v->options->witnesses, i)->label);
}

static void take(struct verify *v, struct span note)
{
    bool have[COSIGN_WITNESSES_MAX];
    uint64_t time_s = 0;
    struct checkpoint c;
    size_t len = 0;
    if (note_checkpoint_parse(note, &c, &len) != ERR_NONE || !verify_signature(v, &c) ||
        c.head.size < v->witnessed.size)
        return;
    cosign_check(v->options->witnesses, note, have, &time_s);
    if (time_s == 0 || !cosign_quorum(v->options->witnesses, have))
        return;
    v->witnessed = c.head;
    v->report->witnessed_size = c.head.size;
    v->report->witnessed_time_s = time_s;
    name_them(v, have);
}

/* Notes stand one behind the other with an empty line after each; what is no note of this log does not count. */
bool witness_read(struct verify *v)
{
    uint8_t *text = NULL;
    size_t len = 0;
    if (v->options->witnesses == NULL)
        return true;
    if (!read_all(v->dir, &text, &len)) {
        verify_finding(v->report, VERIFY_FAILED, COSIGN_LOG " cannot be read");
        return false;
    }
    for (struct span rest = span_make(text, len); rest.len > 0;) {
        struct checkpoint c;
        size_t note = 0;
        if (note_checkpoint_parse(rest, &c, &note) != ERR_NONE || note >= rest.len)
            break;
        take(v, span_first(rest, note));
        rest = span_from(rest, note + 1);
    }
    free(text);
    return true;
}

void witness_end(struct verify *v, uint64_t size)
{
    struct verify_report *r = v->report;
    unsigned long long witnessed = r->witnessed_size;
    if (v->options->witnesses == NULL)
        return;
    if (witnessed == 0)
        verify_finding(r, VERIFY_INCOMPLETE, "no checkpoint in " COSIGN_LOG " has the signatures of the quorum");
    else if (witnessed > size || (witnessed > r->begun && !v->witnessed_seen))
        verify_finding(r, VERIFY_ROLLBACK, "witnesses signed a tree of %llu entries that is no part of this log",
                       witnessed);
    else if (witnessed <= r->begun)
        verify_unproven(r, "that the tree of %llu entries, which witnesses signed, is part of this log (--full)",
                        witnessed);
    else
        verify_proven(r, "%s signed that the first %llu entries were these, at %llu s since 1970", r->witnessed_by,
                      witnessed, (unsigned long long)r->witnessed_time_s);
}
