/*
 * slowest.h - which of many took longest, of late
 *
 * Keeps only times; what else is known of each lies in an array of the user's, at the same index.
 * What is not slow pays two compares and takes no lock. The slowest of each of several tables
 * include the slowest of all.
 */
#ifndef RN_BASE_SLOWEST_H
#define RN_BASE_SLOWEST_H

#include <stdatomic.h>

#include "base/base.h"

#define RN__SLOWEST 8
#define RN__SLOWEST_NS (60 * RN_SECOND) /* one is forgotten after that */

/* All zero: empty. */
struct rn__slowest {
    _Atomic rn_time floor;       /* what takes longer gets in */
    _Atomic rn_time floor_until; /* when the oldest is to be forgotten */
    struct {
        rn_time at, took; /* at 0: free */
    } of[RN__SLOWEST];    /* [L] the user's */
};

/* Is it slow enough to take the lock for? */
static inline bool rn__slowest_wants(const struct rn__slowest *s, rn_time now, rn_time took)
{
    return took > atomic_load_explicit(&s->floor, memory_order_relaxed) ||
           now > atomic_load_explicit(&s->floor_until, memory_order_relaxed);
}

/* Under the lock: its place, in which what was there is forgotten; -1: another one was faster. */
int rn__slowest_put(struct rn__slowest *s, rn_time now, rn_time took);

/* Under the lock: is there one that is not to be forgotten? */
bool rn__slowest_has(const struct rn__slowest *s, int i, rn_time now);

#endif
