/* SPDX-License-Identifier: Apache-2.0 */
/* What fails and when, the clocks, memory, and the files of the journal; the other calls stand in fault_calls.c. */
#include "fault_private.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(CALLS <= FAULT_SLOTS, "more calls than slots");
_Static_assert(sizeof(struct fault_control) <= FAULT_HEAD, "the journal begins behind it");

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t align, size_t size);

static struct fault_control *control; /* NULL: nothing is wanted */
static bool is_child;                 /* a process that the program forked: its calls have slots of their own */

/*
 * What these two do without memory is theirs: 3.0 of the one and 2.5.4 of the other crash, which ends the program before
 * anything leaves. Their allocations neither fail nor count, so that each of ours can be tried.
 */
static const char *const spared[] = {"libcrypto.so", "libseccomp.so"};
#define SPARED (sizeof spared / sizeof spared[0])
static struct {
    uintptr_t from, to;
} spared_at[SPARED];

static int find_spared(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (size_t i = 0; i < SPARED; i++) {
        if (strstr(info->dlpi_name, spared[i]) == NULL)
            continue;
        for (int j = 0; j < info->dlpi_phnum; j++) {
            const ElfW(Phdr) *part = &info->dlpi_phdr[j];
            if (part->p_type != PT_LOAD || (part->p_flags & PF_X) == 0)
                continue;
            spared_at[i].from = (uintptr_t)(info->dlpi_addr + part->p_vaddr);
            spared_at[i].to = spared_at[i].from + part->p_memsz;
        }
    }
    return 0;
}

static bool is_spared(const void *caller)
{
    for (size_t i = 0; i < SPARED; i++)
        if ((uintptr_t)caller >= spared_at[i].from && (uintptr_t)caller < spared_at[i].to)
            return true;
    return false;
}

static void in_child(void)
{
    is_child = true;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SALLYPORT_FAULT");
    dl_iterate_phdr(find_spared, NULL);
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, FAULT_HEAD + FAULT_JOURNAL, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED)
        control = mapped;
    pthread_atfork(NULL, NULL, in_child);
}

static bool count_down(_Atomic uint32_t *number)
{
    uint32_t now = atomic_load(number);
    while (now > 0 && now != FAULT_FOREVER)
        if (atomic_compare_exchange_weak(number, &now, now - 1))
            return true;
    return now != 0;
}

bool fault_fails(enum call call)
{
    if (control == NULL)
        return false;
    struct fault_slot *s = &control->slots[call];
    if (is_child != (atomic_load_explicit(&s->of_child, memory_order_relaxed) != 0))
        return false;
    atomic_fetch_add_explicit(&s->calls, 1, memory_order_relaxed);
    if (atomic_load(&s->times) == 0 || count_down(&s->skip) || !count_down(&s->times))
        return false;
    uint32_t delay = atomic_load(&s->delay_ms);
    if (delay > 0) {
        REAL(clock_nanosleep);
        struct timespec wait = {.tv_sec = delay / 1000, .tv_nsec = (long)(delay % 1000) * 1000000};
        real(CLOCK_MONOTONIC, 0, &wait, NULL);
    }
    int error = atomic_load(&s->error);
    atomic_fetch_add(&s->failed, 1);
    if (error != 0)
        errno = error;
    return error != 0;
}

/* Its mode; 0: none. What this library looks at neither counts nor fails. */
static mode_t look_at(int fd, struct stat *st)
{
    REAL(fstat);
    int before = errno;
    bool good = real(fd, st) == 0;
    errno = before;
    return good ? st->st_mode : 0;
}

bool fault_is_file(int fd)
{
    struct stat st;
    return S_ISREG(look_at(fd, &st));
}

bool fault_is_pipe(int fd)
{
    struct stat st;
    return S_ISFIFO(look_at(fd, &st));
}

/* ---- the clocks ---- */

static int64_t shift_of(clockid_t clock)
{
    if (control == NULL)
        return 0;
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        return atomic_load_explicit(&control->wall_shift_ns, memory_order_relaxed);
    bool mono = clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME;
    return mono ? atomic_load_explicit(&control->mono_shift_ns, memory_order_relaxed) : 0;
}

