/*
 * sched.c - one P's loop: pick, switch, look around, steal, idle
 *
 * A coroutine that parks switches straight to the next runnable one; only when there is none, or
 * after RN__TICK switches, does the thread come back to this loop on its own stack.
 *
 * The idle protocol. A P about to sleep and a thread that has work for it must not miss each other:
 *
 *      sleeper                                 waker
 *      S1  sleep := SLEEPING, idle += 1        W1  publish work (inbox, or its own ring)
 *      S2  look at inbox and all rings         W2  if it sleeps (for a ring: if idle > 0, whose?)
 *      S3  nothing: wait in the poller         W3    exchange sleep, AWAKE; was SLEEPING:
 *      S4  exchange sleep, AWAKE                       idle -= 1; was not AWAKE: wake the poller
 *
 * All of S1, S2, W1 and W2 are sequentially consistent, so either S2 sees the work or W2 sees the
 * sleeper. Whoever turns SLEEPING to AWAKE takes 1 from idle, so each sleep is ended by one wake at
 * most. A wake before S3 is not lost: the poller's wait then returns at once.
 *
 * A nap is a short sleep that looks at no ring and is not counted in idle: what it misses there, it
 * sees when its time is up, or when it is woken for what is coarse.
 */
#include "task/proc.h"

#include "base/mem.h"
#include "task/dump.h"
#include "task/held.h"
#include "task/iowait.h"

/* Ids go on where the last runtime stopped: they are never used twice. */
static uint64_t last_ids[RN__MAX_PROCS];

static uint64_t next_random(struct rn__proc *p)
{
    p->seed ^= p->seed << 13;
    p->seed ^= p->seed >> 7;
    p->seed ^= p->seed << 17;
    return p->seed;
}

void rn__run_next(struct rn__proc *p, struct rn__coro *co)
{
    if (RN_UNLIKELY(p->seed != 0) && next_random(p) % 2 == 0)
        rn__fifo_push_front(&p->runq, &co->link);
    else
        rn__fifo_push(&p->runq, &co->link);
}

/* ---- the ring of new coroutines ---- */

static bool ring_push(struct rn__ring *r, struct rn__coro *co)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);

    if (tail - head >= RN__RING)
        return false;
    atomic_store_explicit(&r->slots[tail % RN__RING], co, memory_order_relaxed);
    atomic_store(&r->tail, tail + 1); /* W1 of the idle protocol */
    return true;
}

static bool ring_empty(struct rn__ring *r)
{
    return atomic_load(&r->head) == atomic_load(&r->tail);
}

/* Owner or thief: take the oldest. */
static struct rn__coro *ring_take(struct rn__ring *r)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);

    for (;;) {
        uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
        struct rn__coro *co;

        if (head == tail)
            return NULL;
        co = atomic_load_explicit(&r->slots[head % RN__RING], memory_order_relaxed);
        if (atomic_compare_exchange_weak_explicit(&r->head, &head, head + 1, memory_order_acq_rel,
                                                  memory_order_acquire))
            return co;
    }
}

/* Of the others, one that is in `state`: to look at the rings. */
static void wake_one(struct rn__proc *self, enum rn__sleep state)
{
    struct rn__runtime *rt = self->rt;

    for (int i = 1; i < rt->n_procs; i++) {
        struct rn__proc *p = rt->procs[(self->index + i) % rt->n_procs];
        uint8_t asleep = (uint8_t)state;

        if (atomic_load(&p->sleep) == asleep &&
            atomic_compare_exchange_strong(&p->sleep, &asleep, RN__AWAKE)) {
            if (state == RN__SLEEPING)
                atomic_fetch_sub(&rt->idle, 1);
            rn__tally(&self->stats.wakes_sent, 1);
            p->poller->ops->wake(p->poller);
            return;
        }
    }
}

void rn__run_fresh(struct rn__proc *p, struct rn__coro *co)
{
    if (!rn__fifo_empty(&p->new_overflow) || !ring_push(&p->fresh, co)) {
        rn__fifo_push(&p->new_overflow, &co->link);
        return;
    }
    if (atomic_load(&p->rt->idle) > 0) /* W2 */
        wake_one(p, RN__SLEEPING);
}

