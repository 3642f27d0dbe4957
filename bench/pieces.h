/*
 * pieces.h - what the programs of bench/ share: pinning, medians, and how those of `bench/run
 * --only switch` measure and what they print
 *
 * The latter measure on one P by the CPU time of the process, which others on the machine do not
 * change; on two, where waiting for each other is the point, by the clock.
 */
#ifndef BENCH_PIECES_H
#define BENCH_PIECES_H

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PIECES_ROUNDS 9

static bool pieces_by_clock;

static inline double pieces_now(void)
{
    struct timespec t;

    (void)clock_gettime(pieces_by_clock ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int pieces_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorts them. */
static inline double pieces_median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, pieces_compare);
    return v[n / 2];
}

/* The calling thread. */
static inline bool pieces_pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

/* Calls body, which does `times` of what is measured, and prints the median of some rounds. */
static inline void pieces_measure(const char *name, long times, void (*body)(void))
{
    double rounds[PIECES_ROUNDS], median;

    for (int r = 0; r < PIECES_ROUNDS; r++) {
        double start = pieces_now();

        body();
        rounds[r] = (pieces_now() - start) / (double)times;
    }
    median = pieces_median(rounds, PIECES_ROUNDS);
    printf("{\"name\": \"%s\", \"ns\": %.2f, \"min\": %.2f, \"max\": %.2f}\n", name, median,
           rounds[0], rounds[PIECES_ROUNDS - 1]);
    (void)fflush(stdout);
}

#endif
