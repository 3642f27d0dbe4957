/*
 * snapshot.c - everything that is counted, added up
 *
 * A snapshot owns seven arrays, none of them by the hooks of a runtime, which it may outlive.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net.h"
#include "net/procfs.h"
#include "observe/times.h"
#include "task/stats.h"
#include <runnel/task.h>

#define WAITS_MOST 64

struct arrays {
    rn_stats_proc *procs;
    rn_stats_call *calls; /* of the total, then of each P */
    rn_stats_wait *waits;
    rn_stats_listener *listeners;
    rn_stats_slow_call *slow;
    rn_stats_site *sites;
    rn_stats_http *http;
};

/* ---- system calls ---- */

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_errors(rn_stats_call *c, const struct rn__sys_stat *s)
{
    for (int k = 0; k < RN__SYS_KINDS; k++) {
        int error = atomic_load_explicit(&s->kinds[k].error, memory_order_relaxed), i = 0;

        while (i < RN_STATS_ERRORS && c->by_error[i].error != 0 && c->by_error[i].error != error)
            i++;
        if (error == 0 || i == RN_STATS_ERRORS)
            continue;
        c->by_error[i].error = error;
        c->by_error[i].n += read_counter(&s->kinds[k].n);
    }
}

/* The rows of n blocks, added up. */
static void fill_call(rn_stats_call *c, enum rn__sys_row row,
                      const struct rn__sys_block *const *blocks, int n)
{
    struct rn__hist h = {0};
    uint64_t sum_ns = 0;

    c->name = rn__sys_name(row);
    for (int i = 0; i < n; i++) {
        const struct rn__sys_stat *s = &blocks[i]->rows[row];

        c->calls += read_counter(&blocks[i]->counts[row].calls);
        c->errors += read_counter(&s->errors);
        c->again += read_counter(&s->again);
        c->bytes += read_counter(&blocks[i]->counts[row].bytes);
        sum_ns += read_counter(&s->sampled_ns);
        add_errors(c, s);
        rn__hist_merge(&h, &s->latency);
    }
    rn__times_fill(&c->times, &h, sum_ns);
}

static void fill_slow_calls(rn_stats *s, rn_stats_slow_call *slow,
                            const struct rn__sys_block *const *blocks)
{
    struct rn__sys_slow found[RN__SLOWEST];

    for (int i = 0; i <= s->n_procs; i++) {
        int n = rn__sys_slowest(blocks[i], found);

        for (int k = 0; k < n; k++) {
            rn_time ago = s->at - found[k].at; /* it may have ended since */
            rn_stats_slow_call *into = rn__slow_place(slow, &s->n_slow_calls, sizeof *into,
                                                      offsetof(rn_stats_slow_call, took_ns),
                                                      found[k].took);

            if (into != NULL)
                *into = (rn_stats_slow_call){.name = rn__sys_name(found[k].row),
                                             .proc = i < s->n_procs ? i + 1 : 0,
                                             .ago_ns = ago > 0 ? ago : 0,
                                             .took_ns = found[k].took};
        }
    }
}

static int fill_calls(rn_stats *s, const struct arrays *a)
{
    const struct rn__sys_block **blocks = rn__malloc_lasting(((size_t)s->n_procs + 1) *
                                                             sizeof(const struct rn__sys_block *));

    if (blocks == NULL)
        return -ENOMEM;
    for (int i = 0; i < s->n_procs; i++)
        blocks[i] = rn__stats_calls(i);
    blocks[s->n_procs] = rn__sys_shared_block();
    for (int row = 0; row < RN__SYS_COUNT; row++) {
        fill_call(&a->calls[row], (enum rn__sys_row)row, blocks, s->n_procs + 1);
        for (int i = 0; i < s->n_procs; i++)
            fill_call(&a->calls[(i + 1) * RN__SYS_COUNT + row], (enum rn__sys_row)row, &blocks[i],
                      1);
    }
    fill_slow_calls(s, a->slow, blocks);
    rn__free_lasting(blocks);
    return 0;
}

/* ---- Ps ---- */

