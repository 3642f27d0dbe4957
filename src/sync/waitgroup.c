/*
 * waitgroup.c - wait until a count is 0
 *
 * The waiters form a singly linked list, so that an all-zero wait group is a valid one; a cancelled
 * waiter is searched out of it, which is the rare way.
 */
#include <runnel/sync.h>

#include "sync/waitq.h"

struct group {
    _Atomic uint32_t lock;
    int32_t count;           /* [L] */
    struct rn__fifo waiters; /* [L] struct rn__waiter on the stacks of the waiting */
};

_Static_assert(sizeof(struct group) <= sizeof(rn_waitgroup), "rn_waitgroup has room");

static struct group *self(rn_waitgroup *wg)
{
    return (struct group *)(void *)wg;
}

void rn_waitgroup_add(rn_waitgroup *wg, int n)
{
    struct group *g = self(wg);
    struct rn__fifo woken = {0};
    struct rn__snode *first;
    bool foreign = rn__foreign_begin();

    rn__spin_lock(&g->lock);
    RN_ASSERT(!__builtin_add_overflow(g->count, n, &g->count) && g->count >= 0);
    if (g->count == 0) {
        woken = g->waiters;
        g->waiters = (struct rn__fifo){0};
    }
    rn__spin_unlock(&g->lock);
    /* From here on g may be gone: the first one woken may have freed it. */
    while ((first = rn__fifo_pop(&woken)) != NULL)
        rn__ready(RN_CONTAINER(first, struct rn__waiter, link)->co);
    rn__foreign_end(foreign);
}

void rn_waitgroup_done(rn_waitgroup *wg)
{
    rn_waitgroup_add(wg, -1);
}

/* Takes a cancelled coroutine's waiter out; false where a wake-up is on its way already. */
static bool interrupt_wait(struct rn__coro *co)
{
    struct group *g = co->wait_obj;
    struct rn__fifo kept = {0};
    struct rn__snode *n;
    bool found = false;

    rn__spin_lock(&g->lock);
    while ((n = rn__fifo_pop(&g->waiters)) != NULL) {
        if (RN_CONTAINER(n, struct rn__waiter, link)->co == co)
            found = true;
        else
            rn__fifo_push(&kept, n);
    }
    g->waiters = kept;
    rn__spin_unlock(&g->lock);
    return found;
}

static const struct rn__wait_kind wait_group = {.name = "waitgroup", .interrupt = interrupt_wait};

static const struct rn__wait_kind wait_shielded = {.name = "waitgroup"};

static void wait_zero(struct group *g, const struct rn__wait_kind *why)
{
    struct rn__waiter w = {.co = rn__self()};

    rn__spin_lock(&g->lock);
    if (g->count == 0) {
        rn__spin_unlock(&g->lock);
        return;
    }
    rn__fifo_push(&g->waiters, &w.link);
    rn__spin_unlock(&g->lock);
    rn__park(why, g);
}

int rn_waitgroup_wait(rn_waitgroup *wg)
{
    struct rn__coro *co = rn__self();

    if (co == NULL)
        return -EDEADLK;
    if (!rn__is_cancelled(co))
        wait_zero(self(wg), &wait_group);
    return rn__is_cancelled(co) ? -ECANCELED : 0;
}

void rn__waitgroup_wait_shielded(rn_waitgroup *wg)
{
    wait_zero(self(wg), &wait_shielded);
}
