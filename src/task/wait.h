/*
 * wait.h - a wait that one of several wakers claims, with deadline and cancel
 *
 *      WAITING ---claim(how >= 0), then ready---> how           a waker, any thread
 *      WAITING ---deadline, cancel, then ready---> INTERRUPTED  its own P
 *
 * The word stands on the stack of the coroutine that waits, and whoever moves it away from WAITING,
 * and nobody else, readies the coroutine. So the coroutine can be published in several places at
 * once (rn_select), and a cancel needs to know none of them: the coroutine takes itself out where
 * it still stands, after its wake. Until then a waker may come upon it, and passes it over.
 */
#ifndef RN_TASK_WAIT_H
#define RN_TASK_WAIT_H

#include "task/coro.h"

#define RN__WAITING (-1)
#define RN__INTERRUPTED (-2)

struct rn__wait {
    struct rn__coro *co;
    _Atomic int fired; /* [A] */
    const void *of;    /* the one place it waits in; NULL: several */
};

/* Before the wait is published; `of` is what it will be published in, NULL: in several. 0; -EDEADLK
 * on a plain thread, -ECANCELED, -ETIME the deadline (absolute; 0: none) has passed, -ENOMEM no
 * timer. After 0 comes rn__wait_park, or _drop. */
int rn__wait_begin(struct rn__wait *w, const void *of, rn_time deadline);

/* After its rn__park: 0 claimed; -ETIME, -ECANCELED. The caller then takes out what it
 * published. */
int rn__wait_end(struct rn__wait *w);

/* Both in one. */
int rn__wait_park(struct rn__wait *w, const struct rn__wait_kind *why);

/* Instead of parking: there is no need to. Nothing was published. */
void rn__wait_drop(struct rn__wait *w);

/* The waker's: true when the coroutine is its to ready, by rn__ready(w->co), once. Under the lock
 * of the place where it found the wait: afterwards the wait may be gone. */
static inline bool rn__wait_claim(struct rn__wait *w, int how)
{
    int waiting = RN__WAITING;

    return atomic_compare_exchange_strong(&w->fired, &waiting, how);
}

/* The same, where p is the calling thread's P (NULL: it has none), and as cheap as a store where
 * the coroutine is of that P and waits in one place only: then the lock keeps away other wakers,
 * and a deadline or a cancel would be of this very thread. */
static inline bool rn__wait_claim_by(struct rn__proc *p, struct rn__wait *w, int how)
{
    if (p == NULL || w->of == NULL || rn__coro_proc(w->co) != p)
        return rn__wait_claim(w, how);
    if (atomic_load_explicit(&w->fired, memory_order_relaxed) != RN__WAITING)
        return false;
    atomic_store_explicit(&w->fired, how, memory_order_relaxed);
    return true;
}

static inline int rn__wait_fired(const struct rn__wait *w)
{
    return atomic_load_explicit(&w->fired, memory_order_relaxed);
}

/* Readies one that was claimed to be given something: at once where that is all it waits for. Who
 * selects waits for more to come: it goes to the back, and finds what has gathered. */
static inline void rn__hand_over(struct rn__wait *w)
{
    if (w->of != NULL)
        rn__ready_next(w->co);
    else
        rn__ready(w->co);
}

/* interrupt for the wait kinds whose object is a struct rn__wait. */
bool rn__wait_interrupt(struct rn__coro *co);

#endif
