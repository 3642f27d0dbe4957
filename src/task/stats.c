/*
 * stats.c - the counters of the Ps, read by whoever asks
 *
 * What is read may move meanwhile; each number is whole. A coroutine's wait is read without
 * synchronisation, as by the dump: kinds are constants, so the worst is a stale one.
 */
#include "task/stats.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "task/proc.h"
#include "task/sites.h"
#include "task/wait.h"

#define UNCHECKED __attribute__((no_sanitize_address, no_sanitize_thread, noinline))

_Static_assert(RN__COUNTS - RN__COUNT_CLOSED == RN_CLOSED_REASONS, "a counter for each reason");

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void count_stack(struct rn__coro *co, void *arg)
{
    struct rn__task_stats *s = arg;

    s->stack_bytes += rn__stack_bytes(co->size_class);
    if (rn__state(co) == RN__FREE)
        s->stacks_free++;
    else
        s->stacks_in_use++;
}

void rn__stats_task(struct rn__task_stats *ret)
{
    struct rn__runtime *rt = atomic_load(&rn__runtime);

    memset(ret, 0, sizeof *ret);
    ret->poller = "";
    ret->slot_bytes = rn__slot_bytes();
    ret->nofile_before = rn__nofile_before();
    if (rt == NULL)
        return;
    ret->uptime_ns = rn_now() - rt->began;
    ret->poller = rt->poller->name;
    ret->n_procs = rt->n_procs;
    ret->foreign_started = read_counter(&rt->foreign_spawned);
    ret->lingering = atomic_load(&rt->lingering);
    rn__stack_walk(count_stack, ret);
    for (int i = 0; i < rt->n_procs; i++) {
        struct rn__proc_stats *s = &rt->procs[i]->stats;

        ret->at_rest += (int64_t)(read_counter(&s->counts[RN__COUNT_RESTED]) -
                                  read_counter(&s->counts[RN__COUNT_WOKEN]));
    }
    if (ret->at_rest < 0) /* woken on a P that was read later */
        ret->at_rest = 0;
}

/* One word, so that who reads it sees no half of a change: awake, it is the time slept; asleep, it
 * is, with the mark, the moment from which that time would have been slept at a stretch. So a sleep
 * counts while it lasts, and the sum never goes back: the microsecond is for a reader that comes
 * between the clock and the store of one that wakes. */
static uint64_t asleep_ns(const _Atomic uint64_t *asleep)
{
    uint64_t now = (uint64_t)(rn_now() - RN_MICROSECOND), word = read_counter(asleep);
    uint64_t slept_from = word & ~RN__ASLEEP;

    if (!(word & RN__ASLEEP))
        return word;
    return now > slept_from ? now - slept_from : 0;
}

void rn__stats_proc(int index, rn_stats_proc *ret)
{
    struct rn__proc *p = atomic_load(&rn__runtime)->procs[index];
    struct rn__proc_stats *s = &p->stats;
    rn_time turn = atomic_load(&p->turn);

    memset(ret, 0, sizeof *ret);
    ret->coroutines_started = read_counter(&s->spawned);
    ret->coroutines_ended = read_counter(&s->finished);
    ret->switches = read_counter(&s->switches);
    ret->parks = read_counter(&s->parks);
    ret->steals = read_counter(&s->steals);
    ret->wakes = read_counter(&s->wakes_sent);
    ret->polls = read_counter(&s->polls);
    ret->events = read_counter(&s->events);
    ret->stale_events = read_counter(&s->stale_events);
    for (int i = 0; i < RN_STATS_BATCHES; i++)
        ret->batches[i] = read_counter(&s->batches[i]);
    ret->asleep_ns = asleep_ns(&s->asleep);
    ret->longest_turn_ns = (rn_time)read_counter(&s->longest_turn_ns);
    ret->turn_ns = turn == RN__TIME_NEVER ? 0 : rn_now() - turn;
    ret->connections = atomic_load(&p->load);
    ret->accepted = read_counter(&s->counts[RN__COUNT_ACCEPTED]);
    ret->dialled = read_counter(&s->counts[RN__COUNT_DIALLED]);
    ret->adopted = read_counter(&s->counts[RN__COUNT_ADOPTED]);
    for (int i = 0; i < RN_CLOSED_REASONS; i++)
        ret->closed[i] = read_counter(&s->counts[RN__COUNT_CLOSED + i]);
}

