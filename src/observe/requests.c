/*
 * requests.c - requests counted, for each P by itself
 *
 * Counters have one writer, the P, and no lock. The few slowest requests have one, which is taken
 * only when there is one to add, and by snapshots. All rn_http_stats are in one list, from which a
 * snapshot reads them.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/hist.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/slowest.h"
#include "observe/times.h"
#include <runnel/admin.h>
#include <runnel/task.h>

#define STATUSES 600

_Static_assert(RN_STATS_SLOW == RN__SLOWEST, "a place for each of the slowest");

struct slow {
    int status;
    char what[sizeof((rn_stats_slow *)0)->what];
};

struct place { /* of one P */
    _Alignas(RN_CACHE_LINE) _Atomic uint64_t failed;
    _Atomic uint64_t bytes, sum_ns;
    _Atomic uint64_t status[STATUSES];
    struct rn__hist took;
    struct rn__slowest slowest;
    pthread_mutex_t lock;
    struct slow slow[RN_STATS_SLOW]; /* [L] */
};

struct rn_http_stats {
    struct rn__list link; /* [L] all_lock */
    char *name;           /* [C] */
    int n_places;         /* [C] */
    struct place *places;
    void *raw;
};

static struct rn__list all = {.next = &all, .prev = &all}; /* [L] all_lock */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;

int rn_http_stats_new(const char *name, rn_http_stats **ret)
{
    size_t n = (size_t)rn_procs(), len = strlen(name) + 1;
    rn_http_stats *s;

    if (rn_id() == 0)
        return -EDEADLK;
    s = rn__calloc(1, sizeof *s + len);
    if (s == NULL)
        return -ENOMEM;
    s->raw = rn__calloc(1, n * sizeof *s->places + RN_CACHE_LINE);
    if (s->raw == NULL) {
        rn__free(s);
        return -ENOMEM;
    }
    s->name = memcpy(s + 1, name, len);
    s->places = (struct place *)(((uintptr_t)s->raw + RN_CACHE_LINE - 1) &
                                 ~(uintptr_t)(RN_CACHE_LINE - 1));
    s->n_places = (int)n;
    for (size_t i = 0; i < n; i++)
        (void)pthread_mutex_init(&s->places[i].lock, NULL);
    pthread_mutex_lock(&all_lock);
    rn__list_push(&all, &s->link);
    pthread_mutex_unlock(&all_lock);
    *ret = s;
    return 0;
}

void rn_http_stats_free(rn_http_stats *stats)
{
    if (stats == NULL)
        return;
    pthread_mutex_lock(&all_lock);
    rn__list_remove(&stats->link);
    pthread_mutex_unlock(&all_lock);
    rn__free(stats->raw);
    rn__free(stats);
}

/* ---- counting ---- */

static void add(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

static __attribute__((noinline, cold)) void add_slow(struct place *p, const rn_http_done *done,
                                                     rn_time now, rn_time took)
{
    int i;

    pthread_mutex_lock(&p->lock);
    i = rn__slowest_put(&p->slowest, now, took);
    if (i >= 0) {
        struct slow *into = &p->slow[i];

        into->status = done->status;
        if (done->request == NULL)
            (void)snprintf(into->what, sizeof into->what, "(not understood)");
        else
            (void)snprintf(into->what, sizeof into->what, "%s %s",
                           rn_http_get_method(done->request), rn_http_get_target(done->request));
    }
    pthread_mutex_unlock(&p->lock);
}

void rn_http_stats_done(const rn_http_done *done, void *stats)
{
    rn_http_stats *s = stats;
    struct place *p = &s->places[rn_proc_id() - 1];
    rn_time now = rn_now(), took = now > done->began ? now - done->began : 1;

    add(&p->status[done->status > 0 && done->status < STATUSES ? done->status : 0], 1);
    if (done->error != 0)
        add(&p->failed, 1);
    add(&p->bytes, done->body_bytes);
    add(&p->sum_ns, (uint64_t)took);
    rn__hist_add(&p->took, (uint64_t)took);
    if (RN_UNLIKELY(rn__slowest_wants(&p->slowest, now, took)))
        add_slow(p, done, now, took);
}

/* ---- reading ---- */

static void add_to(rn_stats_http *h, const struct slow *s, rn_time ago, rn_time took)
{
    rn_stats_slow *into = rn__slow_place(h->slow, &h->n_slow, sizeof *into,
                                         offsetof(rn_stats_slow, took_ns), took);

    if (into == NULL)
        return;
    *into = (rn_stats_slow){.ago_ns = ago, .took_ns = took, .status = s->status};
    memcpy(into->what, s->what, sizeof into->what);
}

static void read_place(rn_stats_http *h, struct place *p, rn_time now)
{
    for (int i = 0; i < STATUSES; i++) {
        uint64_t n = atomic_load_explicit(&p->status[i], memory_order_relaxed);

        h->status[i] += n;
        h->requests += n;
    }
    h->failed += atomic_load_explicit(&p->failed, memory_order_relaxed);
    h->bytes += atomic_load_explicit(&p->bytes, memory_order_relaxed);
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < RN_STATS_SLOW; i++)
        if (rn__slowest_has(&p->slowest, i, now))
            add_to(h, &p->slow[i], now - p->slowest.of[i].at, p->slowest.of[i].took);
    pthread_mutex_unlock(&p->lock);
}

static void read_one(rn_stats_http *h, rn_http_stats *s)
{
    struct rn__hist sum = {0};
    uint64_t sum_ns = 0;
    rn_time now = rn_now();

    (void)snprintf(h->name, sizeof h->name, "%s", s->name);
    for (int i = 0; i < s->n_places; i++) {
        read_place(h, &s->places[i], now);
        rn__hist_merge(&sum, &s->places[i].took);
        sum_ns += atomic_load_explicit(&s->places[i].sum_ns, memory_order_relaxed);
    }
    rn__times_fill(&h->times, &sum, sum_ns);
}

int rn__http_stats_count(void)
{
    int n = 0;

    pthread_mutex_lock(&all_lock);
    for (struct rn__list *l = all.next; l != &all; l = l->next)
        n++;
    pthread_mutex_unlock(&all_lock);
    return n;
}

int rn__http_stats_read(rn_stats_http *ret, int most)
{
    int n = 0;

    pthread_mutex_lock(&all_lock);
    for (struct rn__list *l = all.next; l != &all && n < most; l = l->next)
        read_one(&ret[n++], RN_CONTAINER(l, rn_http_stats, link));
    pthread_mutex_unlock(&all_lock);
    return n;
}
