/* SPDX-License-Identifier: Apache-2.0 */
#include "env.h"

#include "base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (16 * 1024)

struct env_file {
    enum client_env_kind kind;
    const char *name, *purpose, *text, *with_ca;
};

static const struct env_file files[] = {
#define X(kind, name, purpose, text, with_ca) {CLIENT_ENV_##kind, name, purpose, text, with_ca},
#include "env_files_tbl.h"
#undef X
};

static bool failed(const char *what, const char *path)
{
    fprintf(stderr, "sallyport: cannot %s %s: %s\n", what, path, strerror(errno));
    return false;
}

/* A file beside `path` that takes its place when it is whole. */
struct fresh {
    const char *path;
    char temporary[ENV_PATH_MAX + 80];
    FILE *file;
};

static bool fresh_open(struct fresh *f, const char *path)
{
    f->path = path;
    snprintf(f->temporary, sizeof f->temporary, "%s.XXXXXX", path);
    int fd = mkstemp(f->temporary);
    if (fd < 0)
        return failed("create", f->temporary);
    /* For the programs of every user in the sandbox. */
    f->file = fchmod(fd, 0644) == 0 ? fdopen(fd, "w") : NULL;
    if (f->file != NULL)
        return true;
    failed("create", f->temporary);
    close(fd);
    unlink(f->temporary);
    return false;
}

static bool fresh_close(struct fresh *f)
{
    bool whole = ferror(f->file) == 0;
    whole = fclose(f->file) == 0 && whole;
    if (whole && rename(f->temporary, f->path) == 0)
        return true;
    failed("write", f->path);
    unlink(f->temporary);
    return false;
}

static bool write_one(const char *folder, const struct env_file *row, const struct client_env_facts *facts)
{
    char text[FILE_MAX], path[ENV_PATH_MAX + 64];
    struct outbuf out = outbuf_make(text, sizeof text);
    client_env_fill(&out, row->text, facts);
    if (facts->ca.len > 0)
        client_env_fill(&out, row->with_ca, facts);
    ASSERT(!out.overflow);
    snprintf(path, sizeof path, "%s/%s", folder, row->name);
    struct fresh f;
    if (!fresh_open(&f, path))
        return false;
    fwrite(text, 1, out.len, f.file);
    if (!fresh_close(&f))
        return false;
    fprintf(stderr, "%s: for %s\n", path, row->purpose);
    return true;
}

bool env_write_files(const char *folder, const struct client_env_facts *facts)
{
    if (mkdir(folder, 0755) != 0 && errno != EEXIST)
        return failed("make the directory", folder);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if ((files[i].kind != CLIENT_ENV_CA || facts->ca.len > 0) && !write_one(folder, &files[i], facts))
            return false;
    return true;
}

/* The system's authorities, in the places of Debian, Red Hat and Alpine. */
static FILE *open_system_bundle(void)
{
    static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                         "/etc/ssl/cert.pem"};
    FILE *file = NULL;
    for (size_t i = 0; file == NULL && i < sizeof places / sizeof places[0]; i++)
        file = fopen(places[i], "re");
    if (file == NULL)
        fputs("sallyport: this system has no authorities of its own: the bundle will hold those of --ca alone\n",
              stderr);
    return file;
}

static void append(FILE *to, FILE *from)
{
    char text[8192];
    char last = '\n';
    for (size_t got; (got = fread(text, 1, sizeof text, from)) > 0;) {
        fwrite(text, 1, got, to);
        last = text[got - 1];
    }
    if (last != '\n')
        fputc('\n', to);
}

bool env_write_bundle(const char *path, const char *ca)
{
    struct fresh f;
    FILE *own = fopen(ca, "re");
    if (own == NULL)
        return failed("read", ca);
    if (!fresh_open(&f, path)) {
        fclose(own);
        return false;
    }
    FILE *system_bundle = open_system_bundle();
    if (system_bundle != NULL) {
        append(f.file, system_bundle);
        fclose(system_bundle);
    }
    append(f.file, own);
    bool read_well = ferror(own) == 0;
    fclose(own);
    if (!fresh_close(&f) || !read_well)
        return read_well ? false : failed("read", ca);
    fprintf(stderr, "%s: the system's authorities and those of %s, for the variables\n", path, ca);
    return true;
}