/* All that the ring has room for: others take from it while this P runs what it has taken. */
static void refill(struct rn__proc *p)
{
    struct rn__snode *n;

    while ((n = rn__fifo_pop(&p->new_overflow)) != NULL) {
        if (!ring_push(&p->fresh, RN_CONTAINER(n, struct rn__coro, link))) {
            rn__fifo_push_front(&p->new_overflow, n);
            break;
        }
    }
    if (atomic_load(&p->rt->idle) > 0) /* W2 */
        wake_one(p, RN__SLEEPING);
}

static bool is_coarse(struct rn__ring *r)
{
    return atomic_load_explicit(&r->grain, memory_order_relaxed) > 1;
}

static struct rn__coro *take_fresh(struct rn__proc *p)
{
    struct rn__coro *co = ring_take(&p->fresh);

    if (RN_UNLIKELY(!rn__fifo_empty(&p->new_overflow))) {
        if (co == NULL)
            co = RN_CONTAINER(rn__fifo_pop(&p->new_overflow), struct rn__coro, link);
        refill(p);
    }
    if (co == NULL)
        return NULL;
    p->taken_from = &p->fresh;
    if (RN_UNLIKELY(is_coarse(&p->fresh)) && !ring_empty(&p->fresh))
        wake_one(p, RN__NAPPING); /* the next would wait long for this P */
    return co;
}

void rn__run_new(struct rn__proc *p)
{
    struct rn__coro *co = p->rt->n_procs == 1 ? NULL : take_fresh(p);

    if (co != NULL)
        rn__run_next(p, co);
}

/* ---- the inbox ---- */

/* W3 and S4. Was it asleep still? */
static bool rouse(struct rn__proc *p)
{
    uint8_t before = atomic_load(&p->sleep);

    if (before != RN__AWAKE)
        before = atomic_exchange(&p->sleep, RN__AWAKE);
    if (before == RN__SLEEPING)
        atomic_fetch_sub(&p->rt->idle, 1);
    return before != RN__AWAKE;
}

void rn__post(struct rn__proc *p, struct rn__msg *m)
{
    struct rn__msg *head = atomic_load_explicit(&p->inbox, memory_order_relaxed);

    do
        m->next = head;
    while (!atomic_compare_exchange_weak(&p->inbox, &head, m)); /* W1 */
    if (rouse(p)) {
        struct rn__proc *self = rn__proc();

        if (self != NULL)
            rn__tally(&self->stats.wakes_sent, 1);
        p->poller->ops->wake(p->poller);
    }
}

static void read_inbox(struct rn__proc *p)
{
    struct rn__msg *m, *next, *in_order = NULL;

    if (RN_LIKELY(atomic_load_explicit(&p->inbox, memory_order_relaxed) == NULL))
        return;
    for (m = atomic_exchange(&p->inbox, NULL); m != NULL; m = next) {
        next = m->next;
        m->next = in_order;
        in_order = m;
    }
    for (m = in_order; m != NULL; m = next) {
        next = m->next; /* fn may free, or post again, what m lives in */
        m->fn(p, m);
    }
}

/* ---- switching ---- */

static inline struct rn__coro *pick(struct rn__proc *p)
{
    struct rn__snode *n;

    /* Unlikely, or gcc puts the queue's way aside, and each yield costs 5 ns more. */
    if (RN_UNLIKELY(p->next != NULL)) {
        struct rn__coro *co = p->next;

        p->next = NULL;
        if (--p->favours > 0)
            return co;
        rn__fifo_push(&p->runq, &co->link);
    }
    p->favours = RN__FAVOURS;
    n = rn__fifo_pop(&p->runq);
    if (RN_LIKELY(n != NULL))
        return RN_CONTAINER(n, struct rn__coro, link);
    return p->rt->n_procs == 1 ? NULL : take_fresh(p);
}

static inline void switch_to(struct rn__proc *p, struct rn__coro *next, bool last)
{
    struct rn__coro *me = p->front.current;

    p->front.current = next;
    p->front.io_budget = RN__IO_BUDGET;
    rn__stat_add(&p->stats.switches, 1);
    rn__san_leave(&me->san, &next->san, last);
    rn__switch(&me->sp, next->sp);
    rn__san_enter(&me->san);
}

void rn__switch_away(struct rn__proc *p, bool last)
{
    struct rn__coro *next = NULL;

    rn__held_check(p->front.current, p->held);
    if (RN_LIKELY(--p->tick > 0)) {
        next = pick(p);
    } else if (p->next != NULL) { /* the scheduler knows but the queue */
        rn__fifo_push(&p->runq, &p->next->link);
        p->next = NULL;
    }
    if (next == NULL)
        next = &p->sched;
    else
        rn__coro_set_proc(next, p); /* a stolen one has come to stay */
    if (next != p->front.current)
        switch_to(p, next, last);
}

