/*
 * bench_memory.c - what `runnel bench connections` reads of processes and of the kernel
 *
 * A process's own memory is its PSS: of pages that several share each has a part. What the kernel
 * keeps for sockets belongs to no process: only its growth on the whole machine can be told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* ---- processes ---- */

struct family {
    const struct doctor *files;
    long parent, *pids;
    int n, room;
};

static void add_children(const char *thread, void *arg)
{
    struct family *f = arg;
    char path[96];
    int n;

    (void)snprintf(path, sizeof path, "/proc/%ld/task/%.20s/children", f->parent, thread);
    n = f->n == f->room ? 0 : doc_read_longs(f->files, path, f->pids + f->n, f->room - f->n);
    f->n += n > 0 ? n : 0;
}

int bench_family(const struct doctor *files, long pid, long *ret, int room)
{
    struct family f = {.files = files, .pids = ret, .n = 1, .room = room};
    char path[64];

    ret[0] = pid;
    for (int i = 0; i < f.n; i++) {
        f.parent = ret[i];
        (void)snprintf(path, sizeof path, "/proc/%ld/task", f.parent);
        (void)doc_each_entry(files, path, add_children, &f);
    }
    return f.n;
}

/* The processes of one side, at most room. */
static int list_pids(const struct bench *b, bool servers, long *ret, int room)
{
    const struct bench_worker *workers = servers ? b->servers : b->clients;
    int n = 0, n_workers = servers ? b->n_servers : b->n_clients;

    for (int i = 0; i < n_workers; i++)
        ret[n++] = workers[i].pid;
    for (int i = 0; servers && i < b->options->n_pids && n < room; i++)
        n += bench_family(&b->files, b->options->pids[i], ret + n, room - n);
    return n;
}

/* The number, in KiB, that follows a name at the beginning of a line; in bytes, or -1. */
static long find_kib(const char *text, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0)
            return strtol(line + len, NULL, 10) * 1024;
    }
    return -1;
}

static long read_kib(const struct doctor *files, const char *path, const char *name)
{
    char text[8192];

    return doc_read(files, path, text, sizeof text) < 0 ? -1 : find_kib(text, name);
}

/* A line of a file of each process, added up; -1 where one may not be looked at, or there is none.
 */
static long sum_kib(const struct bench *b, bool servers, const char *file, const char *name)
{
    long pids[BENCH_PAIRS + BENCH_FAMILY], sum = 0, bytes;
    int n = list_pids(b, servers, pids, BENCH_PAIRS + BENCH_FAMILY);
    char path[64];

    for (int i = 0; i < n; i++) {
        (void)snprintf(path, sizeof path, "/proc/%ld/%s", pids[i], file);
        bytes = read_kib(&b->files, path, name);
        if (bytes < 0)
            return -1;
        sum += bytes;
    }
    return n == 0 ? -1 : sum;
}

rn_time bench_cpu(struct bench *b, bool servers)
{
    long pids[BENCH_PAIRS + BENCH_FAMILY];
    int n = list_pids(b, servers, pids, BENCH_PAIRS + BENCH_FAMILY);
    rn_time sum = 0;

    for (int i = 0; i < n; i++) {
        struct timespec spent;
        clockid_t clock;

        if (clock_getcpuclockid((pid_t)pids[i], &clock) != 0 || clock_gettime(clock, &spent) < 0)
            return -1;
        sum += spent.tv_sec * RN_SECOND + spent.tv_nsec;
    }
    return n == 0 ? -1 : sum;
}

/* "234 56 7": on a CPU, waiting for one, how often. */
struct waits {
    const struct doctor *files;
    long pid;
    rn_time sum;
};

static void add_wait(const char *thread, void *arg)
{
    struct waits *w = arg;
    char path[96];
    long numbers[3];

    (void)snprintf(path, sizeof path, "/proc/%ld/task/%.20s/schedstat", w->pid, thread);
    if (doc_read_longs(w->files, path, numbers, 3) == 3)
        w->sum += numbers[1];
}

static rn_time waited(struct bench *b)
{
    long pids[2 * BENCH_PAIRS + BENCH_FAMILY], one[3];
    int n = list_pids(b, true, pids, BENCH_PAIRS + BENCH_FAMILY);
    struct waits w = {.files = &b->files};
    char path[64];

    n += list_pids(b, false, pids + n, BENCH_PAIRS);
    if (doc_read_longs(&b->files, "/proc/self/schedstat", one, 3) != 3)
        return -1;
    for (int i = 0; i < n; i++) {
        w.pid = pids[i];
        (void)snprintf(path, sizeof path, "/proc/%ld/task", w.pid);
        (void)doc_each_entry(&b->files, path, add_wait, &w);
    }
    return w.sum;
}

