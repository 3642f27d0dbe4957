/*
 * switch.c - what a switch, a yield and a spawn cost, on one P
 *
 * Prints one JSON line each: {"name": ..., "ns": ...}, the median of several rounds.
 *   bare    two contexts, rn__switch back and forth: the floor, saves the same registers
 *   yield   two coroutines, rn_yield through the run queue
 *   spawn   rn_go of a cached coroutine, run, exit
 */
#include <stdio.h>
#include <stdlib.h>

#include "task/coro.h"
#include <runnel/runnel.h>

#define ROUNDS 9
#define TIMES 2000000

static void *main_sp, *other_sp;
static char other_stack[64 << 10] __attribute__((aligned(64)));

static void bounce(void *arg)
{
    (void)arg;
    for (;;)
        rn__switch(&other_sp, main_sp);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void report(const char *name, double *rounds)
{
    qsort(rounds, ROUNDS, sizeof *rounds, compare);
    printf("{\"name\": \"%s\", \"ns\": %.2f, \"min\": %.2f, \"max\": %.2f}\n", name,
           rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
}

/* The trampoline wants a coroutine; a bare one is enough for it. */
static void bench_bare(void)
{
    static struct rn__coro co = {.fn = bounce};
    double rounds[ROUNDS];

    other_sp = rn__switch_prepare(other_stack + sizeof other_stack, &co);
    for (int r = 0; r < ROUNDS; r++) {
        rn_time start = rn_now();

        for (int i = 0; i < TIMES / 2; i++)
            rn__switch(&main_sp, other_sp);
        rounds[r] = (double)(rn_now() - start) / TIMES;
    }
    report("bare", rounds);
}

static bool stop;

static void yielder(void *arg)
{
    (void)arg;
    while (!stop)
        rn_yield();
}

static void bench_yield(void)
{
    double rounds[ROUNDS];

    stop = false;
    rn_go(yielder, NULL);
    for (int r = 0; r < ROUNDS; r++) {
        rn_time start = rn_now();

        for (int i = 0; i < TIMES / 2; i++)
            rn_yield();
        rounds[r] = (double)(rn_now() - start) / TIMES;
    }
    stop = true;
    rn_yield();
    report("yield", rounds);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void bench_spawn(void)
{
    double rounds[ROUNDS];

    for (int r = 0; r < ROUNDS; r++) {
        rn_time start = rn_now();

        for (int i = 0; i < TIMES / 4; i++) {
            rn_go(nothing, NULL);
            rn_yield();
        }
        rounds[r] = (double)(rn_now() - start) / (TIMES / 4);
    }
    report("spawn", rounds);
}

static int run(void *arg)
{
    (void)arg;
    bench_bare();
    bench_yield();
    bench_spawn();
    return 0;
}

int main(void)
{
    return rn_run(&(rn_run_options){.procs = 1}, run, NULL) < 0;
}
