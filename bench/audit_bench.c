/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the audit log costs: producers that seal pairs of records at a rate, or flat out, into a log on a real disk. It
 * prints the rate reached, the writer's CPU time a record, the wait until durable, what handing over a record costs its
 * thread, the bytes of an entry, and the time that verifying and the next start take.
 *
 *     bench-audit DIR [seconds [producers [records-a-second, 0 is flat out]]]
 */
#include "audit/log.h"
#include "audit/verify.h"
#include "base/clock.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES    (16u << 20)
#define PRODUCERS_MAX 64
#define WAITS_MAX     100000u

struct producer {
    struct desk *desk;
    pthread_t thread;
    uint64_t number, rate, until_ns, cpu_ns, sealed, no_credit;
    uint32_t *waits_us;
    size_t wait_count;
};

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct record_flow make_record(enum record_kind kind, uint64_t producer, uint64_t number, struct target *target)
{
    struct record_flow r = {
        .kind = kind,
        .method = span_text("CONNECT"),
        .door = span_text("connect"),
        .listener = span_text("127.0.0.1:3128"),
        .peer = {.family = 4,            .bytes = {127, 0, 0, 1}},
        .peer_port = 40000,
        .environment = span_text("invoice-env"),
        .session = span_text("session-17"),
        .agent = span_text("run-4711"),
        .raw_target = span_text("files.example.test:443"),
        .target = target,
        .decision = { .verdict = VERDICT_ALLOW, .reason = REASON_ALLOWED,         .stage = STAGE_TARGET, .generation = 3},
        .policy_id = span_text("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        .rule_id = span_text("allowed_hosts[2]"),
        .end = kind == RECORD_OUTCOME ? FLOW_END_CLOSED : FLOW_END_NONE,
    };
    memcpy(r.flow, &number, sizeof number);
    memcpy(r.flow + sizeof number, &producer, sizeof producer);
    return r;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

/* One record in flight is watched at a time: how long did it wait. */
static void watch(struct producer *p, uint64_t *ticket, uint64_t sealed_ns)
{
    if (*ticket == 0 || desk_durable(p->desk) < *ticket)
        return;
    if (p->wait_count < WAITS_MAX)
        p->waits_us[p->wait_count++] = (uint32_t)((clock_mono_ns() - sealed_ns) / 1000);
    *ticket = 0;
}

static void *produce(void *arg)
{
    struct producer *p = arg;
    struct target target = {.kind = TARGET_NAME, .port = 443};
    uint64_t start = clock_mono_ns(), now = start, ticket = 0, sealed_ns = 0;
    target.name.len = (uint8_t)snprintf(target.name.bytes, sizeof target.name.bytes, "files.example.test");
    while (now < p->until_ns) {
        uint64_t due = p->rate == 0 ? UINT64_MAX : (now - start) / 1000 * p->rate / 1000000;
        while (p->sealed < due && desk_credit_take(p->desk, DESK_PAIR_BYTES)) {
            struct record_flow r = make_record(RECORD_ATTEMPT, p->number, p->sealed, &target);
            uint64_t before = clock_mono_ns();
            uint64_t now_ticket = desk_seal_flow(p->desk, &r, RECORD_URGENT);
            r = make_record(RECORD_OUTCOME, p->number, p->sealed, &target);
            desk_seal_flow(p->desk, &r, RECORD_LAZY);
            p->sealed += 2;
            if (ticket == 0) {
                ticket = now_ticket;
                sealed_ns = before;
            }
        }
        p->no_credit += p->sealed < due;
        nap();
        watch(p, &ticket, sealed_ns);
        now = clock_mono_ns();
    }
    p->cpu_ns = thread_cpu_ns();
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint32_t left, right;
    memcpy(&left, a, sizeof left);
    memcpy(&right, b, sizeof right);
    return left < right ? -1 : left > right;
}

static uint64_t process_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void report(struct producer *producers, size_t count, uint64_t elapsed_ns, uint64_t cpu_ns, uint64_t commits)
{
    uint64_t sealed = 0, producer_cpu = 0, no_credit = 0;
    size_t waits = 0;
    uint32_t *all = calloc(count * WAITS_MAX, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        sealed += producers[i].sealed;
        producer_cpu += producers[i].cpu_ns;
        no_credit += producers[i].no_credit;
        if (all != NULL)
            memcpy(all + waits, producers[i].waits_us, producers[i].wait_count * sizeof *all);
        waits += producers[i].wait_count;
    }
    uint64_t writer_cpu = cpu_ns > producer_cpu ? cpu_ns - producer_cpu : 0;
    printf("records %llu, %.0f a second, %llu commits, %llu rounds without credit\n", (unsigned long long)sealed,
           (double)sealed * 1e9 / (double)elapsed_ns, (unsigned long long)commits, (unsigned long long)no_credit);
    printf("writer %.2f us a record, %.1f %% of a core\n", (double)writer_cpu / 1000.0 / (double)(sealed + 1),
           100.0 * (double)writer_cpu / (double)elapsed_ns);
    if (all != NULL && waits > 0) {
        qsort(all, waits, sizeof *all, compare);
        printf("wait until durable: p50 %.2f ms, p99 %.2f ms, most %.2f ms (%zu watched)\n", all[waits / 2] / 1000.0,
               all[waits * 99 / 100] / 1000.0, all[waits - 1] / 1000.0, waits);
    }
    free(all);
}

static uint64_t verify(const char *dir)
{
    static struct verify_report result;
    struct verify_options options = {.dir = dir};
    uint64_t begun = clock_mono_ns();
    enum verify_result verdict = audit_verify(&options, &result);
    double seconds = (double)(clock_mono_ns() - begun) / 1e9;
    printf("verify: result %d, %llu entries in %.2f s, %.2f M a second\n", (int)verdict,
           (unsigned long long)result.entries, seconds, (double)result.entries / seconds / 1e6);
    for (size_t i = 0; i < result.finding_count; i++)
        printf("  %s\n", result.findings[i]);
    return result.entries;
}

#define HANDED_OVER 2000u /* in a row: fewer than the ring holds */

/* The best of some rows, since others use the processor as well. */
static double seal_row(struct desk *desk, const struct record_flow *record)
{
    struct sealed sealed;
    uint64_t best = UINT64_MAX;
    for (unsigned row = 0; row < 50; row++) {
        uint64_t begun = clock_mono_ns();
        for (unsigned i = 0; i < HANDED_OVER && desk_credit_take(desk, DESK_RECORD_BYTES); i++)
            desk_seal_flow(desk, record, RECORD_LAZY);
        uint64_t took = clock_mono_ns() - begun;
        best = took < best ? took : best;
        while (desk_read(desk, &sealed))
            continue;
        desk_commit(desk);
    }
    return (double)best / HANDED_OVER;
}

static double clock_row(void)
{
    uint64_t best = UINT64_MAX, sum = 0;
    for (unsigned row = 0; row < 50; row++) {
        uint64_t begun = clock_mono_ns();
        for (unsigned i = 0; i < HANDED_OVER; i++)
            sum += clock_mono_ns();
        uint64_t took = clock_mono_ns() - begun;
        best = took < best ? took : best;
    }
    return sum == 0 ? 0 : (double)best / HANDED_OVER;
}

/* What sealing costs the sealing thread, and what that is made of: the look at the clock, and the strings. */
static void hand_over(void)
{
    struct desk *desk = NULL;
    struct target target = {.kind = TARGET_NAME, .port = 443};
    target.name.len = (uint8_t)snprintf(target.name.bytes, sizeof target.name.bytes, "files.example.test");
    struct record_flow record = make_record(RECORD_ATTEMPT, 0, 0, &target), bare = {.kind = RECORD_ATTEMPT};
    if (desk_new(RING_BYTES, NULL, NULL, &desk) != ERR_NONE)
        return;
    double full = seal_row(desk, &record), without = seal_row(desk, &bare), clock = clock_row();
    desk_free(desk);
    printf("hand-over: %.0f ns a record with its credit: a look at the clock %.0f, its strings %.0f, the rest %.0f\n",
           full, clock, full - without, without - clock);
}

static void bytes_an_entry(const char *dir, uint64_t entries)
{
    char path[512];
    struct stat st;
    uint64_t bytes = 0;
    snprintf(path, sizeof path, "%s/segments", dir);
    DIR *segments = opendir(path);
    for (struct dirent *e = segments == NULL ? NULL : readdir(segments); e != NULL; e = readdir(segments))
        if (fstatat(dirfd(segments), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            bytes += (uint64_t)st.st_size;
    if (segments != NULL)
        closedir(segments);
    printf("entry: %.0f bytes with its part of the commit records\n", (double)bytes / (double)(entries + 1));
}

/* The next start of the same log. */
static void start_again(const char *dir, const char *signer_dir, const char *how)
{
    char message[256] = "";
    struct signer *signer = NULL;
    struct audit_log *log = NULL;
    uint64_t begun = clock_mono_ns();
    if (signer_open(signer_dir, "bench.test/audit/1", &signer, message, sizeof message) != ERR_NONE)
        return;
    struct audit_log_options options = {.dir = dir, .signer = signer, .desk_ring_bytes = RING_BYTES};
    if (audit_log_open(&options, &log, message, sizeof message) == AUDIT_START_OK) {
        double seconds = (double)(clock_mono_ns() - begun) / 1e9;
        struct audit_log_status status;
        audit_log_status(log, &status);
        printf("start %s: %.3f s, read from entry %llu of %llu on\n", how, seconds,
               (unsigned long long)status.read_from, (unsigned long long)status.entries);
        if (audit_log_stop(log) != ERR_NONE)
            printf("the log could not be closed\n");
    } else {
        printf("start: %s\n", message);
    }
    signer_close(signer);
}

/* Out of the way for one start, and back: who makes a large log to start from goes on from the newest one. */
static void move_snapshots(const char *dir, const char *from, const char *to)
{
    char old[512], new[512];
    for (unsigned i = 0; i < 2; i++) {
        snprintf(old, sizeof old, "%s/%s.%u", dir, from, i);
        snprintf(new, sizeof new, "%s/%s.%u", dir, to, i);
        if (rename(old, new) != 0 && errno != ENOENT)
            perror(old);
    }
}

static uint64_t argument(int argc, char **argv, int at, uint64_t otherwise)
{
    uint64_t value = otherwise;
    if (at < argc && text_u64(span_text(argv[at]), 100000000, &value) != ERR_NONE)
        return otherwise;
    return value;
}

int main(int argc, char **argv)
{
    char dir[400], signer_dir[400], message[256] = "";
    struct signer *signer = NULL;
    struct audit_log *log = NULL;
    static struct producer producers[PRODUCERS_MAX];
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIR [seconds [producers [records-a-second]]]\n", argv[0]);
        return 64;
    }
    uint64_t seconds = argument(argc, argv, 2, 3), rate = argument(argc, argv, 4, 0);
    size_t count = (size_t)argument(argc, argv, 3, 2);
    count = count == 0 || count > PRODUCERS_MAX ? 1 : count;
    snprintf(dir, sizeof dir, "%s/audit", argv[1]);
    snprintf(signer_dir, sizeof signer_dir, "%s/signer", argv[1]);
    if (signer_open(signer_dir, "bench.test/audit/1", &signer, message, sizeof message) != ERR_NONE) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    struct audit_log_options options = {.dir = dir, .signer = signer, .desk_ring_bytes = RING_BYTES};
    uint64_t opening = clock_mono_ns();
    if (audit_log_open(&options, &log, message, sizeof message) != AUDIT_START_OK) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    struct audit_log_status before;
    audit_log_status(log, &before);
    printf("start: %.3f s, read from entry %llu of %llu on\n", (double)(clock_mono_ns() - opening) / 1e9,
           (unsigned long long)before.read_from, (unsigned long long)before.entries);
    for (size_t i = 0; i < count; i++) {
        producers[i].waits_us = calloc(WAITS_MAX, sizeof(uint32_t));
        if (producers[i].waits_us == NULL || audit_log_desk(log, NULL, NULL, &producers[i].desk) != ERR_NONE)
            return 1;
    }
    if (audit_log_start(log) != ERR_NONE)
        return 1;
    uint64_t begun = clock_mono_ns(), cpu = process_cpu_ns();
    for (size_t i = 0; i < count; i++) {
        producers[i].number = i;
        producers[i].rate = rate / count;
        producers[i].until_ns = begun + seconds * 1000000000u;
        if (pthread_create(&producers[i].thread, NULL, produce, &producers[i]) != 0)
            return 1;
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(producers[i].thread, NULL);
    struct audit_log_status status;
    audit_log_status(log, &status);
    uint64_t elapsed = clock_mono_ns() - begun;
    cpu = process_cpu_ns() - cpu;
    report(producers, count, elapsed, cpu, status.commits);
    int failed = audit_log_stop(log) != ERR_NONE;
    signer_close(signer);
    hand_over();
    bytes_an_entry(dir, verify(dir));
    start_again(dir, signer_dir, "from the newest snapshot");
    move_snapshots(dir, "index/snapshot", "aside");
    start_again(dir, signer_dir, "from the first entry");
    move_snapshots(dir, "aside", "index/snapshot");
    for (size_t i = 0; i < count; i++)
        free(producers[i].waits_us);
    return failed;
}
