/* SPDX-License-Identifier: Apache-2.0 */
/* Where the program lives: its directories, its account, its descriptors. */
#include "internal.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define TABLE_MAX 65536u

#define FORMAT(out, cap, ...) ((size_t)snprintf((out), (cap), __VA_ARGS__) < (cap))

static enum err too_long(char *why, size_t why_cap)
{
    snprintf(why, why_cap, "a directory name is too long");
    return ERR_TOO_BIG;
}

/* $XDG_STATE_HOME/sallyport, else ~/.local/state/sallyport; as root /var/lib/sallyport. */
static bool state_dir(char out[static PATH_TEXT])
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (geteuid() == 0)
        return FORMAT(out, PATH_TEXT, "/var/lib/sallyport");
    if (state != NULL && state[0] == '/')
        return FORMAT(out, PATH_TEXT, "%s/sallyport", state);
    return FORMAT(out, PATH_TEXT, "%s/.local/state/sallyport", home != NULL ? home : "");
}

static bool runtime_dir(char out[static PATH_TEXT], const char *state)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0)
        return FORMAT(out, PATH_TEXT, "/run/sallyport");
    if (runtime != NULL && runtime[0] == '/')
        return FORMAT(out, PATH_TEXT, "%s/sallyport", runtime);
    return FORMAT(out, PATH_TEXT, "%s/run", state);
}

/* Makes a directory and what is missing above it; what it makes belongs to `uid` and is closed to others. */
static enum err make_dirs(const char *path, uid_t uid, gid_t gid)
{
    char part[PATH_TEXT];
    if (!FORMAT(part, sizeof part, "%s", path))
        return ERR_TOO_BIG;
    for (char *slash = part + 1;; slash++) {
        if (*slash != '/' && *slash != '\0')
            continue;
        bool last = *slash == '\0';
        *slash = '\0';
        if (mkdir(part, 0700) == 0) {
            if (geteuid() == 0 && lchown(part, uid, gid) != 0)
                return ERR_IO;
        } else if (errno != EEXIST) {
            return ERR_IO;
        }
        if (last)
            return ERR_NONE;
        *slash = '/';
    }
}

static enum err find_account(const char *wanted, uid_t *uid, gid_t *gid, char *why, size_t why_cap)
{
    const char *const names[] = {wanted != NULL ? wanted : "sallyport", wanted != NULL ? NULL : "nobody"};
    for (size_t i = 0; i < 2 && names[i] != NULL; i++) {
        const struct passwd *account = getpwnam(names[i]);
        if (account == NULL || account->pw_uid == 0)
            continue;
        *uid = account->pw_uid;
        *gid = account->pw_gid;
        log_info("started as root, becoming an unprivileged account", "user=%s uid=%u", names[i], (unsigned)*uid);
        return ERR_NONE;
    }
    snprintf(why, why_cap, "started as root and there is no unprivileged account %s to become",
             wanted != NULL ? wanted : "sallyport or nobody");
    return ERR_DENIED;
}

static enum err become(uid_t uid, gid_t gid, char *why, size_t why_cap)
{
    const struct passwd *account = getpwuid(uid);
    int end_with_parent = 0; /* the kernel forgets that wish when the account changes */
    (void)prctl(PR_GET_PDEATHSIG, &end_with_parent);
    /* Its own supplementary groups stay: sockets are given to the groups of sandboxes. */
    if (account == NULL || initgroups(account->pw_name, gid) != 0 || setresgid(gid, gid, gid) != 0 ||
        setresuid(uid, uid, uid) != 0 || geteuid() == 0) {
        snprintf(why, why_cap, "cannot become uid %u: %s", (unsigned)uid, strerror(errno));
        return ERR_DENIED;
    }
    (void)prctl(PR_SET_PDEATHSIG, end_with_parent);
    return ERR_NONE;
}

static enum err raise_descriptors(uint64_t *out)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return ERR_IO;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return ERR_IO;
    *out = limit.rlim_cur > 1048576 ? 1048576 : limit.rlim_cur;
    return ERR_NONE;
}

/*
 * Where a process has threads, the kernel lets whoever makes its table of descriptors larger wait until nobody can be
 * reading the old one: 10 to 30 ms in which a worker does nothing, at 64, 128, 256 and so on. Made large once, before
 * there are threads, it never grows under load; an entry takes 8 bytes.
 */
