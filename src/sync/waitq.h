/*
 * waitq.h - a FIFO of parked coroutines under a spin lock: what mutex and wait group are made of
 *
 * The lock is held for a few instructions and never across a park. An OS thread that loses its CPU
 * while it holds it makes the others yield theirs.
 */
#ifndef RN_SYNC_WAITQ_H
#define RN_SYNC_WAITQ_H

#include <sched.h>

#include "task/coro.h"

struct rn__waiter {
    struct rn__snode link;
    struct rn__coro *co;
};

static inline void rn__spin_lock(_Atomic uint32_t *lock)
{
    for (unsigned tries = 0; atomic_exchange_explicit(lock, 1, memory_order_acquire) != 0; tries++)
        if (tries % 64 == 63)
            sched_yield();
}

static inline void rn__spin_unlock(_Atomic uint32_t *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}

struct rn_waitgroup;

/* rn_waitgroup_wait that no cancel ends. */
void rn__waitgroup_wait_shielded(struct rn_waitgroup *wg);

#endif