/* ---- looking around ---- */

static void fire_timers(struct rn__proc *p)
{
    struct rn__timer *t;

    while ((t = rn__heap_pop(&p->timers, p->front.now)) != NULL) {
        if (t->kind == RN__TIMER_CORO)
            rn__ready(RN_CONTAINER(t, struct rn__coro, timer));
        else if (t->kind == RN__TIMER_WAIT)
            rn__interrupt(RN_CONTAINER(t, struct rn__coro, timer));
        else
            rn__iowait_timer(p, t);
    }
}

/* 0, 1, 2 to 3, 4 to 7 and so on. */
static void count_batch(struct rn__proc *p, unsigned n)
{
    unsigned i = n == 0 ? 0 : 32U - (unsigned)__builtin_clz(n);

    rn__tally(&p->stats.polls, 1);
    rn__tally(&p->stats.events, n);
    rn__tally(&p->stats.batches[i < RN_STATS_BATCHES ? i : RN_STATS_BATCHES - 1], 1);
}

/* See asleep_ns in stats.c. */
static void begin_sleep(struct rn__proc *p)
{
#ifndef RN_NO_STATS
    uint64_t before = atomic_load_explicit(&p->stats.asleep, memory_order_relaxed);

    atomic_store_explicit(&p->stats.asleep, RN__ASLEEP | ((uint64_t)p->front.now - before),
                          memory_order_relaxed);
#else
    (void)p;
#endif
}

/* The clock has gone on: what the events start sets its deadlines by it. And it is awake, for the
 * watchdog, before it has looked around. */
static void end_sleep(struct rn__proc *p)
{
    p->front.now = rn_now();
    atomic_store_explicit(&p->turn, p->front.now, memory_order_relaxed);
#ifndef RN_NO_STATS
    atomic_store_explicit(
        &p->stats.asleep,
        (uint64_t)p->front.now -
            (atomic_load_explicit(&p->stats.asleep, memory_order_relaxed) & ~RN__ASLEEP),
        memory_order_relaxed);
#endif
}

static void poll_events(struct rn__proc *p, rn_time until)
{
    int n;

    if (until > 0)
        begin_sleep(p);
    n = p->poller->ops->wait(p->poller, until, p->events, RN__EVENTS);
    RN_ASSERT(n >= 0);
    if (until > 0)
        end_sleep(p);
    count_batch(p, (unsigned)n);
    for (int i = 0; i < n; i++)
        rn__iowait_event(p, &p->events[i]);
}

/* What is new must not starve behind a run queue that is never empty. Once the ring has overflown,
 * nobody steals fast enough: then as many come in as there were switches, or who starts one at each
 * of its turns would outrun them for ever. */
static void admit(struct rn__proc *p)
{
    int most = rn__fifo_empty(&p->new_overflow) ? RN__TICK / 4 : RN__TICK;
    struct rn__coro *co;

    for (int i = 0; p->rt->n_procs > 1 && i < most && (co = take_fresh(p)) != NULL; i++)
        rn__run_next(p, co);
    for (int i = 0; i < RN__TICK / 4; i++) {
        struct rn__snode *n = rn__fifo_pop(&p->starts);

        if (n != NULL) {
            struct rn__iowait *w = RN_CONTAINER(n, struct rn__iowait, free_link);

            w->rest(w);
        }
    }
}

/* What a coroutine that holds its P shows up in. */
static void count_turn(struct rn__proc *p, uint64_t ns)
{
#ifndef RN_NO_STATS
    if (RN_UNLIKELY(ns > atomic_load_explicit(&p->stats.longest_turn_ns, memory_order_relaxed)))
        atomic_store_explicit(&p->stats.longest_turn_ns, ns, memory_order_relaxed);
#else
    (void)p;
    (void)ns;
#endif
}

/* Are those that come from the ring of which some have just run long at it? Said of the ring by
 * whoever ran them. Twice in a row, for a turn in which the kernel took the CPU away looks so, too.
 */
