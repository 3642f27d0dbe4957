/*
 * wait.c - waits with deadline and cancel; cancelling one coroutine; shields
 */
#include "task/wait.h"

#include "task/proc.h"

int rn__wait_begin(struct rn__wait *w, const void *of, rn_time deadline)
{
    struct rn__proc *p = rn__proc();
    struct rn__coro *co;

    if (p == NULL || p->front.current == &p->sched)
        return -EDEADLK;
    co = p->front.current;
    if (rn__is_cancelled(co))
        return -ECANCELED;
    w->co = co;
    w->of = of;
    co->until = deadline;
    atomic_store_explicit(&w->fired, RN__WAITING, memory_order_relaxed);
    if (deadline == 0)
        return 0;
    if (deadline <= rn_now())
        return -ETIME;
    co->timer.kind = RN__TIMER_WAIT;
    return rn__heap_set(&p->timers, &co->timer, deadline);
}

void rn__wait_drop(struct rn__wait *w)
{
    if (rn__timer_armed(&w->co->timer))
        rn__heap_cancel(&rn__proc()->timers, &w->co->timer);
}

int rn__wait_end(struct rn__wait *w)
{
    if (w->co->until != 0)
        rn__wait_drop(w);
    if (rn__wait_fired(w) >= 0)
        return 0; /* also where a cancel came later: what was handed over must not be lost */
    return rn__is_cancelled(w->co) ? -ECANCELED : -ETIME;
}

int rn__wait_park(struct rn__wait *w, const struct rn__wait_kind *why)
{
    rn__park(why, w);
    return rn__wait_end(w);
}

bool rn__wait_interrupt(struct rn__coro *co)
{
    return rn__wait_claim(co->wait_obj, RN__INTERRUPTED);
}

void rn__interrupt(struct rn__coro *co)
{
    if (rn__state(co) == RN__PARKED && co->wait->interrupt != NULL && co->wait->interrupt(co))
        rn__ready(co);
}

/* ---- cancelling one coroutine ---- */

static void cancel_here(struct rn__proc *p, struct rn__msg *m);

static void ask_to_cancel(struct rn__coro *co)
{
    if (atomic_exchange(&co->cancelling, true))
        return;
    co->cancel_msg.fn = cancel_here;
    rn__post(rn__coro_proc(co), &co->cancel_msg);
}

static void cancel_here(struct rn__proc *p, struct rn__msg *m)
{
    struct rn__coro *co = RN_CONTAINER(m, struct rn__coro, cancel_msg);
    bool parked;
    uint64_t id;

    (void)atomic_exchange(&co->cancelling, false); /* before looking: what comes now asks again */
    id = atomic_load(&co->cancel_id);
    parked = rn__state(co) == RN__PARKED; /* before where: a thief has said that first */
    if (atomic_load(&co->proc) == p) {
        if (atomic_load_explicit(&co->id, memory_order_relaxed) != id)
            return;
        atomic_store(&co->cancelled, true);
        if (parked && co->shields == 0)
            rn__interrupt(co);
    }
    /* It may be stolen just now. Either this sees where it went, or the thief, which says where
     * before it runs it, has it see the flag. The id is not said anew: somebody may have said that
     * of a later life by now. */
    if (atomic_load(&co->proc) != p && atomic_load_explicit(&co->id, memory_order_relaxed) == id)
        ask_to_cancel(co);
}

void rn__cancel(struct rn__coro *co, uint64_t id)
{
    atomic_store(&co->cancel_id, id);
    ask_to_cancel(co);
}

/* ---- shields ---- */

void rn_shield_begin(void)
{
    struct rn__coro *co = rn__self();

    if (co == NULL)
        return;
    RN_ASSERT(co->shields < UINT8_MAX);
    co->shields++;
}

void rn_shield_end(void)
{
    struct rn__coro *co = rn__self();

    if (co == NULL)
        return;
    RN_ASSERT(co->shields > 0);
    co->shields--;
}