void bench_take_pace(struct bench *b, struct bench_pace *ret)
{
    enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, N };
    char text[4096];
    long cpu[N] = {0};

    *ret = (struct bench_pace){.waited_ns = waited(b), .ticks = -1, .probes = -1};
    (void)doc_read_counter(&b->files, "netstat", "TcpExt", "TCPKeepAlive", &ret->probes);
    if (doc_read(&b->files, "/proc/stat", text, sizeof text) < 0 ||
        sscanf(text, "cpu %ld %ld %ld %ld %ld %ld %ld %ld", &cpu[USER], &cpu[NICE], &cpu[SYSTEM],
               &cpu[IDLE], &cpu[IOWAIT], &cpu[IRQ], &cpu[SOFTIRQ], &cpu[STEAL]) != N)
        return;
    ret->ticks = 0;
    for (int i = 0; i < N; i++)
        ret->ticks += cpu[i];
    ret->idle = cpu[IDLE] + cpu[IOWAIT];
    ret->softirq = cpu[SOFTIRQ];
}

/* ---- the kernel ---- */

long bench_total(const struct doctor *files)
{
    return read_kib(files, "/proc/meminfo", "MemTotal:");
}

long bench_available(const struct doctor *files)
{
    return read_kib(files, "/proc/meminfo", "MemAvailable:");
}

long bench_overflows(const struct doctor *files)
{
    long n = 0;

    (void)doc_read_counter(files, "netstat", "TcpExt", "ListenOverflows", &n);
    return n;
}

/* A line for each CPU, of hexadecimal numbers; the second one. */
long bench_dropped(const struct doctor *files)
{
    unsigned long sum = 0, n;
    char *text;

    if (doc_read_all(files, "/proc/net/softnet_stat", &text) < 0)
        return 0;
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        sum += sscanf(line, "%*x %lx", &n) == 1 ? n : 0;
    }
    free(text);
    return (long)sum;
}

/* "TCP: inuse 34 orphan 0 tw 18 alloc 495 mem 760": pages. */
static long read_buffers(const struct doctor *files)
{
    char text[1024];
    const char *at = NULL;

    if (doc_read(files, "/proc/net/sockstat", text, sizeof text) > 0)
        at = strstr(text, "\nTCP:");
    if (at != NULL)
        at = strstr(at, " mem ");
    return at == NULL ? -1 : strtol(at + 5, NULL, 10) * sysconf(_SC_PAGESIZE);
}

/* Root only: "name objects all size per_slab pages_per_slab : tunables ... : slabdata active all".
 */
static int read_caches(const struct doctor *files, struct bench_cache *ret)
{
    char *text;
    int n = 0;

    if (doc_read_all(files, "/proc/slabinfo", &text) < 0)
        return 0;
    for (const char *line = text; line != NULL && n < BENCH_CACHES; line = strchr(line, '\n')) {
        const char *data;
        long pages, slabs;

        line += *line == '\n';
        data = strstr(line, ": slabdata");
        if (data == NULL)
            break;
        if (sscanf(line, "%39s %ld %*d %*d %*d %ld", ret[n].name, &ret[n].objects, &pages) == 3 &&
            sscanf(data, ": slabdata %*d %ld", &slabs) == 1)
            ret[n++].bytes = pages * slabs * sysconf(_SC_PAGESIZE);
    }
    free(text);
    return n;
}

/* Free, or the cache of files: who asks for memory gets it. */
static long read_free(const struct doctor *files)
{
    static const char *const names[] = {"MemFree:", "Buffers:", "Cached:"};
    long sum = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        long bytes = read_kib(files, "/proc/meminfo", names[i]);

        if (bytes < 0)
            return -1;
        sum += bytes;
    }
    return sum;
}

void bench_take_sample(struct bench *b, struct bench_sample *ret)
{
    ret->server_user = sum_kib(b, true, "smaps_rollup", "Pss:");
    ret->client_user = sum_kib(b, false, "smaps_rollup", "Pss:");
    ret->page_tables = sum_kib(b, false, "status", "VmPTE:");
    if (ret->server_user >= 0) /* else it is unknown, or on no account ours */
        ret->page_tables += sum_kib(b, true, "status", "VmPTE:");
    ret->slab = read_kib(&b->files, "/proc/meminfo", "Slab:");
    ret->free = read_free(&b->files);
    ret->buffers = read_buffers(&b->files);
    ret->n_caches = read_caches(&b->files, ret->caches);
}
