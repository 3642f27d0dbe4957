/*
 * switch.c - what a switch, a yield and a spawn cost
 *
 *     switch [PROCS]       (1)
 *
 * Prints one JSON line each: {"name": ..., "ns": ...}, the median of several rounds.
 *   bare    two contexts, rn__switch back and forth: the floor, saves the same registers
 *   yield   two coroutines, rn_yield through the run queue; as bare on one P only, for it
 *           concerns no other
 *   spawn   rn_go of a cached coroutine, run, exit; on two Ps the other one may steal it
 */
#include "pieces.h"
#include "task/coro.h"
#include <runnel/runnel.h>

#define TIMES 2000000

static void *main_sp, *other_sp;
static char other_stack[64 << 10] __attribute__((aligned(64)));

static void bounce(void *arg)
{
    (void)arg;
    for (;;)
        rn__switch(&other_sp, main_sp);
}

static void bench_bare(void)
{
    for (int i = 0; i < TIMES / 2; i++)
        rn__switch(&main_sp, other_sp);
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
    for (int i = 0; i < TIMES / 2; i++)
        rn_yield();
}

static void nothing(void *arg)
{
    (void)arg;
}

static void bench_spawn(void)
{
    for (int i = 0; i < TIMES / 4; i++) {
        rn_go(nothing, NULL);
        rn_yield();
    }
}

static int run(void *arg)
{
    static struct rn__coro co = {.fn = bounce}; /* the trampoline wants one; a bare one will do */

    (void)arg;
    if (rn_procs() == 1) {
        other_sp = rn__switch_prepare(other_stack + sizeof other_stack, &co);
        pieces_measure("bare", TIMES, bench_bare);
        rn_go(yielder, NULL);
        pieces_measure("yield", TIMES, bench_yield);
        stop = true;
        rn_yield();
    }
    pieces_measure("spawn", TIMES / 4, bench_spawn);
    return 0;
}

int main(int argc, char **argv)
{
    int procs = argc > 1 ? atoi(argv[1]) : 1;

    pieces_by_clock = procs > 1;
    return rn_run(&(rn_run_options){.procs = procs}, run, NULL) < 0;
}
