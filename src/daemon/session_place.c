/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session's directory is all that its sandbox is given, so it must be this program's own, new or as this program left
 * it, and open to one group alone. It outlives the process: whoever has it mounted finds the socket of the next one.
 */
#include "session.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 1024

static bool is_own_group(gid_t gid)
{
    gid_t groups[GROUPS_MAX];
    int count = getgroups(GROUPS_MAX, groups);
    for (int i = 0; i < count; i++)
        if (groups[i] == gid)
            return true;
    return gid == getegid();
}

/*
 * A number: `sallyport session` knows the names. This program, in its cage, could not load what the system may need to
 * look one up, and would wait for a directory service while it does.
 */
static bool group_of(const char *text, gid_t *out, char *why, size_t why_cap)
{
    uint64_t number = 0;
    *out = getegid();
    if (text[0] == '\0')
        return true;
    if (text_u64(span_text(text), UINT32_MAX - 1, &number) != ERR_NONE) {
        snprintf(why, why_cap, "group: %s is not the number of a group", text);
        return false;
    }
    *out = (gid_t)number;
    if (is_own_group(*out))
        return true;
    snprintf(why, why_cap, "the group %s is not one of the proxy's: make it a supplementary group of its account",
             text);
    return false;
}

static enum err make_dir(const struct session *session, gid_t gid, char *why, size_t why_cap)
{
    struct stat st;
    if (mkdir(session->dir, 0700) != 0 && errno != EEXIST) {
        snprintf(why, why_cap, "cannot make %.200s: %s", session->dir, strerror(errno));
        return ERR_IO;
    }
    int fd = open(session->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_uid != geteuid()) {
        snprintf(why, why_cap, "%.200s is not a directory of the proxy's own", session->dir);
        if (fd >= 0)
            close(fd);
        return ERR_DENIED;
    }
    /* The group first: the other way round, the old group could look in. */
    bool good = (st.st_gid == gid || fchown(fd, (uid_t)-1, gid) == 0) && fchmod(fd, 0750) == 0;
    if (!good)
        snprintf(why, why_cap, "cannot give %.200s to its group: %s", session->dir, strerror(errno));
    close(fd);
    return good ? ERR_NONE : ERR_DENIED;
}

enum err session_place_open(struct session *session, int *out_fd, char *why, size_t why_cap)
{
    gid_t gid = 0;
    if (!group_of(session->spec.group, &gid, why, why_cap))
        return ERR_DENIED;
    enum err err = make_dir(session, gid, why, why_cap);
    if (err == ERR_NONE)
        err = listen_unix(session->path, 0600, out_fd, why, why_cap);
    if (err != ERR_NONE)
        return err;
    if (lchown(session->path, (uid_t)-1, gid) == 0 && chmod(session->path, 0660) == 0)
        return ERR_NONE;
    snprintf(why, why_cap, "cannot give the socket to its group: %s", strerror(errno));
    close(*out_fd);
    return ERR_DENIED;
}

void session_place_remove(const struct session *session)
{
    unlink(session->path);
    rmdir(session->dir);
    unlink(session->state_path);
}

/* Whole or not at all. It is not forced to the disk: after a power cut the sandboxes are gone as well. */
bool session_place_save(struct session *session)
{
    char text[SESSION_BODY_MAX], fresh[PATH_TEXT + 8];
    struct outbuf out = outbuf_make(text, sizeof text);
    session_use_note(session);
    session_spec_write(&session->spec, &out);
    /* No session is called like this: none begins with a dot. */
    int n = snprintf(fresh, sizeof fresh, "%s/.new", session->daemon->sessions->state_dir);
    if (out.overflow || n <= 0 || (size_t)n >= sizeof fresh)
        return false;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool good = write(fd, text, out.len) == (ssize_t)out.len;
    good = close(fd) == 0 && good;
    return good && rename(fresh, session->state_path) == 0;
}
