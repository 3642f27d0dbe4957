/*
 * once.c - do it once
 */
#include <runnel/sync.h>

#include "sync/waitq.h"

enum { UNDONE, UNDER_WAY, DONE };

struct once {
    _Atomic uint32_t lock;
    _Atomic uint32_t state;  /* [L] to write */
    struct rn__fifo waiters; /* [L] struct rn__claimant */
};

_Static_assert(sizeof(struct once) <= sizeof(rn_once), "rn_once has room");

/* Not cancelled: who returns relies on its having been done. */
static const struct rn__wait_kind wait_once = {.name = "once"};

static struct once *self(rn_once *o)
{
    return (struct once *)(void *)o;
}

static void finish(struct once *o)
{
    struct rn__fifo woken;

    rn__spin_lock(&o->lock);
    atomic_store_explicit(&o->state, DONE, memory_order_release);
    woken = o->waiters;
    o->waiters = (struct rn__fifo){0};
    rn__spin_unlock(&o->lock);
    rn__ready_all(&woken);
}

int rn_once_do(rn_once *once, void (*fn)(void *arg), void *arg)
{
    struct once *o = self(once);
    struct rn__claimant me = {.wait = {.co = rn__self(), .fired = RN__WAITING}};
    uint32_t state = atomic_load_explicit(&o->state, memory_order_acquire);

    if (RN_LIKELY(state == DONE))
        return 0;
    if (me.wait.co == NULL)
        return -EDEADLK;
    rn__spin_lock(&o->lock);
    state = atomic_load_explicit(&o->state, memory_order_relaxed);
    if (state == UNDONE)
        atomic_store_explicit(&o->state, UNDER_WAY, memory_order_relaxed);
    else if (state == UNDER_WAY)
        rn__fifo_push(&o->waiters, &me.link);
    rn__spin_unlock(&o->lock);
    if (state == UNDONE) {
        fn(arg);
        finish(o);
    } else if (state == UNDER_WAY) {
        rn__park(&wait_once, o);
    }
    return 0;
}
