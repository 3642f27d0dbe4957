/*
 * mutex.c - a fair mutex
 *
 * held is 1 while somebody owns it. unlock hands it over: with waiters it stays held and belongs to
 * the first of them, who runs as its owner. So nobody barges in, and nobody starves.
 */
#include <runnel/sync.h>

#include "sync/waitq.h"

struct mutex {
    _Atomic uint32_t lock;
    uint32_t held;           /* [L] */
    struct rn__fifo waiters; /* [L] */
};

_Static_assert(sizeof(struct mutex) <= sizeof(rn_mutex), "rn_mutex has room");

static struct mutex *self(rn_mutex *m)
{
    return (struct mutex *)(void *)m;
}

/* Not cancelled: who asks for a lock goes on as if it had it. */
static const struct rn__wait_kind wait_mutex = {.name = "mutex"};

int rn_mutex_lock(rn_mutex *mutex)
{
    struct mutex *m = self(mutex);
    struct rn__waiter w = {.co = rn__self()};

    if (w.co == NULL)
        return -EDEADLK;
    rn__spin_lock(&m->lock);
    if (m->held == 0) {
        m->held = 1;
        rn__spin_unlock(&m->lock);
        return 0;
    }
    rn__fifo_push(&m->waiters, &w.link);
    rn__spin_unlock(&m->lock);
    rn__park(&wait_mutex, m);
    return 0;
}

bool rn_mutex_trylock(rn_mutex *mutex)
{
    struct mutex *m = self(mutex);
    bool got;

    rn__spin_lock(&m->lock);
    got = m->held == 0;
    m->held = 1;
    rn__spin_unlock(&m->lock);
    return got;
}

void rn_mutex_unlock(rn_mutex *mutex)
{
    struct mutex *m = self(mutex);
    struct rn__snode *first;
    struct rn__coro *next = NULL;
    bool foreign = rn__foreign_begin();

    rn__spin_lock(&m->lock);
    RN_ASSERT(m->held == 1);
    first = rn__fifo_pop(&m->waiters);
    if (first == NULL)
        m->held = 0;
    else
        next = RN_CONTAINER(first, struct rn__waiter, link)->co;
    rn__spin_unlock(&m->lock);
    if (next != NULL)
        rn__ready(next);
    rn__foreign_end(foreign);
}