static void add_proc(rn_stats_proc *total, const rn_stats_proc *p)
{
    total->coroutines_started += p->coroutines_started;
    total->coroutines_ended += p->coroutines_ended;
    total->switches += p->switches;
    total->parks += p->parks;
    total->steals += p->steals;
    total->wakes += p->wakes;
    total->polls += p->polls;
    total->events += p->events;
    total->stale_events += p->stale_events;
    for (int i = 0; i < RN_STATS_BATCHES; i++)
        total->batches[i] += p->batches[i];
    total->asleep_ns += p->asleep_ns;
    if (total->longest_turn_ns < p->longest_turn_ns)
        total->longest_turn_ns = p->longest_turn_ns;
    if (total->turn_ns < p->turn_ns)
        total->turn_ns = p->turn_ns;
    total->connections += p->connections;
    total->runnable += p->runnable;
    total->parked += p->parked;
    total->accepted += p->accepted;
    total->dialled += p->dialled;
    total->adopted += p->adopted;
    for (int i = 0; i < RN_CLOSED_REASONS; i++)
        total->closed[i] += p->closed[i];
}

static int more_waiting(const void *a, const void *b)
{
    unsigned n = ((const rn_stats_wait *)a)->n, m = ((const rn_stats_wait *)b)->n;

    return n < m ? 1 : n > m ? -1 : 0;
}

static void fill_procs(rn_stats *s, const struct arrays *a, const struct rn__task_stats *task)
{
    int n = RN__SYS_COUNT;

    for (int i = 0; i < s->n_procs; i++) {
        rn__stats_proc(i, &a->procs[i]);
        a->procs[i].calls = &a->calls[(i + 1) * n];
    }
    rn__stats_coroutines(a->procs, s->n_procs, a->waits, WAITS_MOST, &s->n_waits);
    qsort(a->waits, (size_t)s->n_waits, sizeof *a->waits, more_waiting);
    for (int i = 0; i < s->n_procs; i++)
        add_proc(&s->total, &a->procs[i]);
    s->total.coroutines_started += task->foreign_started;
    s->total.calls = a->calls;
    s->n_calls = n;
}

/* ---- connections, the process ---- */

static void fill_connections(rn_stats *s, const struct rn__task_stats *task)
{
    const rn_stats_proc *t = &s->total;
    uint64_t closed = 0;

    for (int i = 0; i < RN_CLOSED_REASONS; i++)
        closed += t->closed[i];
    s->connections = (int64_t)(t->accepted + t->dialled + t->adopted - closed);
    if (s->connections < 0) /* one was closed on a P that was read later */
        s->connections = 0;
    s->at_rest = task->at_rest;
    s->lingering = task->lingering;
}

/* Read once: it is to be the same in each snapshot, whatever has become of the clock. */
static int64_t started_ms(void)
{
    static _Atomic int64_t known;
    int64_t ms = atomic_load(&known), ticks = 0;
    struct timespec since_boot, now;
    char *text, *at;

    if (ms != 0)
        return ms;
    text = rn__proc_read("/proc/self/stat", 4096);
    at = text == NULL ? NULL : strrchr(text, ')');
    for (int i = 2; at != NULL && i < 22; i++)
        at = strchr(at + 1, ' ');
    if (at != NULL)
        ticks = strtoll(at, NULL, 10);
    rn__free(text);
    if (ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0 ||
        clock_gettime(CLOCK_REALTIME, &now) != 0)
        return 0;
    ms = (now.tv_sec - since_boot.tv_sec) * 1000 + (now.tv_nsec - since_boot.tv_nsec) / 1000000 +
         ticks * 1000 / sysconf(_SC_CLK_TCK);
    atomic_store(&known, ms);
    return ms;
}

