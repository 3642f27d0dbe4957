/*
 * sem.c - a counting semaphore
 *
 * First come, first served: who wants many is not overtaken for ever by those who want one.
 */
#include <runnel/sync.h>

#include "sync/waitq.h"

struct sem {
    _Atomic uint32_t lock;
    uint32_t count;          /* [L] */
    struct rn__fifo waiters; /* [L] struct rn__claimant, `want` each */
};

_Static_assert(sizeof(struct sem) <= sizeof(rn_sem), "rn_sem has room");

static const struct rn__wait_kind wait_sem = {.name = "semaphore", .interrupt = rn__wait_interrupt};

static struct sem *self(rn_sem *s)
{
    return (struct sem *)(void *)s;
}

/* Serves the front of the queue as far as the count reaches. */
static void grant(struct sem *s, struct rn__fifo *woken)
{
    while (!rn__fifo_empty(&s->waiters)) {
        struct rn__snode *n = s->waiters.head;
        struct rn__claimant *first = RN_CONTAINER(n, struct rn__claimant, link);

        if (rn__wait_fired(&first->wait) == RN__WAITING && first->want > s->count)
            break;
        (void)rn__fifo_pop(&s->waiters);
        if (!rn__wait_claim(&first->wait, 0))
            continue;
        s->count -= first->want;
        rn__fifo_push(woken, n);
    }
}

bool rn_sem_try_acquire(rn_sem *sem, unsigned n)
{
    struct sem *s = self(sem);
    bool got;

    rn__spin_lock(&s->lock);
    got = rn__fifo_empty(&s->waiters) && n <= s->count;
    if (got)
        s->count -= n;
    rn__spin_unlock(&s->lock);
    return got;
}

int rn_sem_acquire(rn_sem *sem, unsigned n, rn_time deadline)
{
    struct sem *s = self(sem);
    struct rn__claimant me = {.want = n};
    struct rn__fifo woken = {0};
    int r = 0;

    rn__spin_lock(&s->lock);
    if (rn__fifo_empty(&s->waiters) && n <= s->count) {
        s->count -= n;
        rn__spin_unlock(&s->lock);
        return 0;
    }
    r = rn__wait_begin(&me.wait, s, deadline);
    if (r == 0)
        rn__fifo_push(&s->waiters, &me.link);
    rn__spin_unlock(&s->lock);
    if (r < 0)
        return r;
    r = rn__wait_park(&me.wait, &wait_sem);
    if (r < 0) {
        rn__spin_lock(&s->lock);
        rn__fifo_remove(&s->waiters, &me.link);
        grant(s, &woken); /* it may have stood before one who wants less */
        rn__spin_unlock(&s->lock);
        rn__ready_all(&woken);
    }
    return r;
}

void rn_sem_release(rn_sem *sem, unsigned n)
{
    struct sem *s = self(sem);
    bool foreign = rn__foreign_begin();
    struct rn__fifo woken = {0};

    rn__spin_lock(&s->lock);
    RN_ASSERT(!__builtin_add_overflow(s->count, n, &s->count));
    grant(s, &woken);
    rn__spin_unlock(&s->lock);
    rn__ready_all(&woken);
    rn__foreign_end(foreign);
}