const struct rn__sys_block *rn__stats_calls(int index)
{
    return &atomic_load(&rn__runtime)->procs[index]->counters;
}

/* ---- coroutines ---- */

struct census {
    rn_stats_proc *procs;
    int n_procs;
    rn_stats_wait *waits;
    int most, n;
};

static void count_wait(struct census *c, const char *name)
{
    int i = 0;

    while (i < c->n && strcmp(c->waits[i].name, name) != 0)
        i++;
    if (i == c->most)
        return;
    if (i == c->n)
        c->waits[c->n++] = (rn_stats_wait){.name = name};
    c->waits[i].n++;
}

static UNCHECKED void count_coroutine(struct rn__coro *co, void *arg)
{
    enum rn__coro_state state = rn__state(co);
    const struct rn__wait_kind *wait = co->wait;
    struct rn__proc *p = rn__coro_proc(co);
    struct census *c = arg;

    if (state == RN__FREE || atomic_load(&co->id) == 0 || p == NULL || p->index >= c->n_procs)
        return;
    if (state == RN__RUNNABLE) {
        c->procs[p->index].runnable++;
        return;
    }
    c->procs[p->index].parked++;
    if (wait != NULL)
        count_wait(c, wait->name);
}

void rn__stats_coroutines(rn_stats_proc *procs, int n_procs, rn_stats_wait *waits, int most, int *n)
{
    struct census c = {.procs = procs, .n_procs = n_procs, .waits = waits, .most = most};

    if (n_procs > 0)
        rn__stack_walk(count_coroutine, &c);
    *n = c.n;
}

/* ---- where they were started ---- */

struct deepest {
    rn_stats_site *sites;
    int n;
};

static void add_site(const struct rn__site *site, void *arg)
{
    struct deepest *d = arg;
    rn_stats_site one = {.at = atomic_load(&site->pc),
                         .looks = read_counter(&site->measured),
                         .deepest_bytes = read_counter(&site->deepest)};
    int i = d->n;

    if (i == RN_STATS_SITES) {
        if (one.deepest_bytes <= d->sites[--i].deepest_bytes)
            return;
    } else {
        d->n++;
    }
    for (; i > 0 && d->sites[i - 1].deepest_bytes < one.deepest_bytes; i--)
        d->sites[i] = d->sites[i - 1];
    d->sites[i] = one;
}

/* File and offset come first: they are whole, whatever the length of a C++ name. */
static void name_site(rn_stats_site *s)
{
    const char *file, *slash;
    Dl_info info;
    int n;

    if (dladdr(s->at, &info) == 0 || info.dli_fname == NULL) {
        (void)snprintf(s->where, sizeof s->where, "%p", s->at);
        return;
    }
    slash = strrchr(info.dli_fname, '/');
    file = slash == NULL ? info.dli_fname : slash + 1;
    n = snprintf(s->where, sizeof s->where, "%.60s+0x%zx", file,
                 (size_t)((const char *)s->at - (const char *)info.dli_fbase));
    if (info.dli_sname != NULL)
        (void)snprintf(s->where + n, sizeof s->where - (size_t)n, " (%s+0x%zx)", info.dli_sname,
                       (size_t)((const char *)s->at - (const char *)info.dli_saddr));
}

int rn__stats_sites(rn_stats_site *sites)
{
    struct deepest d = {.sites = sites};

    rn__sites_each(add_site, &d);
    for (int i = 0; i < d.n; i++)
        name_site(&sites[i]);
    return d.n;
}
