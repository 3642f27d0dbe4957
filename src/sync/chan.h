/*
 * chan.h - the channel from inside: what chan.c and select.c share
 */
#ifndef RN_SYNC_CHAN_H
#define RN_SYNC_CHAN_H

#include <runnel/sync.h>

#include "sync/waitq.h"

/* One coroutine in one queue of one channel; on its stack, or in its rn_select_case. */
struct rn__chan_node {
    struct rn__list link;  /* [L] in the queue, or in none */
    struct rn__wait *wait; /* whose `fired` becomes `index` */
    void *item;
    int index;
    bool passed; /* written by who claims it: an item has passed; else the channel was closed */
};

struct rn_chan {
    _Atomic uint32_t lock;
    _Atomic uint32_t refs;
    uint64_t run;                       /* [L] which one waits here: rn__ended_runs then */
    size_t item_bytes;                  /* [C] */
    size_t capacity;                    /* [C] */
    bool closed;                        /* [L] */
    bool rung;                          /* [L] fd is readable */
    int fd;                             /* [L] an eventfd, for foreign loops; -1: none */
    size_t from, n;                     /* [L] the ring: items[from], n of them */
    struct rn__list senders, receivers; /* [L] of struct rn__chan_node; one of the two is empty */
    char items[];
};

/* One try, under the lock, by P p (NULL: a plain thread). 1: an item has passed, 0: it would have
 * to wait, -EPIPE: closed. Whose wait is in *wake, if any, is the caller's to ready once the lock
 * is released; until then the wait stays. */
int rn__chan_put(rn_chan *ch, const void *item, struct rn__proc *p, struct rn__wait **wake);
int rn__chan_take(rn_chan *ch, void *item, struct rn__proc *p, struct rn__wait **wake);

/* Makes fd readable, or not: as it must be when the lock is released. */
__attribute__((cold, noinline)) void rn__chan_ring(rn_chan *ch);

/* Those that waited here when their run ended are gone, with the stacks that their nodes are on. */
__attribute__((cold, noinline)) void rn__chan_forget(rn_chan *ch);

static inline void rn__chan_lock(rn_chan *ch)
{
    rn__spin_lock(&ch->lock);
    if (RN_UNLIKELY(ch->run != atomic_load_explicit(&rn__ended_runs, memory_order_relaxed)))
        rn__chan_forget(ch);
}

static inline void rn__chan_unlock(rn_chan *ch)
{
    if (RN_UNLIKELY(ch->fd >= 0))
        rn__chan_ring(ch);
    rn__spin_unlock(&ch->lock);
}

extern const struct rn__wait_kind rn__wait_send, rn__wait_recv;

#endif
