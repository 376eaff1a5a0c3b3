/* SPDX-License-Identifier: Apache-2.0 */
#include "cage.h"

#include "base/assert.h"
#include "base/log.h"
#include "files.h"
#include "internal.h"
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATHS_MAX 4096

/* What is in force; main writes it before there are threads. */
static struct {
    bool no_new_privs, no_dump, no_core, no_capabilities, calls, ready;
    int files; /* Landlock's version; 0: not in force */
} cage;

/* SALLYPORT_INSTRUMENTED: see cage.h. */
static const bool instrumented = SALLYPORT_INSTRUMENTED;

void cage_close_process(void)
{
    struct rlimit none = {0, 0};
    cage.no_new_privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    cage.no_dump = prctl(PR_SET_DUMPABLE, 0) == 0;
    cage.no_core = setrlimit(RLIMIT_CORE, &none) == 0;
}

/* Rights that a service manager or a file gave us were for opening what is open now. */
static bool drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct nothing[_LINUX_CAPABILITY_U32S_3] = {{0}};
    bool ambient = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 || errno == EINVAL;
    return syscall(SYS_capset, &head, nothing) == 0 && ambient;
}

/* ---- directories ---- */

struct paths {
    struct cage_path items[PATHS_MAX];
    char *owned[PATHS_MAX];
    size_t count;
};

static bool add(struct paths *p, const char *path, size_t len, bool write)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i].write == write && strlen(p->items[i].path) == len && memcmp(p->items[i].path, path, len) == 0)
            return true;
    char *copy = p->count < PATHS_MAX ? strndup(path, len) : NULL;
    if (copy == NULL)
        return false;
    p->owned[p->count] = copy;
    p->items[p->count++] = (struct cage_path){.path = copy, .write = write};
    return true;
}

static bool add_path(struct paths *p, const char *path, bool write)
{
    return add(p, path, strlen(path), write);
}

static bool add_parent(struct paths *p, const char *path, bool write)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return add_path(p, ".", write);
    return add(p, path, slash == path ? 1 : (size_t)(slash - path), write);
}

/* A file is replaced by another one in its directory, or by a link's leading elsewhere in the directory of the link. */
static bool add_policies(struct paths *p, const struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        char real[PATH_MAX];
        if (!add_parent(p, files->items[i].path, false) ||
            (realpath(files->items[i].path, real) != NULL && !add_parent(p, real, false)))
            return false;
    }
    return true;
}

/* Name servers, time zones, accounts, random numbers: what libraries read whenever they like. */
static bool add_system(struct paths *p)
{
    static const char *const read_only[] = {"/etc",          "/usr",
                                            "/lib",          "/lib64",
                                            "/proc/sys",     "/proc/self",
                                            "/proc/meminfo", "/sys/devices/system/cpu",
                                            "/run/systemd",  "/run/resolvconf",
                                            "/dev/urandom"};
    for (size_t i = 0; i < sizeof read_only / sizeof read_only[0]; i++)
        if (!add_path(p, read_only[i], false))
            return false;
    return add_path(p, "/dev/null", true);
}

static bool add_own(struct paths *p, const struct daemon *daemon)
{
    bool good = add_path(p, daemon->place.audit_dir, true) && add_path(p, daemon->place.privacy_dir, true) &&
                add_parent(p, daemon->place.admin_path, true) && add_path(p, daemon->sessions->dir, true) &&
                add_path(p, daemon->sessions->state_dir, true);
    for (size_t i = 0; good && i < daemon->config->listener_count; i++)
        if (daemon->config->listeners[i].is_unix && !daemon->entrances[i].inherited)
            good = add_parent(p, daemon->config->listeners[i].path, true);
    return good;
}

static enum err close_files(struct daemon *daemon)
{
    char why[256];
    struct paths *p = calloc(1, sizeof *p);
    if (p == NULL)
        return ERR_NO_MEMORY;
    /* They are made for the first session otherwise, when nothing can be made beside them any more. Where they
     * cannot be made, sessions are refused, and say so. */
    if (sessions_make_dirs(daemon, why, sizeof why) != ERR_NONE)
        log_debug("no directories of sessions", "why=%s", why);
    bool good = add_system(p) && add_own(p, daemon) && add_policies(p, &daemon->files);
    enum err err = good ? files_close(p->items, p->count) : ERR_TOO_BIG;
    for (size_t i = 0; i < p->count; i++)
        free(p->owned[i]);
    free(p);
    return err;
}

/* ---- the order ---- */

static void say_what_is_missing(bool has_calls, bool has_files)
{
    bool all = cage.no_new_privs && cage.no_dump && cage.no_core && cage.no_capabilities && has_calls && has_files;
    if (instrumented)
        log_info("an instrumented build: system calls and directories are not confined", "%s", "");
    else if (!all)
        log_warn("part of the cage is missing here, the program goes on without", "missing=%s%s%s%s%s%s",
                 cage.no_new_privs ? "" : "no_new_privs ", cage.no_dump ? "" : "not_dumpable ",
                 cage.no_core ? "" : "core_limit ", cage.no_capabilities ? "" : "capabilities ",
                 has_calls ? "" : "seccomp ", has_files ? "" : "landlock");
}

enum err cage_close(struct daemon *daemon)
{
    bool has_calls = !instrumented && calls_supported();
    int files = instrumented ? 0 : files_supported();
    enum err err = ERR_NONE;
    cage.no_capabilities = drop_capabilities();
    if (has_calls)
        err = calls_prepare();
    if (err == ERR_NONE && files > 0)
        err = close_files(daemon);
    if (err != ERR_NONE) {
        log_error("the cage cannot be closed", "why=%s", err_text(err));
        return err;
    }
    cage.calls = has_calls;
    cage.files = files;
    cage.ready = true;
    say_what_is_missing(has_calls, files > 0);
    return ERR_NONE;
}

void cage_enter(enum cage_kind kind)
{
    static const char *const names[CAGE_KINDS] = {NULL, "sallyport-work", "sallyport-log"};
    ASSERT(cage.ready);
    if (names[kind] != NULL)
        prctl(PR_SET_NAME, names[kind]);
    if (!cage.calls || calls_close(kind) == ERR_NONE)
        return;
    log_error("a thread cannot be confined, so the program ends", "why=%s", strerror(errno));
    abort();
}

/* ---- what is said of it ---- */

static const char *in_force(bool yes)
{
    return instrumented ? "off: instrumented build" : yes ? "in force" : "not supported by the kernel";
}

void cage_status_into(struct json *j)
{
    json_key(j, "cage");
    json_open(j, '{');
    json_key_bool(j, "unprivileged", geteuid() != 0);
    json_key_bool(j, "no_new_privs", cage.no_new_privs);
    json_key_bool(j, "no_capabilities", cage.no_capabilities);
    json_key_bool(j, "not_dumpable", cage.no_dump);
    json_key_bool(j, "no_core_files", cage.no_core);
    json_key_text(j, "system_calls", in_force(cage.calls));
    json_key_text(j, "directories", in_force(cage.files > 0));
    json_key_u64(j, "landlock", (uint64_t)cage.files);
    json_close(j, '}');
}

/* access(2) knows owners and modes and not Landlock. */
static bool is_outside(const char *path)
{
    if (cage.files == 0 || access(path, R_OK) != 0)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EACCES;
}

void cage_explain(const struct files *files)
{
    for (size_t i = 0; i < files->count; i++)
        if (is_outside(files->items[i].path))
            log_error("a file lies in a directory that no file was read from at the start",
                      "file=%s fix=since its start the program may not read there: move the file, or start it again",
                      files->items[i].path);
}
