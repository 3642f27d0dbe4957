/*
 * join.c - fork and join: how fast work that a coroutine hands out is taken by another P
 *
 *     join [PROCS]       (2)
 *
 * Prints one JSON line each: {"name": ..., "ns": ..., "min": ..., "max": ..., "cpu": ...}: the
 * median of many rounds by the clock, the tenth and the ninetieth part of them, and the CPU time
 * of the process on average.
 * peers/go_join.go does the same in Go.
 *   N of T us       starts N that compute for T, and waits for them: of a round, by task
 *   held            starts one and computes until that has begun
 *   held, after starts; N of T us, after starts
 *                   the same, after 2000 coroutines that do nothing, ten at a time
 */
#include <stdatomic.h>

#include "pieces.h"
#include <runnel/runnel.h>

#define ROUNDS 301

static double spins_per_us;

static void spin(long times)
{
    for (long i = 0; i < times; i++)
        __asm__ volatile("" ::: "memory");
}

/* Of the work, not of the clock: a thread that waits for its CPU has not computed meanwhile. */
static void compute(double us)
{
    spin((long)(us * spins_per_us));
}

static double clock_ns(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void calibrate(void)
{
    for (int i = 0; i < 20; i++) {
        double start = clock_ns(CLOCK_THREAD_CPUTIME_ID), rate;

        spin(1000000);
        rate = 1e9 / (clock_ns(CLOCK_THREAD_CPUTIME_ID) - start);
        if (rate > spins_per_us)
            spins_per_us = rate;
    }
}

static double task_us;

static int task(void *arg)
{
    (void)arg;
    compute(task_us);
    return 0;
}

static void nothing(void *arg)
{
    (void)arg;
}

static void start_many(void)
{
    for (int i = 0; i < 200; i++) {
        for (int k = 0; k < 10; k++)
            (void)rn_go(nothing, NULL);
        for (int k = 0; k < 10; k++)
            rn_yield();
    }
}

static double join_one(int n)
{
    rn_group g = RN_GROUP_INIT;
    double start = clock_ns(CLOCK_MONOTONIC);

    for (int i = 0; i < n; i++)
        if (rn_group_go(&g, task, NULL) < 0)
            exit(1);
    (void)rn_group_wait(&g, 0);
    return (clock_ns(CLOCK_MONOTONIC) - start) / n;
}

static atomic_bool begun;

static void begin(void *arg)
{
    (void)arg;
    atomic_store(&begun, true);
}

static double hold_one(int n)
{
    double start = clock_ns(CLOCK_MONOTONIC);

    (void)n;
    atomic_store(&begun, false);
    (void)rn_go(begin, NULL);
    while (!atomic_load(&begun) && clock_ns(CLOCK_MONOTONIC) - start < 5e6)
        ;
    return clock_ns(CLOCK_MONOTONIC) - start;
}

static void measure(const char *name, double (*one)(int n), int n, double us, bool after_starts)
{
    static double rounds[ROUNDS];
    double cpu = 0;

    task_us = us;
    for (int r = 0; r < ROUNDS; r++) {
        double start;

        if (after_starts)
            start_many();
        start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        rounds[r] = one(n);
        cpu += (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / ROUNDS / n;
    }
    qsort(rounds, ROUNDS, sizeof *rounds, pieces_compare);
    printf("{\"name\": \"%s%s\", \"ns\": %.0f, \"min\": %.0f, \"max\": %.0f, \"cpu\": %.0f}\n",
           name, after_starts ? ", after starts" : "", rounds[ROUNDS / 2], rounds[ROUNDS / 10],
           rounds[ROUNDS * 9 / 10], cpu);
    (void)fflush(stdout);
}

static int run(void *arg)
{
    static const struct {
        const char *name;
        int n;
        double us;
    } joins[] = {{"2 of 200 us", 2, 200}, {"2 of 50 us", 2, 50},   {"8 of 20 us", 8, 20},
                 {"32 of 5 us", 32, 5},   {"200 of 1 us", 200, 1}, {"1 of 20 us", 1, 20}};

    (void)arg;
    calibrate();
    for (int after = 0; after < 2; after++) {
        for (size_t i = 0; i < sizeof joins / sizeof *joins; i++)
            measure(joins[i].name, join_one, joins[i].n, joins[i].us, after);
        if (rn_procs() > 1)
            measure("held", hold_one, 1, 0, after);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int procs = argc > 1 ? atoi(argv[1]) : 2;

    return rn_run(&(rn_run_options){.procs = procs}, run, NULL) < 0;
}
