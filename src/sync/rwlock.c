/*
 * rwlock.c - a fair lock for many readers or one writer
 *
 * First come, first served, by groups: a writer waits for the readers inside, and whoever comes
 * after it waits behind it; so neither side starves. Hence a reader must not lock it again: a
 * writer may have come in between.
 */
#include <runnel/sync.h>

#include "sync/waitq.h"

enum { READ, WRITE };

struct rwlock {
    _Atomic uint32_t lock;
    int32_t inside;          /* [L] readers; -1: a writer */
    struct rn__fifo waiters; /* [L] struct rn__claimant, `want` READ or WRITE */
};

_Static_assert(sizeof(struct rwlock) <= sizeof(rn_rwlock), "rn_rwlock has room");

/* Not cancelled, like a mutex: who asks for a lock goes on as if it had it. */
static const struct rn__wait_kind wait_rwlock = {.name = "rwlock"};

static struct rwlock *self(rn_rwlock *l)
{
    return (struct rwlock *)(void *)l;
}

static bool admit(struct rwlock *l, unsigned want)
{
    if (want == WRITE ? l->inside != 0 : l->inside < 0)
        return false;
    l->inside = want == WRITE ? -1 : l->inside + 1;
    return true;
}

static int lock_for(rn_rwlock *lock, unsigned want)
{
    struct rwlock *l = self(lock);
    struct rn__claimant me = {.want = want, .wait = {.co = rn__self(), .fired = RN__WAITING}};

    if (me.wait.co == NULL)
        return -EDEADLK;
    rn__spin_lock(&l->lock);
    if (rn__fifo_empty(&l->waiters) && admit(l, want)) {
        rn__spin_unlock(&l->lock);
        return 0;
    }
    rn__fifo_push(&l->waiters, &me.link);
    rn__spin_unlock(&l->lock);
    rn__park(&wait_rwlock, l);
    return 0;
}

int rn_rwlock_rdlock(rn_rwlock *lock)
{
    return lock_for(lock, READ);
}

int rn_rwlock_wrlock(rn_rwlock *lock)
{
    return lock_for(lock, WRITE);
}

void rn_rwlock_unlock(rn_rwlock *lock)
{
    struct rwlock *l = self(lock);
    struct rn__fifo woken = {0};
    struct rn__snode *n;

    rn__spin_lock(&l->lock);
    RN_ASSERT(l->inside != 0);
    l->inside = l->inside < 0 ? 0 : l->inside - 1;
    while ((n = l->waiters.head) != NULL &&
           admit(l, RN_CONTAINER(n, struct rn__claimant, link)->want))
        rn__fifo_push(&woken, rn__fifo_pop(&l->waiters));
    rn__spin_unlock(&l->lock);
    rn__ready_all(&woken);
}
