/*
 * waitq.h - a FIFO of parked coroutines under a spin lock: what mutex and wait group are made of
 *
 * The lock is held for a few instructions and never across a park. An OS thread that loses its CPU
 * while it holds it makes the others yield theirs.
 */
#ifndef RN_SYNC_WAITQ_H
#define RN_SYNC_WAITQ_H

#include <sched.h>

#include "base/base.h"
#include "task/wait.h"

struct rn__waiter {
    struct rn__snode link;
    struct rn__coro *co;
};

/* One that can be cancelled, or have a deadline. */
struct rn__claimant {
    struct rn__snode link;
    struct rn__wait wait;
    unsigned want; /* the owner's: how many, or which way */
};

/* Takes the first one out that still waits, and claims it; NULL: none. Under the owner's lock; the
 * caller readies it after the lock is released. */
static inline struct rn__claimant *rn__claim_first(struct rn__fifo *q)
{
    struct rn__snode *n;

    while ((n = rn__fifo_pop(q)) != NULL) {
        struct rn__claimant *c = RN_CONTAINER(n, struct rn__claimant, link);

        if (rn__wait_claim(&c->wait, 0))
            return c;
    }
    return NULL;
}

/* Takes it out after its wait was interrupted, wherever it stands: the rare way. */
static inline void rn__fifo_remove(struct rn__fifo *q, struct rn__snode *gone)
{
    struct rn__fifo kept = {0};
    struct rn__snode *n;

    while ((n = rn__fifo_pop(q)) != NULL)
        if (n != gone)
            rn__fifo_push(&kept, n);
    *q = kept;
}

static inline void rn__ready_all(struct rn__fifo *woken)
{
    struct rn__snode *n;

    while ((n = rn__fifo_pop(woken)) != NULL)
        rn__ready(RN_CONTAINER(n, struct rn__claimant, link)->wait.co);
}

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