static void judge(struct rn__proc *p, rn_time span)
{
    struct rn__ring *r = p->taken_from;
    uint64_t before = p->switches_before,
             now = atomic_load_explicit(&p->stats.switches, memory_order_relaxed);
    uint8_t grain;

    p->switches_before = now;
    if (r == NULL)
        return;
    p->taken_from = NULL;
    grain = atomic_load_explicit(&r->grain, memory_order_relaxed);
    if (span < (rn_time)(now - before) * RN__COARSE) {
        if (grain != 0)
            atomic_store_explicit(&r->grain, 0, memory_order_relaxed);
    } else if (grain < 2) {
        atomic_store_explicit(&r->grain, grain + 1, memory_order_relaxed);
    }
}

static void look_around(struct rn__proc *p)
{
    rn_time before = p->front.now;

    read_inbox(p);
    p->front.now = rn_now();
    judge(p, p->front.now - before);
    count_turn(p, (uint64_t)(p->front.now - before));
    atomic_store_explicit(&p->turn, p->front.now, memory_order_relaxed);
    fire_timers(p);
    if (p->next_poll == 0)
        p->next_poll = p->front.now + RN__POLL_EVERY;
    if (p->front.now >= p->next_poll &&
        (!rn__fifo_empty(&p->runq) || !rn__fifo_empty(&p->starts))) {
        poll_events(p, 0);
        p->next_poll = p->front.now + RN__POLL_EVERY;
    }
    if (!rn__fifo_empty(&p->runq))
        admit(p);
    rn__stack_trim(&p->stacks);
}

/* ---- handlers to be started ---- */

void rn__start_later(struct rn__iowait *w)
{
    rn__fifo_push(&rn__proc()->starts, &w->free_link);
}

/* The next one's cache lines come while this one's handler runs: of many connections each lies in
 * memory that has not been looked at since its last request. */
static void start_next(struct rn__proc *p)
{
    struct rn__iowait *w = RN_CONTAINER(rn__fifo_pop(&p->starts), struct rn__iowait, free_link);
    const struct rn__snode *next = p->starts.head;

    if (next != NULL) {
        const char *slot = (const char *)RN_CONTAINER(next, struct rn__iowait, free_link);

        for (int at = 0; at < RN__SLOT_BYTES; at += RN_CACHE_LINE)
            __builtin_prefetch(slot + at, 1);
    }
    w->rest(w);
}

/* Starts handlers, one, or as many as have no memory now or go to another P, until there is one to
 * run. */
static struct rn__coro *start_one(struct rn__proc *p)
{
    while (rn__fifo_empty(&p->runq) && !rn__fifo_empty(&p->starts))
        start_next(p);
    return pick(p);
}

/*
 * Of a batch of handlers one goes on where the last one has ended, on its stack and as the same
 * coroutine in another life, without two switches by way of the scheduler. Only where the scheduler
 * would do nothing else first. rn__go takes what stands in `ended`, and nothing that stands on a
 * stack that somebody else could be given meanwhile.
 */
bool rn__start_here(struct rn__proc *p, struct rn__coro *co)
{
    if (rn__fifo_empty(&p->starts) || !rn__fifo_empty(&p->runq) || p->next != NULL ||
        p->tick <= 1 || p->seed != 0 || (p->rt->n_procs > 1 && !ring_empty(&p->fresh)))
        return false;
    rn__held_check(co, p->held);
    p->tick--;
    p->front.io_budget = RN__IO_BUDGET;
    rn__stat_add(&p->stats.switches, 1); /* to the watchdog, and to judge, it is one */
    p->ended = co;
    p->front.current = &p->sched;
    start_next(p);
    p->front.current = co;
    if (p->ended == NULL)
        return true;
    p->ended = NULL;
    return false;
}

/* ---- stealing and idling ---- */

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

/* A P comes to what it has started by itself, on a warm stack and beside whom that talks to: only
 * what it has not come to after a nap is worth moving, or what is coarse. One ring is watched at a
 * time; when that was in vain comes a rest, and then another ring's turn; and another rest, for as
 * long as some P starts coroutines and comes to them itself: or it would wake this one for each. */
static struct rn__coro *steal(struct rn__proc *p)
{
    struct rn__runtime *rt = p->rt;
    bool waited = p->watching, rested = p->rested;
    uint32_t tails = 0;

