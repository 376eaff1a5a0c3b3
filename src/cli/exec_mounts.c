/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file system as the command sees it: that of its caller, but for /run, /dev, /sys and /proc, which are fresh, and
 * for what would let it read or steer this program. Made as process 1 of the new namespaces, with their powers and none
 * beyond them.
 */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGE      "/run/dev"
#define EMPTY_FILE "/run/empty"
#define OWN_SOCKET "/run/sallyport"

bool exec_failed(const char *what)
{
    int error = errno;
    fprintf(stderr, "sallyport exec: %s: %s\n", what, strerror(error));
    errno = error;
    return false;
}

static bool fresh(const char *type, const char *path, unsigned long flags, const char *data)
{
    return mount(type, path, type, MS_NOSUID | flags, data) == 0 || exec_failed(path);
}

static bool bind_read_only(const char *from, const char *to)
{
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) != 0)
        return exec_failed(to);
    /* What the mount is bound to already (no devices, no programs) may not be taken away from it. */
    static const unsigned long more[] = {MS_NOSUID | MS_NODEV | MS_NOEXEC, MS_NOSUID | MS_NODEV, MS_NOSUID, 0};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        if (mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | more[i], NULL) == 0)
            return true;
    return exec_failed(to);
}

/* ---- /dev ---- */

static bool bind_node(const char *name)
{
    char from[64], to[64];
    snprintf(from, sizeof from, "/dev/%s", name);
    snprintf(to, sizeof to, STAGE "/%s", name);
    int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0)
        close(fd);
    return mount(from, to, NULL, MS_BIND, NULL) == 0 || exec_failed(from);
}

/* No disks and no terminals of others: whoever is root outside would open them by their owner's right. */
static bool make_dev(void)
{
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
    static const char *const links[][2] = {
        {"/proc/self/fd",   STAGE "/fd"    },
        {"/proc/self/fd/0", STAGE "/stdin" },
        {"/proc/self/fd/1", STAGE "/stdout"},
        {"/proc/self/fd/2", STAGE "/stderr"},
        {"pts/ptmx",        STAGE "/ptmx"  },
    };
    if (mkdir(STAGE, 0755) != 0 || !fresh("tmpfs", STAGE, MS_NOEXEC, "mode=0755"))
        return false;
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
        if (!bind_node(nodes[i]))
            return false;
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        if (symlink(links[i][0], links[i][1]) != 0)
            return exec_failed(links[i][1]);
    if (mkdir(STAGE "/pts", 0755) != 0 || mkdir(STAGE "/shm", 01777) != 0)
        return exec_failed(STAGE);
    if (!fresh("devpts", STAGE "/pts", MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620") ||
        !fresh("tmpfs", STAGE "/shm", MS_NODEV | MS_NOEXEC, "mode=1777"))
        return false;
    if (mount(STAGE, "/dev", NULL, MS_MOVE, NULL) != 0)
        return exec_failed("/dev");
    return rmdir(STAGE) == 0 || exec_failed(STAGE);
}

/* ---- /proc and /sys ---- */

/* Root's own files here change the kernel of all, whatever powers a process has: they are left for reading. */
static bool make_proc(void)
{
    static const char *const closed[] = {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus",
                                         "/proc/fs",  "/proc/acpi"};
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0) {
        exec_failed("a fresh /proc");
        if (errno == EPERM)
            fputs("sallyport exec: containers that mask parts of /proc refuse this; start it outside of one\n", stderr);
        return false;
    }
    for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++)
        if (access(closed[i], F_OK) == 0 && !bind_read_only(closed[i], closed[i]))
            return false;
    return true;
}

static bool make_sys(void)
{
    if (access("/sys", F_OK) != 0 ||
        mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL) == 0)
        return true;
    return fresh("tmpfs", "/sys", MS_NODEV | MS_NOEXEC | MS_RDONLY, "mode=0555,size=4k");
}

/* ---- /run ---- */

static bool make_run(const struct exec *e)
{
    /* Looked up before /run is covered: the socket may lie there. */
    int door = open(e->door, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char from[64];
    if (door < 0)
        return exec_failed(e->door);
    snprintf(from, sizeof from, "/proc/self/fd/%d", door);
    if (!fresh("tmpfs", "/run", MS_NODEV | MS_NOEXEC, "mode=0755"))
        return false;
    bool done = (mkdir(OWN_SOCKET, 0755) == 0 || exec_failed(OWN_SOCKET)) && bind_read_only(from, OWN_SOCKET);
    close(door);
    struct stat var;
    /* A link to /run nearly everywhere. */
    if (done && lstat("/var/run", &var) == 0 && S_ISDIR(var.st_mode))
        done = fresh("tmpfs", "/var/run", MS_NODEV | MS_NOEXEC, "mode=0755");
    return done;
}

/* ---- what the command must not see ---- */

static bool hide_file(const char *path)
{
    int fd = open(EMPTY_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
    if (fd < 0)
        return exec_failed(EMPTY_FILE);
    close(fd);
    return bind_read_only(EMPTY_FILE, path);
}

static bool hide(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR ||
               exec_failed(path); /* it cannot see it either */
    if (!S_ISDIR(st.st_mode))
        return hide_file(path);
    return fresh("tmpfs", path, MS_NODEV | MS_NOEXEC | MS_RDONLY, "mode=0555,size=4k");
}

bool exec_mounts(const struct exec *e, const char *cwd)
{
    if (!make_proc() || !make_run(e) || !make_dev() || !make_sys())
        return false;
    /* A directory that something is mounted on cannot be renamed. */
    for (size_t i = 0; i < e->pinned_count; i++)
        if (mount(e->pinned[i], e->pinned[i], NULL, MS_BIND | MS_REC, NULL) != 0)
            return exec_failed(e->pinned[i]);
    for (size_t i = 0; i < e->hidden_count; i++)
        if (!hide(e->hidden[i]))
            return false;
    unlink(EMPTY_FILE);
    /* By its name, so that it is not the covered one that is worked in. */
    if (chdir(cwd) != 0 && chdir("/") != 0)
        return exec_failed(cwd);
    return true;
}
