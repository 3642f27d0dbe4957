/*
 * calls.h - how often a system call was made, by whom
 */
#ifndef CALLS_H
#define CALLS_H

#include "base/sys.h"
#include "task/proc.h"

/* By coroutines. */
static inline uint64_t calls_on_procs(enum rn__sys_row row)
{
    struct rn__runtime *rt = atomic_load(&rn__runtime);
    uint64_t sum = 0;

    for (int i = 0; i < rt->n_procs; i++)
        sum += atomic_load(&rt->procs[i]->counters.counts[row].calls);
    return sum;
}

/* By the threads of the pool, and whoever else is no P. */
static inline uint64_t calls_elsewhere(enum rn__sys_row row)
{
    return atomic_load(&rn__sys_shared_block()->counts[row].calls);
}

#endif
