/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object store by HTTPS PUT: the one door to libcurl. An answer of 200, 201 or 204 to a whole upload is what counts.
 *
 * The library is loaded when somebody ships to a URL, and never into a proxy: it brings a dozen others with it.
 */
#include "ship_stores.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define URL_MAX     2048
#define HEADERS_MAX 16

/* clang-format off */
#define CURL_FUNCTIONS(X)                                                                                              \
    X(global_init, CURLcode, (long flags))                                                                             \
    X(global_cleanup, void, (void))                                                                                    \
    X(easy_init, CURL *, (void))                                                                                       \
    X(easy_reset, void, (CURL *curl))                                                                                  \
    X(easy_setopt, CURLcode, (CURL *curl, CURLoption option, ...))                                                     \
    X(easy_perform, CURLcode, (CURL *curl))                                                                            \
    X(easy_getinfo, CURLcode, (CURL *curl, CURLINFO info, ...))                                                        \
    X(easy_cleanup, void, (CURL *curl))                                                                                \
    X(easy_strerror, const char *, (CURLcode code))                                                                    \
    X(slist_append, struct curl_slist *, (struct curl_slist *list, const char *line))                                  \
    X(slist_free_all, void, (struct curl_slist *list))
/* clang-format on */

static struct {
    void *library;
#define X(name, result, arguments) result(*name) arguments;
    CURL_FUNCTIONS(X)
#undef X
} api;

static bool load_library(void)
{
    if (api.library != NULL)
        return true;
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    bool all = library != NULL;
    /* POSIX has a function's address fit an object pointer; memcpy says so without a cast that C forbids. */
#define X(name, result, arguments)                                                                                     \
    if (all) {                                                                                                         \
        void *symbol = dlsym(library, "curl_" #name);                                                                  \
        all = symbol != NULL;                                                                                          \
        memcpy(&api.name, &symbol, sizeof symbol);                                                                     \
    }
    CURL_FUNCTIONS(X)
#undef X
    if (all)
        api.library = library;
    else if (library != NULL)
        dlclose(library);
    return all;
}

struct ship_http {
    CURL *curl;
    struct curl_slist *headers;
    char url[URL_MAX];
    const char *ca;
    long timeout_ms;
};

struct upload {
    int fd;
    uint64_t at, len;
};

static size_t read_more(char *to, size_t size, size_t count, void *arg)
{
    struct upload *u = arg;
    uint64_t left = u->len - u->at;
    size_t want = size * count < left ? size * count : (size_t)left;
    ssize_t got = want == 0 ? 0 : pread(u->fd, to, want, (off_t)u->at);
    if (got < 0 || (got == 0 && want > 0))
        return CURL_READFUNC_ABORT; /* what is cut short must not be taken for whole */
    u->at += (uint64_t)got;
    return (size_t)got;
}

/* A connection that was closed meanwhile: the body is sent again from its beginning. */
static int rewind_upload(void *arg, curl_off_t offset, int origin)
{
    struct upload *u = arg;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > u->len)
        return CURL_SEEKFUNC_FAIL;
    u->at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static size_t ignore_body(char *data, size_t size, size_t count, void *arg)
{
    (void)data;
    (void)arg;
    return size * count;
}

/* ---- a question with an answer ---- */

struct answer {
    char *text;
    size_t len, cap;
};

static size_t take_answer(char *data, size_t size, size_t count, void *arg)
{
    struct answer *a = arg;
    if (size * count > a->cap - 1 - a->len)
        return 0; /* nobody whom we ask says as much */
    memcpy(a->text + a->len, data, size * count);
    a->len += size * count;
    a->text[a->len] = '\0';
    return size * count;
}

enum err http_post(const char *url, const char *ca, uint64_t timeout_ms, struct span body, long *out_status,
                   char *out_text, size_t text_cap, char *why, size_t cap)
{
    char error[CURL_ERROR_SIZE] = "";
    struct answer answer = {.text = out_text, .cap = text_cap};
    out_text[0] = '\0';
    if (!load_library()) {
        snprintf(why, cap, "libcurl.so.4 is not installed (libcurl4)");
        return ERR_NOT_FOUND;
    }
    CURL *curl = api.easy_init();
    if (curl == NULL)
        return ERR_NO_MEMORY;
    struct curl_slist *headers = api.slist_append(NULL, "Content-Type: text/plain");
    headers = api.slist_append(headers, "Expect:");
    api.easy_setopt(curl, CURLOPT_URL, url);
    api.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https"); /* what comes back is signed */
    api.easy_setopt(curl, CURLOPT_PROXY, "");
    api.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    api.easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    api.easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.len);
    api.easy_setopt(curl, CURLOPT_POSTFIELDS, body.data);
    api.easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    api.easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    api.easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    api.easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    if (ca != NULL)
        api.easy_setopt(curl, CURLOPT_CAINFO, ca);
    CURLcode code = api.easy_perform(curl);
    api.easy_getinfo(curl, CURLINFO_RESPONSE_CODE, out_status);
    if (code != CURLE_OK)
        snprintf(why, cap, "%s", error[0] != '\0' ? error : api.easy_strerror(code));
    api.slist_free_all(headers);
    api.easy_cleanup(curl);
    return code == CURLE_OK ? ERR_NONE : ERR_AGAIN;
}

