/*
 * sync.c - what coroutines cost each other: channels, select, mutex
 *
 *     sync [PROCS]       (1)
 *
 * Prints one JSON line each: {"name": ..., "ns": ...}, the median of several rounds.
 * peers/go_sync.go does the same in Go,
 * peers/st_sync.c what State Threads can do of it.
 *   chan    round trip of an int between two coroutines over two unbuffered channels
 *   buffer  one int through a channel of 128, from one coroutine to another
 *   ring    one hop of a token round a ring of 1000 coroutines
 *   select  one int from one of 8 senders, by a select over their 8 channels
 *   sieve   one prime of the first 500, each filtered by those before it
 *   mutex   one lock and unlock, with 100 coroutines after the same one
 */
#include "pieces.h"
#include <runnel/runnel.h>

#define CHAN_TIMES 400000
#define RING 1000
#define RING_LAPS 200
#define SENDERS 8
#define PRIMES 500
#define LOCKERS 100
#define LOCKS 4000

static void fail(const char *what, int r)
{
    fprintf(stderr, "sync: %s: %s\n", what, rn_strerror(r));
    exit(1);
}

static rn_chan *make_chan(size_t capacity)
{
    rn_chan *ch = NULL;
    int r = rn_chan_new(sizeof(int), capacity, &ch);

    if (r < 0)
        fail("rn_chan_new", r);
    return ch;
}

static void start(rn_group *g, int (*fn)(void *), void *arg)
{
    int r = rn_group_go(g, fn, arg);

    if (r < 0)
        fail("rn_group_go", r);
}

/* ---- two coroutines ---- */

struct pair {
    rn_chan *there, *back;
};

static int echo(void *arg)
{
    struct pair *p = arg;
    int v;

    while (rn_chan_recv(p->there, &v) == 0)
        (void)rn_chan_send(p->back, &v);
    return 0;
}

static void bench_chan(void)
{
    struct pair p = {.there = make_chan(0), .back = make_chan(0)};
    rn_group g = RN_GROUP_INIT;

    start(&g, echo, &p);
    for (int i = 0; i < CHAN_TIMES; i++) {
        int v = i;

        (void)rn_chan_send(p.there, &v);
        (void)rn_chan_recv(p.back, &v);
    }
    rn_chan_close(p.there);
    (void)rn_group_wait(&g, 0);
    rn_chan_free(p.there);
    rn_chan_free(p.back);
}

static int send_times(void *arg)
{
    for (int i = 0; i < CHAN_TIMES; i++)
        (void)rn_chan_send(arg, &i);
    rn_chan_close(arg);
    return 0;
}

static void bench_buffer(void)
{
    rn_chan *ch = make_chan(128);
    rn_group g = RN_GROUP_INIT;
    int v;

    start(&g, send_times, ch);
    while (rn_chan_recv(ch, &v) == 0)
        ;
    (void)rn_group_wait(&g, 0);
    rn_chan_free(ch);
}

/* ---- many ---- */

struct station {
    rn_chan *from, *to;
};

static int pass_on(void *arg)
{
    struct station *s = arg;
    int v;

    while (rn_chan_recv(s->from, &v) == 0)
        (void)rn_chan_send(s->to, &v);
    rn_chan_close(s->to);
    return 0;
}

static void bench_ring(void)
{
    static struct station s[RING];
    rn_group g = RN_GROUP_INIT;
    int v = 0;

    for (int i = 0; i < RING; i++)
        s[i].from = make_chan(0);
    for (int i = 0; i < RING; i++)
        s[i].to = s[(i + 1) % RING].from;
    for (int i = 1; i < RING; i++)
        start(&g, pass_on, &s[i]);
    for (int lap = 0; lap < RING_LAPS; lap++) {
        (void)rn_chan_send(s[0].to, &v);
        (void)rn_chan_recv(s[0].from, &v);
    }
    rn_chan_close(s[0].to);
    (void)rn_group_wait(&g, 0);
    for (int i = 0; i < RING; i++)
        rn_chan_free(s[i].from);
}

static int send_some(void *arg)
{
    for (int i = 0; i < CHAN_TIMES / SENDERS; i++)
        (void)rn_chan_send(arg, &i);
    return 0;
}

static void bench_select(void)
{
    rn_select_case cases[SENDERS];
    rn_group g = RN_GROUP_INIT;
    int v;

    for (int i = 0; i < SENDERS; i++) {
        cases[i] = (rn_select_case){.chan = make_chan(0), .item = &v};
        start(&g, send_some, cases[i].chan);
    }
    for (int i = 0; i < CHAN_TIMES; i++)
        (void)rn_select(cases, SENDERS, 0);
    (void)rn_group_wait(&g, 0);
    for (int i = 0; i < SENDERS; i++)
        rn_chan_free(cases[i].chan);
}

static int count_up(void *arg)
{
    for (int i = 2; rn_chan_send(arg, &i) == 0; i++)
        ;
    return 0;
}

struct filter {
    rn_chan *from, *to;
    int prime;
};

static int filter(void *arg)
{
    struct filter *f = arg;
    int v;

    while (rn_chan_recv(f->from, &v) == 0)
        if (v % f->prime != 0 && rn_chan_send(f->to, &v) < 0)
            break;
    rn_chan_close(f->from);
    return 0;
}

static void bench_sieve(void)
{
    static struct filter f[PRIMES];
    rn_group g = RN_GROUP_INIT;
    rn_chan *ch = make_chan(0);

    start(&g, count_up, ch);
    for (int i = 0; i < PRIMES; i++) {
        f[i].from = ch;
        (void)rn_chan_recv(ch, &f[i].prime);
        f[i].to = ch = make_chan(0);
        start(&g, filter, &f[i]);
    }
    rn_chan_close(ch); /* the end runs backwards along the chain */
    (void)rn_group_wait(&g, 0);
    for (int i = 0; i < PRIMES; i++)
        rn_chan_free(f[i].from);
    rn_chan_free(ch);
}

static rn_mutex mutex;
static long counter;

static int lock_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < LOCKS; i++) {
        (void)rn_mutex_lock(&mutex);
        counter++;
        if (i % 16 == 0)
            rn_yield(); /* with the lock: the others queue up */
        rn_mutex_unlock(&mutex);
    }
    return 0;
}

static void bench_mutex(void)
{
    rn_group g = RN_GROUP_INIT;

    for (int i = 0; i < LOCKERS; i++)
        start(&g, lock_often, NULL);
    (void)rn_group_wait(&g, 0);
}

static int run(void *arg)
{
    (void)arg;
    pieces_measure("chan", CHAN_TIMES, bench_chan);
    pieces_measure("buffer", CHAN_TIMES, bench_buffer);
    pieces_measure("ring", (long)RING * RING_LAPS, bench_ring);
    pieces_measure("select", CHAN_TIMES, bench_select);
    pieces_measure("sieve", PRIMES, bench_sieve);
    pieces_measure("mutex", (long)LOCKERS * LOCKS, bench_mutex);
    return 0;
}

int main(int argc, char **argv)
{
    int procs = argc > 1 ? atoi(argv[1]) : 1;

    pieces_by_clock = procs > 1;
    return rn_run(&(rn_run_options){.procs = procs}, run, NULL) < 0;
}