    p->watching = p->rested = false;
    for (int i = 0; i <= rt->n_procs; i++) {
        int at = (p->watched + i) % rt->n_procs;
        struct rn__ring *r = &rt->procs[at]->fresh;
        uint32_t head = atomic_load(&r->head), tail = atomic_load(&r->tail);
        bool due = p->seed != 0 || is_coarse(r) || (i == 0 && (int32_t)(p->watched_to - head) > 0);
        struct rn__coro *co;

        tails += i < rt->n_procs ? tail : 0;
        if (at == p->index || head == tail || (i == 0 && !due))
            continue;
        if (due && (co = ring_take(r)) != NULL) {
            p->in_vain = 0;
            p->taken_from = r;
            rn__tally(&p->stats.steals, 1);
            atomic_store(&co->proc, p); /* ordered: see rn__cancel */
            return co;
        }
        if (!waited) {
            p->watching = p->naps = true;
            p->watched = at;
            p->watched_to = tail;
            return NULL;
        }
    }
    p->naps |= waited || (rested && tails != p->tails);
    p->tails = tails;
    return NULL;
}

static bool work_anywhere(struct rn__proc *p, bool nap)
{
    if (atomic_load(&p->inbox) != NULL || atomic_load(&p->rt->stop))
        return true;
    for (int i = 0; !nap && p->rt->n_procs > 1 && i < p->rt->n_procs; i++)
        if (!ring_empty(&p->rt->procs[i]->fresh))
            return true;
    return false;
}

static bool coarse_anywhere(struct rn__runtime *rt)
{
    for (int i = 0; i < rt->n_procs; i++) {
        struct rn__ring *r = &rt->procs[i]->fresh;

        if (is_coarse(r) && !ring_empty(r))
            return true;
    }
    return false;
}

/* Is another P about to send something, or to start it? Nobody needs to wake one that looks. */
static bool spin(struct rn__proc *p)
{
    rn_time end = rn_now() + RN__SPIN;

    do
        for (int i = 0; i < 64; i++) {
            if (atomic_load_explicit(&p->inbox, memory_order_relaxed) != NULL ||
                coarse_anywhere(p->rt))
                return true;
            relax();
        }
    while (rn_now() < end);
    p->spins = false;
    return false;
}

/* Rests are twice as long each time in a row: where all is taken by who has started it, they, and
 * the wake-ups between them, only cost. */
static rn_time nap_until(struct rn__proc *p)
{
    rn_time span = RN__NAP;

    if (!p->watching) {
        p->rested = true;
        span <<= p->in_vain;
        if (p->in_vain < RN__NAPS)
            p->in_vain++;
    }
    return p->front.now + span;
}

static void idle(struct rn__proc *p)
{
    bool nap = p->naps;
    rn_time until = rn__heap_next(&p->timers), from = p->front.now, nap_end;
    bool roused, message;

    if (p->spins && spin(p))
        return;
    if (p->quiet_at == 0)
        p->quiet_at = rn__time_add(p->front.now, RN__QUIET);
    if (until > p->quiet_at)
        until = p->quiet_at;
    atomic_store_explicit(&p->turn, RN__TIME_NEVER, memory_order_relaxed);
    if (!nap)
        atomic_fetch_add(&p->rt->idle, 1); /* S1 */
    else if (until > (nap_end = nap_until(p)))
        until = nap_end;
    /* An exchange for qemu's sake, which lets a seq_cst store pass a later load (7.2). */
    (void)atomic_exchange(&p->sleep, nap ? RN__NAPPING : RN__SLEEPING);
    poll_events(p, work_anywhere(p, nap) ? 0 : until); /* S2, S3 */
    roused = !rouse(p);                                /* S4 */
    message = atomic_load_explicit(&p->inbox, memory_order_relaxed) != NULL;
    /* Woken for what is gone: the next sleep is a nap, or each start would wake it in vain. */
    p->naps = roused && !message;
    p->next_poll = 0; /* looked just now: what was found is served first */
    p->spins = (roused || message) && p->front.now < from + 2 * RN__SPIN;
}

/* Nothing has run for a while. Said before looking at the others, as they do: so the last one sees
 * that all are. */
static void quiet(struct rn__proc *p)
{
    p->quiet_at = RN__TIME_NEVER;
    rn__stack_give_back(&p->stacks);
    if (rn__heap_next(&p->timers) != RN__TIME_NEVER)
        return;
    atomic_store(&p->quiet, true);
    for (int i = 0; i < p->rt->n_procs; i++)
        if (!atomic_load(&p->rt->procs[i]->quiet))
            return;
    rn__asleep_check(p->rt);
}

