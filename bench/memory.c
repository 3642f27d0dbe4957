/*
 * memory.c - what a parked coroutine costs, and what it costs to give stacks back
 *
 *     memory parked N STACK_BYTES      0: the runtime's default stack
 *     memory burst keep|dontneed|free
 *
 * On one P; prints one JSON line. peers/go_memory.go does `parked` in Go.
 *   parked  N coroutines, each started, run, and parked in a receive; memory and CPU time of one,
 *           and what is resident when all have ended and the P has been idle
 *   burst   10 000 coroutines alive at once, again and again: CPU time of a start, park, wake and
 *           end, and what is resident between two bursts, by what is done with the pages of a
 *           stack above the 1024 that a P keeps: nothing, MADV_DONTNEED (what runnel does),
 *           MADV_FREE. The link (meson.build) puts __wrap_rn__sys_madvise in the place of runnel's.
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define BURST 10000
#define WARM_BURSTS 3
#define BURSTS 20
#define QUIET (2 * RN_SECOND) /* more than a P waits before it gives its stacks back */

int __real_rn__sys_madvise(void *at, size_t len, int advice);
int __wrap_rn__sys_madvise(void *at, size_t len, int advice);

static enum { DONTNEED, KEEP, FREE } policy;
static long trimmed; /* calls that gave pages back, or would have */

int __wrap_rn__sys_madvise(void *at, size_t len, int advice)
{
    if (advice == MADV_DONTNEED) {
        trimmed++;
        if (policy == KEEP)
            return 0;
        if (policy == FREE)
            advice = MADV_FREE;
    }
    return __real_rn__sys_madvise(at, len, advice);
}

static void fail(const char *what, int r)
{
    fprintf(stderr, "memory: %s: %s\n", what, rn_strerror(r));
    exit(1);
}

/* A line of a file of /proc/self, in bytes. */
static long read_bytes(const char *path, const char *name)
{
    FILE *f = fopen(path, "re");
    char line[256];
    long kib = 0;

    if (f == NULL)
        fail(path, -errno);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name), NULL, 10);
    (void)fclose(f);
    return kib * 1024;
}

static long rss(void)
{
    return read_bytes("/proc/self/status", "VmRSS:");
}

static double cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- n coroutines that wait until they are told to end; all on this P, so counts need no lock */

static rn_chan *ends;
static long parked, ended;

static void park(void *arg)
{
    (void)arg;
    parked++;
    (void)rn_chan_recv(ends, NULL);
    ended++;
}

static void start(long n, size_t stack_bytes)
{
    int r = rn_chan_new(0, 0, &ends);

    parked = ended = 0;
    for (long i = 0; r == 0 && i < n; i++) {
        r = rn_go_with(&(rn_go_options){.stack_bytes = stack_bytes}, park, NULL);
        if (i % 64 == 63)
            rn_yield();
    }
    if (r < 0)
        fail("start", r);
    while (parked < n)
        rn_yield();
}

static void end(long n)
{
    rn_chan_close(ends);
    while (ended < n)
        rn_yield();
    rn_yield(); /* the last has left its stack */
    rn_chan_free(ends);
}

struct job {
    long n;
    size_t stack_bytes;
    const char *policy;
};

static int measure_parked(void *arg)
{
    struct job *job = arg;
    long rss_before = rss(), pte_before = read_bytes("/proc/self/status", "VmPTE:"), rss_n, pte_n;
    double n = (double)job->n, began = cpu_ns(), started, over;

    start(job->n, job->stack_bytes);
    started = cpu_ns();
    rss_n = rss() - rss_before;
    pte_n = read_bytes("/proc/self/status", "VmPTE:") - pte_before;
    end(job->n);
    over = cpu_ns();
    (void)rn_sleep(QUIET);
    printf("{\"rss\": %.1f, \"pte\": %.1f, \"start_ns\": %.1f, \"end_ns\": %.1f, "
           "\"rss_after\": %.1f}\n",
           (double)rss_n / n, (double)pte_n / n, (started - began) / n, (over - started) / n,
           (double)(rss() - rss_before) / n);
    return 0;
}

static int measure_burst(void *arg)
{
    struct job *job = arg;
    double began = 0;
    long rss_before = rss();

    for (int i = 0; i < WARM_BURSTS + BURSTS; i++) {
        if (i == WARM_BURSTS) { /* guards and first touches are paid */
            policy = strcmp(job->policy, "keep") == 0   ? KEEP
                     : strcmp(job->policy, "free") == 0 ? FREE
                                                        : DONTNEED;
            trimmed = 0;
            began = cpu_ns();
        }
        start(BURST, 0);
        end(BURST);
    }
    printf("{\"cycle_ns\": %.1f, \"rss_after\": %.1f, \"free_after\": %.1f, \"trimmed\": %.2f}\n",
           (cpu_ns() - began) / BURST / BURSTS, (double)(rss() - rss_before) / BURST,
           (double)read_bytes("/proc/self/smaps_rollup", "LazyFree:") / BURST,
           (double)trimmed / BURST / BURSTS);
    return 0;
}

int main(int argc, char **argv)
{
    rn_run_options options = {.procs = 1};
    struct job job = {0};

    if (argc == 4 && strcmp(argv[1], "parked") == 0) {
        job.n = strtol(argv[2], NULL, 10);
        job.stack_bytes = strtoul(argv[3], NULL, 10);
        return rn_run(&options, measure_parked, &job) < 0;
    }
    if (argc == 3 && strcmp(argv[1], "burst") == 0) {
        job.policy = argv[2];
        return rn_run(&options, measure_burst, &job) < 0;
    }
    fprintf(stderr, "Usage: memory parked N STACK_BYTES | burst keep|dontneed|free\n");
    return 2;
}
