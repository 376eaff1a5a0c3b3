/* SPDX-License-Identifier: Apache-2.0 */
#include "filewatch.h"

#include <errno.h>
#include <limits.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40
#define EVENTS    (IN_MOVED_TO | IN_CLOSE_WRITE | IN_MODIFY | IN_ONLYDIR)

/* A name in a directory that is on the way to a file. */
struct name {
    int directory; /* inotify's number */
    bool dirty;
    char *name;
};

struct filewatch {
    int fd;
    struct name *names;
    size_t count, cap;
};

enum err filewatch_new(struct filewatch **out)
{
    struct filewatch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return ERR_NO_MEMORY;
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0) {
        free(watch);
        return ERR_IO;
    }
    *out = watch;
    return ERR_NONE;
}

void filewatch_free(struct filewatch *watch)
{
    if (watch == NULL)
        return;
    close(watch->fd);
    for (size_t i = 0; i < watch->count; i++)
        free(watch->names[i].name);
    free(watch->names);
    free(watch);
}

int filewatch_fd(const struct filewatch *watch)
{
    return watch->fd;
}

bool filewatch_is_dirty(const struct filewatch *watch)
{
    for (size_t i = 0; i < watch->count; i++)
        if (watch->names[i].dirty)
            return true;
    return false;
}

static struct name *find(const struct filewatch *watch, int directory, const char *name)
{
    for (size_t i = 0; i < watch->count; i++)
        if (watch->names[i].directory == directory && strcmp(watch->names[i].name, name) == 0)
            return &watch->names[i];
    return NULL;
}

static enum err add_name(struct filewatch *watch, const char *directory, const char *name)
{
    int number = inotify_add_watch(watch->fd, directory, EVENTS);
    if (number < 0)
        return ERR_IO;
    if (watch->count == watch->cap) {
        size_t cap = watch->cap == 0 ? 16 : 2 * watch->cap;
        struct name *more = realloc(watch->names, cap * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        watch->names = more;
        watch->cap = cap;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    watch->names[watch->count++] = (struct name){.directory = number, .name = copy};
    return ERR_NONE;
}

/* ---- the way to a file ---- */

struct way {
    char here[PATH_MAX];     /* a directory, without links */
    char rest[2 * PATH_MAX]; /* of the path, still to be walked */
    unsigned links;
};

static bool begin(struct way *way, const char *path)
{
    size_t len = strlen(path);
    if (len >= PATH_MAX)
        return false;
    memcpy(way->rest, path, len + 1);
    way->links = 0;
    if (path[0] != '/')
        return getcwd(way->here, sizeof way->here) != NULL;
    memcpy(way->here, "/", 2);
    return true;
}

static bool cut_name(struct way *way, char out[static NAME_MAX + 1])
{
    size_t at = strspn(way->rest, "/"), len = strcspn(way->rest + at, "/");
    if (len == 0 || len > NAME_MAX)
        return false;
    memcpy(out, way->rest + at, len);
    out[len] = '\0';
    memmove(way->rest, way->rest + at + len, strlen(way->rest + at + len) + 1);
    return true;
}

static bool is_end(const struct way *way)
{
    return way->rest[strspn(way->rest, "/")] == '\0';
}

/* `here` with a name behind it. */
static bool join(const struct way *way, const char *name, char out[static PATH_MAX])
{
    int len = snprintf(out, PATH_MAX, "%s/%s", strcmp(way->here, "/") == 0 ? "" : way->here, name);
    return len > 0 && len < PATH_MAX;
}

static void go_up(struct way *way)
{
    char *slash = strrchr(way->here, '/');
    if (slash == way->here)
        slash++;
    *slash = '\0';
}

static bool follow(struct way *way, const char *path)
{
    char link[PATH_MAX];
    ssize_t len = readlink(path, link, sizeof link);
    size_t rest = strlen(way->rest);
    if (len <= 0 || (size_t)len == sizeof link || ++way->links > LINKS_MAX ||
        (size_t)len + 1 + rest >= sizeof way->rest)
        return false;
    memmove(way->rest + len + 1, way->rest, rest + 1);
    memcpy(way->rest, link, (size_t)len);
    way->rest[len] = '/';
    if (link[0] == '/')
        memcpy(way->here, "/", 2);
    return true;
}

enum err filewatch_add(struct filewatch *watch, const char *path)
{
    struct way way;
    char name[NAME_MAX + 1], whole[PATH_MAX];
    if (!begin(&way, path))
        return ERR_IO;
    while (cut_name(&way, name)) {
        struct stat st;
        if (strcmp(name, ".") == 0)
            continue;
        if (strcmp(name, "..") == 0) {
            go_up(&way);
            continue;
        }
        if (!join(&way, name, whole))
            return ERR_IO;
        bool exists = lstat(whole, &st) == 0;
        bool link = exists && S_ISLNK(st.st_mode);
        if (!exists || link || is_end(&way)) {
            enum err err = add_name(watch, way.here, name);
            if (err != ERR_NONE || !link)
                return err;
            if (!follow(&way, whole))
                return ERR_IO;
        } else {
            memcpy(way.here, whole, sizeof way.here);
        }
    }
    return ERR_NONE;
}

/* ---- events ---- */

static bool take(struct filewatch *watch, const struct inotify_event *event)
{
    if ((event->mask & IN_Q_OVERFLOW) != 0)
        return true;
    struct name *name = event->len > 0 ? find(watch, event->wd, event->name) : NULL;
    if (name == NULL)
        return false;
    name->dirty = (event->mask & (IN_MOVED_TO | IN_CLOSE_WRITE)) == 0;
    return !name->dirty;
}

bool filewatch_read(struct filewatch *watch)
{
    alignas(struct inotify_event) char buffer[16384];
    bool seen = false;
    for (ssize_t len; (len = read(watch->fd, buffer, sizeof buffer)) > 0;) {
        for (size_t at = 0; at < (size_t)len;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)(buffer + at);
            seen |= take(watch, event);
            at += sizeof *event + event->len;
        }
    }
    return seen;
}
