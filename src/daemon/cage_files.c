/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock through its three system calls: there is no library for it, and the headers of the system are older than
 * many kernels. A right that a kernel does not know is left out by its version.
 */
#include "cage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CREATE_RULESET 444
#define ADD_RULE       445
#define RESTRICT_SELF  446
#define ASK_VERSION    1u
#define BENEATH        1

#define FS_WRITE_FILE  (UINT64_C(1) << 1)
#define FS_READ_FILE   (UINT64_C(1) << 2)
#define FS_READ_DIR    (UINT64_C(1) << 3)
#define FS_OF_1        ((UINT64_C(1) << 13) - 1) /* up to making symbolic links */
#define FS_REFER       (UINT64_C(1) << 13)       /* 2: renaming from one directory into another */
#define FS_TRUNCATE    (UINT64_C(1) << 14)       /* 3 */
#define FS_EXECUTE     UINT64_C(1)
#define FS_MAKE_DEVICE ((UINT64_C(1) << 6) | (UINT64_C(1) << 11)) /* character and block */
#define FS_OF_A_FILE   (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE)
#define NET_BIND_TCP   UINT64_C(1) /* 4 */

struct ruleset {
    uint64_t fs, net;
};

/* The kernel's is packed. */
struct beneath {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

int files_supported(void)
{
    long version = syscall(CREATE_RULESET, NULL, 0, ASK_VERSION);
    return version > 0 ? (int)version : 0;
}

static uint64_t all_rights(int version)
{
    return FS_OF_1 | (version >= 2 ? FS_REFER : 0) | (version >= 3 ? FS_TRUNCATE : 0);
}

static enum err allow(int ruleset, const struct cage_path *path, int version)
{
    struct stat st;
    int fd = open(path->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return ERR_NONE; /* what is not there now is not reached later */
    uint64_t rights = path->write ? all_rights(version) & ~(FS_EXECUTE | FS_MAKE_DEVICE) : FS_READ_FILE | FS_READ_DIR;
    bool good = fstat(fd, &st) == 0;
    if (good && !S_ISDIR(st.st_mode))
        rights &= FS_OF_A_FILE;
    const struct beneath rule = {.allowed = rights, .parent = fd};
    good = good && syscall(ADD_RULE, ruleset, BENEATH, &rule, 0) == 0;
    close(fd);
    return good ? ERR_NONE : ERR_IO;
}

enum err files_close(const struct cage_path *paths, size_t count)
{
    int version = files_supported();
    /* No thread listens on a port that was not open at the start. */
    struct ruleset wanted = {.fs = all_rights(version), .net = version >= 4 ? NET_BIND_TCP : 0};
    int ruleset = (int)syscall(CREATE_RULESET, &wanted, version >= 4 ? sizeof wanted : sizeof wanted.fs, 0);
    if (ruleset < 0)
        return ERR_IO;
    enum err err = ERR_NONE;
    for (size_t i = 0; i < count && err == ERR_NONE; i++)
        err = allow(ruleset, &paths[i], version);
    if (err == ERR_NONE && syscall(RESTRICT_SELF, ruleset, 0) != 0)
        err = ERR_DENIED;
    close(ruleset);
    return err;
}