static void not_quiet(struct rn__proc *p)
{
    p->quiet_at = 0;
    p->naps = p->rested = false;
    if (atomic_load_explicit(&p->quiet, memory_order_relaxed))
        atomic_store(&p->quiet, false);
}

void rn__sched_loop(struct rn__proc *p)
{
    p->front.now = rn_now();
    while (!atomic_load_explicit(&p->rt->stop, memory_order_relaxed)) {
        struct rn__coro *co;

        /* Between handlers of one batch there is nothing to look at. */
        if (p->tick <= 0 || rn__fifo_empty(&p->starts)) {
            look_around(p);
            p->tick = p->seed != 0 ? 2 : RN__TICK;
        }
        co = pick(p);
        if (co == NULL)
            co = start_one(p);
        if (co == NULL && p->rt->n_procs > 1)
            co = steal(p);
        if (co == NULL) {
            if (RN_UNLIKELY(p->quiet_at != 0 && p->front.now >= p->quiet_at))
                quiet(p);
            idle(p);
            continue;
        }
        if (p->quiet_at != 0)
            not_quiet(p);
        rn__coro_set_proc(co, p);
        switch_to(p, co, false);
    }
}

/* ---- cancel everything ---- */

static void cancel_one(struct rn__coro *co, void *arg)
{
    struct rn__proc *p = arg;
    enum rn__coro_state state = rn__state(co); /* before where: a thief has said that first */

    if (rn__coro_proc(co) != p || co == p->rt->main)
        return;
    switch (state) {
    case RN__PARKED:
        atomic_store_explicit(&co->cancelled, true, memory_order_relaxed);
        if (co->shields == 0)
            rn__interrupt(co);
        break;
    case RN__RUNNABLE:
        atomic_store_explicit(&co->cancelled, true, memory_order_relaxed);
        break;
    default:
        break;
    }
}

static void cancel_here(struct rn__proc *p, struct rn__msg *m)
{
    (void)m;
    atomic_store(&p->cancelling, false);
    rn__stack_each(cancel_one, p);
}

void rn__cancel_all(struct rn__runtime *rt)
{
    for (int i = 0; i < rt->n_procs; i++) {
        struct rn__proc *p = rt->procs[i];

        if (!atomic_exchange(&p->cancelling, true)) {
            p->cancel_msg.fn = cancel_here;
            rn__post(p, &p->cancel_msg);
        }
    }
}

uint64_t rn__alive(const struct rn__runtime *rt)
{
    uint64_t started = atomic_load(&rt->foreign_spawned), ended = 0;

    for (int i = 0; i < rt->n_procs; i++)
        ended += atomic_load(&rt->procs[i]->stats.finished);
    for (int i = 0; i < rt->n_procs; i++)
        started += atomic_load(&rt->procs[i]->stats.spawned);
    return started - ended;
}

/* ---- a P's own life ---- */

int rn__proc_open(struct rn__runtime *rt, int index, struct rn__proc **ret)
{
    /* malloc aligns to 16; the shared parts want their own cache lines. */
    size_t room = sizeof(struct rn__proc) + RN_CACHE_LINE;
    char *raw = rn__calloc(1, room);
    struct rn__proc *p;
    int r;

    if (raw == NULL)
        return -ENOMEM;
    p = (struct rn__proc *)(void *)(raw + (RN_CACHE_LINE - (uintptr_t)raw % RN_CACHE_LINE));
    p->raw = raw;
    p->rt = rt;
    p->index = index;
    p->front.current = p->front.scheduler = &p->sched;
    p->front.counts = p->stats.counts;
    p->next_id = last_ids[index];
    p->seed = rt->seed == 0 ? 0 : rt->seed * 0x9e3779b97f4a7c15U + (uint64_t)index * 2 + 1;
    p->tick = 1;
    p->turn = RN__TIME_NEVER;
    rn__heap_init(&p->timers);
    r = rt->poller->open(&p->poller);
    if (r < 0) {
        rn__free(raw);
        return r;
    }
    p->wants_arm = rt->poller->needs_arm || rt->poller->submit != NULL;
    *ret = p;
    return 0;
}

void rn__proc_close(struct rn__proc *p)
{
    last_ids[p->index] = p->next_id;
    p->poller->ops->close(p->poller);
    rn__heap_free(&p->timers);
    rn__free(p->raw);
}