/* ---- the store ---- */

/* RFC 9530, and the name that S3 has for it: a store that knows either refuses what was changed on the way. */
static struct curl_slist *digest_headers(const struct ship_http *h, const uint8_t sha256[static DIGEST_BYTES])
{
    char base64[48], line[128];
    struct curl_slist *list = NULL;
    size_t len = base64_encode(span_make(sha256, DIGEST_BYTES), base64, sizeof base64);
    snprintf(line, sizeof line, "Content-Digest: sha-256=:%.*s:", (int)len, base64);
    list = api.slist_append(list, line);
    snprintf(line, sizeof line, "x-amz-checksum-sha256: %.*s", (int)len, base64);
    list = api.slist_append(list, line);
    list = api.slist_append(list, "Content-Type: application/octet-stream");
    for (const struct curl_slist *own = h->headers; own != NULL; own = own->next)
        list = api.slist_append(list, own->data);
    return list;
}

static void prepare(const struct ship_http *h, const char *url, struct upload *upload, struct curl_slist *headers,
                    char *error)
{
    api.easy_reset(h->curl);
    api.easy_setopt(h->curl, CURLOPT_URL, url);
    api.easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "https");
    api.easy_setopt(h->curl, CURLOPT_PROXY, ""); /* shipping is never subject to a sandbox's proxy */
    api.easy_setopt(h->curl, CURLOPT_FOLLOWLOCATION, 0L);
    api.easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    api.easy_setopt(h->curl, CURLOPT_UPLOAD, 1L);
    api.easy_setopt(h->curl, CURLOPT_READFUNCTION, read_more);
    api.easy_setopt(h->curl, CURLOPT_READDATA, upload);
    api.easy_setopt(h->curl, CURLOPT_SEEKFUNCTION, rewind_upload);
    api.easy_setopt(h->curl, CURLOPT_SEEKDATA, upload);
    api.easy_setopt(h->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)upload->len);
    api.easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, ignore_body);
    api.easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
    api.easy_setopt(h->curl, CURLOPT_ERRORBUFFER, error);
    api.easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT_MS, h->timeout_ms);
    api.easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    api.easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, (h->timeout_ms + 999) / 1000);
    if (h->ca != NULL)
        api.easy_setopt(h->curl, CURLOPT_CAINFO, h->ca);
}

static enum err put(void *arg, const char *name, int fd, uint64_t len, const uint8_t sha256[static DIGEST_BYTES],
                    char *why, size_t cap)
{
    const struct ship_http *h = arg;
    struct upload upload = {.fd = fd, .len = len};
    char url[URL_MAX + 128], error[CURL_ERROR_SIZE] = "";
    long status = 0;
    snprintf(url, sizeof url, "%s/%s", h->url, name);
    struct curl_slist *headers = digest_headers(h, sha256);
    if (headers == NULL)
        return ERR_NO_MEMORY;
    prepare(h, url, &upload, headers, error);
    CURLcode code = api.easy_perform(h->curl);
    api.easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    api.slist_free_all(headers);
    bool taken = code == CURLE_OK && upload.at == len && (status == 200 || status == 201 || status == 204);
    if (!taken && code != CURLE_OK)
        snprintf(why, cap, "%s: %s", name, error[0] != '\0' ? error : api.easy_strerror(code));
    else if (!taken)
        snprintf(why, cap, "%s: the store answered %ld", name, status);
    return taken ? ERR_NONE : ERR_AGAIN;
}

/* A line a header; not on the command line, where others see it. */
static enum err read_headers(struct ship_http *h, const char *path)
{
    char line[8192];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return ERR_IO;
    for (unsigned i = 0; i < HEADERS_MAX && fgets(line, sizeof line, file) != NULL; i++) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0')
            h->headers = api.slist_append(h->headers, line);
    }
    bool failed = ferror(file) != 0;
    fclose(file);
    return failed ? ERR_IO : ERR_NONE;
}

enum err ship_http_open(const struct ship_http_options *options, struct ship_http **out, struct ship_store *out_store)
{
    size_t len = strlen(options->url);
    if (strncmp(options->url, "https://", 8) != 0 || len >= URL_MAX || strpbrk(options->url, "?# ") != NULL)
        return ERR_INVALID;
    if (!load_library())
        return ERR_NOT_FOUND;
    struct ship_http *h = calloc(1, sizeof *h);
    if (h == NULL)
        return ERR_NO_MEMORY;
    while (len > 0 && options->url[len - 1] == '/')
        len--;
    snprintf(h->url, sizeof h->url, "%.*s", (int)len, options->url);
    h->ca = options->ca;
    h->timeout_ms = (long)options->timeout_ms;
    enum err err = options->headers == NULL ? ERR_NONE : read_headers(h, options->headers);
    if (err == ERR_NONE && (api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (h->curl = api.easy_init()) == NULL))
        err = ERR_NO_MEMORY;
    if (err != ERR_NONE) {
        ship_http_close(h);
        return err;
    }
    *out = h;
    *out_store = (struct ship_store){.arg = h, .put = put};
    return ERR_NONE;
}

void ship_http_close(struct ship_http *h)
{
    if (h == NULL)
        return;
    api.slist_free_all(h->headers);
    api.easy_cleanup(h->curl);
    api.global_cleanup();
    free(h);
}