static void fill_process(rn_stats *s)
{
    char *text = rn__proc_read("/proc/self/statm", 128), *at = text;
    struct timespec ts;
    struct rlimit lim;
    struct stat fds;
    rn_listener_stats ln;

    if (text != NULL) {
        (void)strtoull(text, &at, 10);
        s->resident_bytes = strtoull(at, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    rn__free(text);
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0)
        s->cpu_ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
    if (rn__sys_prlimit(RLIMIT_NOFILE, NULL, &lim) == 0)
        s->open_files_most = lim.rlim_cur;
    s->open_files = -1;
    if (rn__sys_fstatat(AT_FDCWD, "/proc/self/fd", &fds, 0) == 0 && fds.st_size > 0)
        s->open_files = fds.st_size;
    s->started_ms = started_ms();
    rn__listen_system(&ln);
    s->listen_overflows = ln.system_overflows;
    s->listen_drops = ln.system_drops;
}

/* ---- listeners ---- */

struct listing {
    rn_stats_listener *listeners; /* NULL: only count */
    int n, most;
};

static void count_listener(rn_listener *ln, void *arg)
{
    struct listing *l = arg;

    (void)ln;
    l->most++;
}

static void add_listener(rn_listener *ln, void *arg)
{
    rn_listener_stats q;
    struct listing *l = arg;
    rn_stats_listener *one;

    if (l->n == l->most || rn__listener_queue(ln, &q) < 0)
        return;
    one = &l->listeners[l->n++];
    (void)rn_listener_addr(ln, one->address, sizeof one->address);
    one->queued = q.queued;
    one->queue_limit = q.queue_limit;
}

static int fill_listeners(rn_stats *s, struct arrays *a)
{
    struct listing l = {0};

    rn__listener_each(count_listener, &l);
    a->listeners = rn__malloc_lasting(((size_t)l.most + 1) * sizeof *a->listeners);
    if (a->listeners == NULL)
        return -ENOMEM;
    memset(a->listeners, 0, ((size_t)l.most + 1) * sizeof *a->listeners);
    l.listeners = a->listeners;
    rn__listener_each(add_listener, &l);
    s->n_listeners = l.n;
    return 0;
}

/* ---- the whole ---- */

static void *zeroed(size_t n, size_t bytes)
{
    void *at = rn__malloc_lasting((n + 1) * bytes); /* never of 0 bytes */

    if (at != NULL)
        memset(at, 0, (n + 1) * bytes);
    return at;
}

static int fill(rn_stats *s, struct arrays *a)
{
    struct rn__task_stats task;
    size_t n;
    int n_http = rn__http_stats_count(), r;

    rn__stats_task(&task);
    s->at = rn_now();
    s->uptime_ns = task.uptime_ns;
    s->poller = task.poller;
    s->n_procs = task.n_procs;
    s->stacks_in_use = task.stacks_in_use;
    s->stacks_free = task.stacks_free;
    s->stack_bytes = task.stack_bytes;
    s->connection_bytes = task.slot_bytes;
    s->open_files_before = task.nofile_before;
    n = (size_t)task.n_procs;
    a->procs = zeroed(n, sizeof *a->procs);
    a->calls = zeroed((n + 1) * RN__SYS_COUNT, sizeof *a->calls);
    a->waits = zeroed(WAITS_MOST, sizeof *a->waits);
    a->slow = zeroed(RN_STATS_SLOW, sizeof *a->slow);
    a->sites = zeroed(RN_STATS_SITES, sizeof *a->sites);
    a->http = zeroed((size_t)n_http, sizeof *a->http);
    if (a->procs == NULL || a->calls == NULL || a->waits == NULL || a->slow == NULL ||
        a->sites == NULL || a->http == NULL)
        return -ENOMEM;
    r = fill_calls(s, a);
    if (r == 0)
        r = fill_listeners(s, a);
    if (r < 0)
        return r;
    fill_procs(s, a, &task);
    fill_connections(s, &task);
    fill_process(s);
    s->n_sites = rn__stats_sites(a->sites);
    s->n_http = rn__http_stats_read(a->http, n_http);
    return 0;
}

int rn_stats_get(rn_stats **ret)
{
    bool foreign;
    rn_stats *s = zeroed(1, sizeof *s);
    struct arrays a = {0};
    int r;

    if (s == NULL)
        return -ENOMEM;
#ifndef RN_NO_STATS
    s->counting = true;
#endif
    foreign = rn__foreign_begin();
    r = fill(s, &a);
    rn__foreign_end(foreign);
    s->procs = a.procs;
    s->total.calls = a.calls;
    s->waits = a.waits;
    s->listeners = a.listeners;
    s->slow_calls = a.slow;
    s->sites = a.sites;
    s->http = a.http;
    if (r < 0)
        rn_stats_free(s);
    else
        *ret = s;
    return r;
}

void rn_stats_free(rn_stats *stats)
{
    if (stats == NULL)
        return;
    rn__free_lasting((void *)(uintptr_t)stats->procs);
    rn__free_lasting((void *)(uintptr_t)stats->total.calls);
    rn__free_lasting((void *)(uintptr_t)stats->waits);
    rn__free_lasting((void *)(uintptr_t)stats->listeners);
    rn__free_lasting((void *)(uintptr_t)stats->slow_calls);
    rn__free_lasting((void *)(uintptr_t)stats->sites);
    rn__free_lasting((void *)(uintptr_t)stats->http);
    rn__free_lasting(stats);
}
