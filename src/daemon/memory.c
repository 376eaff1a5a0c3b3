/* SPDX-License-Identifier: Apache-2.0 */
/* How much connections may make the program hold where the configuration does not say: half of what the machine has, or
 * half of what the strictest of its control groups (version 2) allows. */
#include "internal.h"

#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define CGROUPS   "/sys/fs/cgroup"
#define LEAST     (UINT64_C(16) << 20)
#define LINES_MAX 4096

static size_t read_file(const char *path, char *out, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, out, cap - 1) : -1;
    if (fd >= 0)
        close(fd);
    out[len > 0 ? len : 0] = '\0';
    return len > 0 ? (size_t)len : 0;
}

/* What this group allows, if it says a number that is less than `most`. */
static uint64_t at_most(const char *group, uint64_t most)
{
    char path[PATH_TEXT], text[64];
    uint64_t value = 0;
    int n = snprintf(path, sizeof path, CGROUPS "%s/memory.max", group);
    size_t len = n > 0 && n < PATH_TEXT ? read_file(path, text, sizeof text) : 0;
    if (len > 0 && text[len - 1] == '\n')
        len--;
    bool said = len > 0 && text_u64(span_make(text, len), UINT64_MAX, &value) == ERR_NONE; /* or "max" */
    return said && value < most ? value : most;
}

uint64_t memory_default(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t most = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : LEAST * 2;
    char lines[LINES_MAX];
    size_t len = read_file("/proc/self/cgroup", lines, sizeof lines);
    char *group = len > 0 ? strstr(lines, "0::/") : NULL;
    if (group != NULL && (group == lines || group[-1] == '\n')) {
        group += 3;
        group[strcspn(group, "\n")] = '\0';
        for (char *slash = strrchr(group, '/'); slash != NULL; slash = strrchr(group, '/')) {
            most = at_most(group, most);
            *slash = '\0';
        }
    }
    most = at_most("", most);
    return most / 2 < LEAST ? LEAST : most / 2;
}
