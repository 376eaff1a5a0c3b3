/* SPDX-License-Identifier: Apache-2.0 */
#include "exec.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FORMAT(out, cap, ...) ((size_t)snprintf((out), (cap), __VA_ARGS__) < (cap))

/* What `run` uses when nothing is said, for whoever we are. */
static bool state_dir(char *out, size_t cap)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (geteuid() == 0)
        return FORMAT(out, cap, "/var/lib/sallyport");
    if (state != NULL && state[0] == '/')
        return FORMAT(out, cap, "%s/sallyport", state);
    return home != NULL && home[0] == '/' && FORMAT(out, cap, "%s/.local/state/sallyport", home);
}

/* With what is missing above it. As root others pass through: the proxy has an account of its own. */
static bool make_dirs(char *path)
{
    mode_t mode = geteuid() == 0 ? 0711 : 0700;
    for (char *slash = path + 1;; slash++) {
        if (*slash != '/' && *slash != '\0')
            continue;
        bool last = *slash == '\0';
        *slash = '\0';
        bool made = mkdir(path, mode) == 0 || errno == EEXIST;
        if (!last)
            *slash = '/';
        if (!made || last)
            return made || exec_failed(path);
    }
}

/* The file or directory may be missing, the directory above it may not. */
static bool absolute(const char *path, char out[static EXEC_PATH_MAX])
{
    char whole[PATH_MAX], cwd[PATH_MAX] = "";
    if (path[0] != '/' && getcwd(cwd, sizeof cwd) == NULL)
        return exec_failed("the working directory");
    if (!FORMAT(whole, sizeof whole, "%s%s%s", cwd, path[0] != '/' ? "/" : "", path)) {
        errno = ENAMETOOLONG;
        return exec_failed(path);
    }
    char *real = realpath(whole, NULL);
    bool fits = FORMAT(out, EXEC_PATH_MAX, "%s", real != NULL ? real : whole);
    free(real);
    return fits || exec_failed(path);
}

static bool make_door(struct exec *e)
{
    /* The command must be able to walk to it without root's powers, even where the state directory is another's. */
    if (geteuid() == 0) {
        snprintf(e->door, sizeof e->door, "/run/sallyport-exec.XXXXXX");
        return mkdtemp(e->door) != NULL || exec_failed(e->door);
    }
    return FORMAT(e->door, sizeof e->door, "%s/s", e->home) && (mkdir(e->door, 0700) == 0 || exec_failed(e->door));
}

bool exec_place(struct exec *e)
{
    char state[EXEC_PATH_MAX / 8], stamp[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    if (!state_dir(state, sizeof state)) {
        fputs("sallyport exec: neither XDG_STATE_HOME nor HOME says where the log shall lie\n", stderr);
        return false;
    }
    snprintf(e->home, sizeof e->home, "%s/exec/%s-%d", state, stamp, (int)getpid());
    if (!make_dirs(e->home) || !make_door(e))
        return false;
    if (e->audit_dir == NULL)
        snprintf(e->audit, sizeof e->audit, "%s/audit", e->home);
    else if (!absolute(e->audit_dir, e->audit))
        return false;
    if (!FORMAT(e->signer, sizeof e->signer, "%s.signer", e->audit)) {
        errno = ENAMETOOLONG;
        return exec_failed(e->audit);
    }
    return (e->policy_path == NULL || absolute(e->policy_path, e->policy_text)) &&
           (e->egress_path == NULL || absolute(e->egress_path, e->egress_text));
}

/* ---- what the command must not see ---- */

/* A directory can be renamed by whoever may write to the one above it. */
static void pin(struct exec *e, const char *path)
{
    char part[EXEC_PATH_MAX], above[EXEC_PATH_MAX] = "/";
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        bool known = strncmp(part, "/run", 4) == 0 && (part[4] == '\0' || part[4] == '/');
        for (size_t i = 0; i < e->pinned_count; i++)
            known = known || strcmp(e->pinned[i], part) == 0;
        if (!known && access(above, W_OK) == 0 && e->pinned_count < EXEC_PINNED_MAX)
            memcpy(e->pinned[e->pinned_count++], part, sizeof part);
        memcpy(above, part, sizeof above);
        *slash = '/';
    }
}

static bool hide(struct exec *e, const char *path)
{
    char *real = realpath(path, NULL);
    if (real == NULL)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR || exec_failed(path);
    bool fits = e->hidden_count < EXEC_HIDDEN_MAX && FORMAT(e->hidden[e->hidden_count], EXEC_PATH_MAX, "%s", real);
    for (size_t i = 0; fits && i < e->hidden_count; i++) {
        size_t len = strlen(e->hidden[i]);
        if (strncmp(e->hidden[i], real, len) == 0 && (real[len] == '/' || real[len] == '\0')) {
            free(real);
            return true; /* below one that is */
        }
    }
    free(real);
    if (!fits) {
        fprintf(stderr, "sallyport exec: more files than %d cannot be hidden\n", EXEC_HIDDEN_MAX);
        return false;
    }
    e->hidden_count++;
    return true;
}

bool exec_hide(struct exec *e)
{
    char path[EXEC_PATH_MAX];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    bool done = state_dir(path, sizeof path) && hide(e, path) && hide(e, "/var/lib/sallyport") &&
                hide(e, "/etc/sallyport") && hide(e, e->audit) && hide(e, e->signer);
    if (done && runtime != NULL && runtime[0] == '/' && FORMAT(path, sizeof path, "%s/sallyport", runtime) &&
        strncmp(runtime, "/run/", 5) != 0)
        done = hide(e, path);
    size_t count = 0;
    const struct policy_file *files = policy_files(e->policy, &count);
    for (size_t i = 0; done && i < count; i++)
        done = hide(e, files[i].path);
    pin(e, e->home);
    pin(e, e->audit);
    return done;
}

void exec_unplace(const struct exec *e)
{
    char path[EXEC_PATH_MAX];
    if (e->door[0] == '\0')
        return;
    snprintf(path, sizeof path, "%s/proxy.sock", e->door);
    unlink(path);
    rmdir(e->door);
}
