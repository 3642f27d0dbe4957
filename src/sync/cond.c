/*
 * cond.c - a condition variable
 *
 * No wake-up is lost: the waiter is in the queue before it lets go of the mutex. None is spurious.
 */
#include <runnel/sync.h>

#include "sync/waitq.h"

struct cond {
    _Atomic uint32_t lock;
    struct rn__fifo waiters; /* [L] struct rn__claimant */
};

_Static_assert(sizeof(struct cond) <= sizeof(rn_cond), "rn_cond has room");

static const struct rn__wait_kind wait_cond = {.name = "cond", .interrupt = rn__wait_interrupt};

static struct cond *self(rn_cond *c)
{
    return (struct cond *)(void *)c;
}

int rn_cond_wait(rn_cond *cond, rn_mutex *m, rn_time deadline)
{
    struct cond *c = self(cond);
    struct rn__claimant me = {.want = 0};
    int r = rn__wait_begin(&me.wait, c, deadline);

    if (r < 0)
        return r;
    rn__spin_lock(&c->lock);
    rn__fifo_push(&c->waiters, &me.link);
    rn__spin_unlock(&c->lock);
    rn_mutex_unlock(m);
    r = rn__wait_park(&me.wait, &wait_cond);
    if (r < 0) {
        rn__spin_lock(&c->lock);
        rn__fifo_remove(&c->waiters, &me.link);
        rn__spin_unlock(&c->lock);
    }
    (void)rn_mutex_lock(m);
    return r;
}

static void wake(rn_cond *cond, bool all)
{
    struct cond *c = self(cond);
    bool foreign = rn__foreign_begin();
    struct rn__fifo woken = {0};
    struct rn__claimant *first;

    rn__spin_lock(&c->lock);
    do {
        first = rn__claim_first(&c->waiters);
        if (first != NULL)
            rn__fifo_push(&woken, &first->link);
    } while (all && first != NULL);
    rn__spin_unlock(&c->lock);
    rn__ready_all(&woken);
    rn__foreign_end(foreign);
}

void rn_cond_signal(rn_cond *cond)
{
    wake(cond, false);
}

void rn_cond_broadcast(rn_cond *cond)
{
    wake(cond, true);
}