static void make_table_of_descriptors(uint64_t limit)
{
    int last = (int)(limit < TABLE_MAX ? limit : TABLE_MAX) - 1;
    int any = open("/", O_PATH | O_CLOEXEC);
    int far = any < 0 ? -1 : fcntl(any, F_DUPFD_CLOEXEC, last);
    if (far >= 0)
        close(far);
    if (any >= 0)
        close(any);
}

static bool choose_paths(const struct config *config, struct place *out)
{
    char state[PATH_TEXT], runtime[PATH_TEXT];
    if (!state_dir(state) || !runtime_dir(runtime, state))
        return false;
    bool ok = config->audit_dir != NULL ? FORMAT(out->audit_dir, PATH_TEXT, "%s", config->audit_dir)
                                        : FORMAT(out->audit_dir, PATH_TEXT, "%s/audit", state);
    /* Beside the audit directory, never below it. */
    size_t len = strlen(out->audit_dir);
    while (len > 1 && out->audit_dir[len - 1] == '/')
        out->audit_dir[--len] = '\0';
    ok = ok && (config->signer_dir != NULL ? FORMAT(out->signer_dir, PATH_TEXT, "%s", config->signer_dir)
                                           : FORMAT(out->signer_dir, PATH_TEXT, "%s.signer", out->audit_dir));
    ok = ok && (config->privacy_dir != NULL ? FORMAT(out->privacy_dir, PATH_TEXT, "%s", config->privacy_dir)
                                            : FORMAT(out->privacy_dir, PATH_TEXT, "%s.privacy", out->audit_dir));
    return ok && (config->admin_path != NULL ? FORMAT(out->admin_path, PATH_TEXT, "%s", config->admin_path)
                                             : FORMAT(out->admin_path, PATH_TEXT, "%s/admin.sock", runtime));
}

/* Only a missing parent of the admin socket is made: one that is there is judged when the socket is opened. */
static enum err make_places(const struct place *place, const struct signer_start *signer, uid_t uid, gid_t gid,
                            char *why, size_t why_cap)
{
    char admin_dir[PATH_TEXT];
    snprintf(admin_dir, sizeof admin_dir, "%s", place->admin_path);
    char *slash = strrchr(admin_dir, '/');
    if (slash != NULL)
        *slash = '\0';
    const struct {
        const char *path;
        uid_t uid;
        gid_t gid;
    } dirs[] = {
        {place->audit_dir,                uid,         gid        },
        {place->signer_dir,               signer->uid, signer->gid},
        {place->privacy_dir,              uid,         gid        },
        {slash != NULL ? admin_dir : ".", uid,         gid        },
    };
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        if (dirs[i].path[0] == '\0' || make_dirs(dirs[i].path, dirs[i].uid, dirs[i].gid) == ERR_NONE)
            continue;
        snprintf(why, why_cap, "cannot make the directory %.200s: %s", dirs[i].path, strerror(errno));
        return ERR_IO;
    }
    return ERR_NONE;
}

/* The signer's own account, if there is one: whoever takes the program over then has neither its key nor its memory. */
static void find_signer(struct signer_start *signer)
{
    const struct passwd *account = geteuid() == 0 ? getpwnam("sallyport-signer") : NULL;
    if (account == NULL || account->pw_uid == 0)
        return;
    signer->uid = account->pw_uid;
    signer->gid = account->pw_gid;
}

enum err place_take(const struct config *config, bool adopt, struct place *out, char *why, size_t why_cap)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    bool root = uid == 0;
    umask(0077);
    out->memory = config->memory_max != 0 ? config->memory_max : memory_default();
    if (root) {
        enum err err = find_account(config->user, &uid, &gid, why, why_cap);
        if (err != ERR_NONE)
            return err;
    }
    if (!choose_paths(config, out))
        return too_long(why, why_cap);
    struct signer_start signer = {.dir = out->signer_dir, .uid = uid, .gid = gid, .adopt = adopt};
    find_signer(&signer);
    enum err err = make_places(out, &signer, uid, gid, why, why_cap);
    if (err == ERR_NONE) {
        err = signer_start(&signer, &out->signer);
        if (err != ERR_NONE)
            snprintf(why, why_cap, "cannot start the signer's process: %s", strerror(errno));
    }
    if (err == ERR_NONE && root)
        err = become(uid, gid, why, why_cap);
    if (err == ERR_NONE && raise_descriptors(&out->descriptors) != ERR_NONE) {
        snprintf(why, why_cap, "cannot read the descriptor limit: %s", strerror(errno));
        err = ERR_IO;
    }
    if (err == ERR_NONE)
        make_table_of_descriptors(out->descriptors);
    return err;
}