/* Of all processes, the signer too: it is the machine's clock that was set. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    REAL(clock_gettime);
    int result = real(clock, out);
    int64_t shift = shift_of(clock);
    if (result != 0 || shift == 0)
        return result;
    int64_t ns = (int64_t)out->tv_sec * 1000000000 + out->tv_nsec + shift;
    *out = (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    return result;
}

/* A moment of the clock that was shifted is an earlier one of the kernel's. It gives the error itself. */
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wait, struct timespec *left)
{
    REAL(clock_nanosleep);
    struct timespec until = *wait;
    int64_t shift = (flags & TIMER_ABSTIME) != 0 ? shift_of(clock) : 0;
    if (fault_fails(CALL_clock_nanosleep))
        return errno;
    if (shift != 0) {
        int64_t ns = (int64_t)wait->tv_sec * 1000000000 + wait->tv_nsec - shift;
        ns = ns > 0 ? ns : 0;
        until = (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    }
    return real(clock, flags, &until, left);
}

/* ---- the journal ---- */

static void note(enum fault_journal type, uint64_t inode, uint64_t other, uint64_t at, const void *a, size_t a_len,
                 const void *b, size_t b_len)
{
    size_t whole = (sizeof(struct fault_event) + a_len + b_len + 7) & ~(size_t)7;
    uint64_t place = atomic_fetch_add(&control->journal_used, whole);
    if (place + whole > FAULT_JOURNAL)
        return;
    char *out = (char *)control + FAULT_HEAD + place;
    struct fault_event *e = (struct fault_event *)(void *)out;
    e->type = type;
    e->len = (uint32_t)(a_len + b_len);
    e->inode = inode;
    e->other = other;
    e->at = at;
    if (a_len > 0)
        memcpy(out + sizeof *e, a, a_len);
    if (b_len > 0)
        memcpy(out + sizeof *e + a_len, b, b_len);
    atomic_store(&e->ready, 1);
}

static bool keeps_journal(void)
{
    return control != NULL && atomic_load_explicit(&control->journal_on, memory_order_relaxed) != 0;
}

static uint64_t inode_of(int fd, mode_t *mode, uint64_t *size)
{
    struct stat st;
    *mode = look_at(fd, &st);
    *size = *mode != 0 ? (uint64_t)st.st_size : 0;
    return *mode != 0 ? st.st_ino : 0;
}

static void note_fd(enum fault_journal type, int fd, uint64_t at, const void *data, size_t len)
{
    mode_t mode;
    uint64_t size, inode;
    if (!keeps_journal())
        return;
    inode = inode_of(fd, &mode, &size);
    if (S_ISREG(mode) || (S_ISDIR(mode) && type == JOURNAL_SYNC))
        note(type, inode, 0, at == UINT64_MAX ? size - len : at, data, len, NULL, 0);
}

static void note_names(enum fault_journal type, int dir, const char *a, int other_dir, const char *b, int fd)
{
    mode_t mode;
    uint64_t size;
    if (!keeps_journal())
        return;
    uint64_t parent = dir >= 0 ? inode_of(dir, &mode, &size) : 0;
    uint64_t other = other_dir >= 0 ? inode_of(other_dir, &mode, &size) : 0;
    uint64_t file = fd >= 0 ? inode_of(fd, &mode, &size) : 0;
    note(type, parent, other, file, a, strlen(a) + 1, b, strlen(b) + 1);
}

/* ---- memory ---- */

void *malloc(size_t size)
{
    return !is_spared(__builtin_return_address(0)) && fault_fails(CALL_malloc) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return !is_spared(__builtin_return_address(0)) && fault_fails(CALL_malloc) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return !is_spared(__builtin_return_address(0)) && fault_fails(CALL_malloc) ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    return !is_spared(__builtin_return_address(0)) && fault_fails(CALL_malloc) ? NULL : __libc_memalign(align, size);
}

/* ---- files ---- */

static off_t real_lseek(int fd, off_t at, int from)
{
    REAL(lseek);
    return real(fd, at, from);
}

static int real_fcntl(int fd, int what)
{
    REAL(fcntl);
    return real(fd, what);
}

ssize_t write(int fd, const void *data, size_t len)
{
    REAL(write);
    if (control != NULL && fault_is_pipe(fd) && fault_fails(CALL_write_pipe))
        return -1;
    if (control == NULL || !fault_is_file(fd))
        return real(fd, data, len);
    if (fault_fails(CALL_write))
        return -1;
    uint32_t short_by = is_child ? 0 : atomic_load(&control->slots[CALL_write].short_by);
    if (short_by > 0 && short_by < len) {
        atomic_store(&control->slots[CALL_write].short_by, 0);
        len -= short_by;
    }
    /* Where it goes is known before: another process may lengthen the file, and each file has one writer here. */
    off_t at = real_lseek(fd, 0, SEEK_CUR);
    bool append = (real_fcntl(fd, F_GETFL) & O_APPEND) != 0;
    ssize_t put = real(fd, data, len);
    if (put > 0)
        note_fd(JOURNAL_WRITE, fd, append ? UINT64_MAX : (uint64_t)at, data, (size_t)put);
    return put;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    REAL(pwrite);
    if (fault_fails(CALL_pwrite))
        return -1;
    ssize_t put = real(fd, data, len, at);
    if (put > 0)
        note_fd(JOURNAL_WRITE, fd, (uint64_t)at, data, (size_t)put);
    return put;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t at)
{
    return pwrite(fd, data, len, at);
}

int ftruncate(int fd, off_t len)
{
    REAL(ftruncate);
    int status = fault_fails(CALL_ftruncate) ? -1 : real(fd, len);
    if (status == 0)
        note_fd(JOURNAL_TRUNCATE, fd, (uint64_t)len, NULL, 0);
    return status;
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    int status = fault_fails(CALL_fdatasync) ? -1 : real(fd);
    if (status == 0)
        note_fd(JOURNAL_SYNC, fd, 0, NULL, 0);
    return status;
}

int fsync(int fd)
{
    REAL(fsync);
    int status = fault_fails(CALL_fsync) ? -1 : real(fd);
    if (status == 0)
        note_fd(JOURNAL_SYNC, fd, 0, NULL, 0);
    return status;
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
    REAL(fallocate);
    return fault_fails(CALL_fallocate) ? -1 : real(fd, mode, at, len);
}

int openat(int dir, const char *path, int flags, ...)
{
    REAL(openat);
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (fault_fails(CALL_openat))
        return -1;
    int fd = real(dir, path, flags, mode);
    if (fd >= 0 && (flags & O_CREAT) != 0)
        note_names(JOURNAL_CREATE, dir, path, -1, "", fd);
    return fd;
}

int renameat(int dir, const char *from, int to_dir, const char *to)
{
    REAL(renameat);
    int status = fault_fails(CALL_renameat) ? -1 : real(dir, from, to_dir, to);
    if (status == 0)
        note_names(JOURNAL_RENAME, dir, from, to_dir, to, -1);
    return status;
}

int unlinkat(int dir, const char *name, int flags)
{
    REAL(unlinkat);
    int status = fault_fails(CALL_unlinkat) ? -1 : real(dir, name, flags);
    if (status == 0)
        note_names(JOURNAL_UNLINK, dir, name, -1, "", -1);
    return status;
}
