/*
 * stats.h - what task knows for statistics, as plain numbers
 *
 * Each call looks at a runtime, which must not end meanwhile: on a P, or between rn__foreign_begin
 * and rn__foreign_end.
 */
#ifndef RN_TASK_STATS_H
#define RN_TASK_STATS_H

#include <runnel/stats.h>

struct rn__sys_block;

struct rn__task_stats {
    rn_time uptime_ns; /* 0: no runtime */
    const char *poller;
    int n_procs;
    uint32_t lingering;
    uint64_t foreign_started; /* coroutines, by threads that are no P; and the first one */
    uint64_t stacks_in_use, stacks_free, stack_bytes, slot_bytes;
    int64_t at_rest;
    uint64_t nofile_before; /* rn_run raised it, for the process' life; 0: it did not */
};

void rn__stats_task(struct rn__task_stats *ret);

/* All but the calls; index 0..n_procs-1. The coroutines are not counted: rn__stats_coroutines. */
void rn__stats_proc(int index, rn_stats_proc *ret);
const struct rn__sys_block *rn__stats_calls(int index);

/* Looks at each coroutine: adds it to runnable or parked of its P, of n_procs; and to the waits, of
 * which there are *n, at most `most`. */
void rn__stats_coroutines(rn_stats_proc *procs, int n_procs, rn_stats_wait *waits, int most,
                          int *n);

/* The deepest sites; there is room for RN_STATS_SITES. How many; also without a runtime. */
int rn__stats_sites(rn_stats_site *sites);

#endif
