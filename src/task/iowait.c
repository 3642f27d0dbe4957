/*
 * iowait.c - the I/O wait; states and rules in iowait.h
 */
#include "task/iowait.h"

#include "base/sys.h"
#include "task/follow.h"
#include "task/proc.h"

/* How soon a rest that ran out of memory, or wants to be slow, is tried again. */
#define REST_RETRY (10 * RN_MILLISECOND)

/* A P that has not looked around for so long is stalled. */
#define STALLED (10 * RN_MILLISECOND)

/* Differences in load that are not worth a way to another P: for a new connection, and for one that
 * has a home already. */
#define PLACE_SLACK 4
#define REBALANCE_SLACK 32

#define ALL_FLAGS (RN__HUP | RN__ERR | RN__RDHUP | RN__PRI)

static const unsigned bit_of[2] = {RN__RD, RN__WR};

static struct rn__proc *home_of(struct rn__iowait *w)
{
    return atomic_load_explicit(&w->home, memory_order_acquire);
}

static uint64_t tag_of(struct rn__iowait *w)
{
    return (uint64_t)rn__iowait_generation(w) << 32 | w->index;
}

/* Acquire: what the caller looks at next is of this life or a later one, never of one before. */
uint32_t rn__iowait_generation(struct rn__iowait *w)
{
    return (uint32_t)(atomic_load_explicit(&w->life, memory_order_acquire) >> 1);
}

void rn__iowait_revive(struct rn__iowait *w)
{
    uint64_t life = atomic_load_explicit(&w->life, memory_order_relaxed);

    /* The generation has 32 bits in a tag; ours wraps with it. */
    life = (((life >> 1) + 1) & UINT32_MAX) << 1;
    atomic_store_explicit(&w->state[RN__READ], RN__IO_IDLE, memory_order_relaxed);
    atomic_store_explicit(&w->state[RN__WRITE], RN__IO_IDLE, memory_order_relaxed);
    atomic_store_explicit(&w->deadline[RN__READ], 0, memory_order_relaxed);
    atomic_store_explicit(&w->deadline[RN__WRITE], 0, memory_order_relaxed);
    atomic_store_explicit(&w->home, NULL, memory_order_relaxed);
    atomic_store_explicit(&w->seen, 0, memory_order_relaxed);
    atomic_store_explicit(&w->ready, 0, memory_order_relaxed);
    atomic_store_explicit(&w->fired, false, memory_order_relaxed);
    w->timer[RN__READ] = (struct rn__timer){.kind = RN__TIMER_READ};
    w->timer[RN__WRITE] = (struct rn__timer){.kind = RN__TIMER_WRITE};
    w->rest = NULL;
    rn__iowait_set_drop(w, NULL);
    w->merged = false;
    w->unarmed = false;
    w->may_be_shared = false;
    w->counted = NULL;
    atomic_store_explicit(&w->life, life, memory_order_release);
}

void rn__iowait_retire(struct rn__iowait *w)
{
    uint64_t life = atomic_load_explicit(&w->life, memory_order_relaxed);

    life = (((life >> 1) + 1) & UINT32_MAX) << 1;
    /* An exchange, so that a cancel by reference either came before or sees another generation. */
    (void)atomic_exchange(&w->life, life);
}

int rn__iowait_open(int fd, unsigned how, struct rn__iowait **ret)
{
    struct rn__proc *p = rn__proc();
    struct rn__iowait *w;
    int r = rn__slot_get(p == NULL ? NULL : &p->slots, &w);

    if (r < 0)
        return r;
    w->fd = fd;
    w->how = (uint8_t)how;
    *ret = w;
    return 0;
}

/* ---- waking ---- */

static void attend_here(struct rn__proc *p, struct rn__msg *m);

static void attend_on(struct rn__iowait *w, struct rn__proc *p)
{
    if (!atomic_exchange(&w->attending, true)) {
        w->attend.fn = attend_here;
        rn__post(p, &w->attend);
    }
}

/* Makes home look at it again; any thread. */
static void attend(struct rn__iowait *w)
{
    struct rn__proc *home = home_of(w);

    if (home != NULL)
        attend_on(w, home);
}

static void end_rest(struct rn__iowait *w)
{
    if (home_of(w) == rn__proc() && rn__self() == NULL) {
        w->rest(w);
        return;
    }
    atomic_store(&w->fired, true);
    attend(w);
}

/* Takes whoever waits in this direction out and wakes it; false where nobody does. */
static bool kick(struct rn__iowait *w, int dir)
{
    uintptr_t s = atomic_load(&w->state[dir]);

    while (s >= RN__IO_REST) {
        uintptr_t to = s == RN__IO_REST ? RN__IO_READY : RN__IO_IDLE;

        if (!atomic_compare_exchange_weak(&w->state[dir], &s, to))
            continue;
        if (s == RN__IO_REST)
            end_rest(w);
        else
            rn__ready((struct rn__coro *)s);
        return true;
    }
    return false;
}

static void wake_both(struct rn__iowait *w)
{
    (void)kick(w, RN__READ);
    (void)kick(w, RN__WRITE);
}

/* At home, in the scheduler. */
static inline void latch(struct rn__iowait *w, int dir)
{
    uintptr_t s = atomic_load_explicit(&w->state[dir], memory_order_relaxed);

    if (s == RN__IO_READY)
        return;
    s = atomic_exchange(&w->state[dir], RN__IO_READY);
    if (s == RN__IO_REST)
        w->rest(w);
    else if (s > RN__IO_REST)
        rn__ready((struct rn__coro *)s);
}

void rn__iowait_nudge(struct rn__iowait *w, int dir)
{
    uintptr_t s = atomic_load(&w->state[dir]);

    while (s != RN__IO_READY && s != RN__IO_REST)
        if (atomic_compare_exchange_weak(&w->state[dir], &s, RN__IO_READY)) {
            if (s > RN__IO_REST)
                rn__ready((struct rn__coro *)s);
            return;
        }
}

bool rn__iowait_cancel_rest(struct rn__iowait *w, bool (*mine)(struct rn__iowait *w, void *arg),
                            void *arg)
{
    uintptr_t s = RN__IO_REST;
    bool yes;

    if (!mine(w, arg) || !atomic_compare_exchange_strong(&w->state[RN__READ], &s, RN__IO_READY))
        return false;
    /* Ours to start now, so it cannot end: but was it still the one that was asked about? Where
     * not, it starts for nothing, which is harmless. */
    yes = mine(w, arg);
    if (yes)
        atomic_fetch_or(&w->life, 1);
    end_rest(w);
    return yes;
}

void rn__iowait_event(struct rn__proc *p, const struct rn__event *ev)
{
    struct rn__iowait *w = rn__slot_at((uint32_t)ev->tag);
    unsigned flags = ev->bits & ALL_FLAGS;

    if (w == NULL || rn__iowait_generation(w) != ev->tag >> 32 || home_of(w) != p) {
        rn__tally(&p->stats.stale_events, 1);
        return;
    }
    if (RN_UNLIKELY(flags != 0))
        atomic_fetch_or_explicit(&w->seen, (uint8_t)flags, memory_order_relaxed);
    if (RN_UNLIKELY(w->merged)) {
        atomic_fetch_or_explicit(&w->ready, (uint8_t)(ev->bits & (RN__RD | RN__WR)),
                                 memory_order_relaxed);
        latch(w, RN__READ);
        return;
    }
    if (ev->bits & RN__RD)
        latch(w, RN__READ);
    if (ev->bits & RN__WR)
        latch(w, RN__WRITE);
}

/* ---- home ---- */

static void count_on(struct rn__iowait *w, struct rn__proc *p)
{
    if (w->counted == p)
        return;
    if (w->counted != NULL)
        atomic_fetch_sub_explicit(&w->counted->load, 1, memory_order_relaxed);
    if (p != NULL)
        atomic_fetch_add_explicit(&p->load, 1, memory_order_relaxed);
    w->counted = p;
}

/* The P with the fewest connections among those that have looked around lately: one that is stuck
 * in somebody's loop must not be sent more. */
static struct rn__proc *least_loaded(struct rn__proc *self, uint32_t *load)
{
    struct rn__runtime *rt = self->rt;
    struct rn__proc *best = self;

    *load = atomic_load_explicit(&self->load, memory_order_relaxed);
    for (int i = 0; i < rt->n_procs; i++) {
        struct rn__proc *p = rt->procs[i];
        uint32_t n = atomic_load_explicit(&p->load, memory_order_relaxed);

        if (n < *load &&
            atomic_load_explicit(&p->turn, memory_order_relaxed) > self->front.now - STALLED) {
            best = p;
            *load = n;
        }
    }
    return best;
}

struct rn__proc *rn__iowait_place(struct rn__iowait *w, bool spread)
{
    struct rn__proc *p = rn__proc(), *best = p;
    uint32_t least, own = atomic_load_explicit(&p->load, memory_order_relaxed);

    if (spread && p->rt->n_procs > 1) {
        best = least_loaded(p, &least);
        if (own <= least + PLACE_SLACK + least / 16)
            best = p;
    }
    count_on(w, best);
    return best;
}

static __attribute__((noinline)) struct rn__proc *rebalance(struct rn__iowait *w,
                                                            struct rn__proc *p)
{
    uint32_t least, own = atomic_load_explicit(&p->load, memory_order_relaxed);
    struct rn__proc *best;

    if (own < REBALANCE_SLACK)
        return p;
    best = least_loaded(p, &least);
    if (own <= least + REBALANCE_SLACK + least / 8)
        return p;
    rn__iowait_leave_home(w);
    count_on(w, best);
    return best;
}

struct rn__proc *rn__iowait_rebalance(struct rn__iowait *w)
{
    struct rn__proc *p = rn__proc();

    return p->rt->n_procs == 1 ? p : rebalance(w, p);
}

static __attribute__((noinline)) int choose_home(struct rn__iowait *w, struct rn__proc *p,
                                                 unsigned how)
{
    struct rn__proc *none = NULL;
    int r;

    if (!atomic_compare_exchange_strong(&w->home, &none, p))
        return 0;
    r = p->poller->ops->add(p->poller, w->fd, tag_of(w), how);
    if (r < 0) {
        atomic_store(&w->home, NULL);
        wake_both(w); /* who came meanwhile, and took it for settled, must see for itself */
        return r;
    }
    /* Edges whose flags do not show: take them for seen. One that arms reports what is ready. */
    if (!p->poller->ops->needs_arm && p->poller->ops->tells != ALL_FLAGS)
        atomic_fetch_or_explicit(&w->seen, (uint8_t)(ALL_FLAGS & ~p->poller->ops->tells),
                                 memory_order_relaxed);
    if (w->how == RN__ADD_PLAIN && !w->merged)
        count_on(w, p);
    return 0;
}

/* Its first wait gives it a home: here. */
static inline int settle(struct rn__iowait *w, struct rn__proc *p, unsigned how)
{
    return RN_LIKELY(home_of(w) != NULL) ? 0 : choose_home(w, p, how);
}

void rn__iowait_leave_home(struct rn__iowait *w)
{
    struct rn__proc *p = home_of(w);

    if (p == NULL)
        return;
    p->poller->ops->del(p->poller, w->fd);
    rn__heap_cancel(&p->timers, &w->timer[RN__READ]);
    rn__heap_cancel(&p->timers, &w->timer[RN__WRITE]);
    atomic_store(&w->home, NULL);
    wake_both(w); /* a writer elsewhere must find its new home */
}

/* A timer no later than the deadline, on home. */
static inline int serve_deadline(struct rn__iowait *w, struct rn__proc *p, int dir)
{
    rn_time at = atomic_load(&w->deadline[dir]);

    if (RN_LIKELY(at == 0 || (rn__timer_armed(&w->timer[dir]) &&
                              rn__heap_at(&p->timers, &w->timer[dir]) <= at)))
        return 0;
    return rn__heap_set(&p->timers, &w->timer[dir], at);
}

/* A published waiter's needs, on home: the arm, where the poller has one, and a timer. */
static inline int serve_waiter(struct rn__iowait *w, struct rn__proc *p, int dir)
{
    int r = 0;

    if (p->wants_arm && !w->unarmed)
        r = p->poller->ops->arm(p->poller, w->fd, w->merged ? w->fd_dirs : bit_of[dir]);
    return r < 0 ? r : serve_deadline(w, p, dir);
}

static void free_here(struct rn__iowait *w, struct rn__proc *p)
{
    bool to_close = w->fd >= 0 && !w->keep_fd;

    if (home_of(w) != NULL) {
        if (p->poller->ops->needs_del || w->may_be_shared || !to_close)
            p->poller->ops->del(p->poller, w->fd);
        rn__heap_cancel(&p->timers, &w->timer[RN__READ]);
        rn__heap_cancel(&p->timers, &w->timer[RN__WRITE]);
    }
    count_on(w, NULL);
    atomic_store(&w->fired, false); /* a rest cancelled just now: nobody is to hear of it */
    if (to_close)
        (void)rn__sys_close(w->fd);
    rn__slot_put(&p->slots, w);
}

static void attend_here(struct rn__proc *p, struct rn__msg *m)
{
    struct rn__iowait *w = RN_CONTAINER(m, struct rn__iowait, attend);
    struct rn__proc *home;

    (void)atomic_exchange(&w->attending, false); /* before looking: what comes now asks again */
    /* While the message was under way the slot may have moved to another P, ended, or begun another
     * life: a look too many does no harm. */
    if (!rn__iowait_in_use(w))
        return;
    home = home_of(w);
    if (home != p && home != NULL) {
        attend(w);
        return;
    }
    if (atomic_exchange(&w->fired, false)) { /* without a home, too: rn__iowait_rest_again */
        w->rest(w);
        return;
    }
    if (home == NULL)
        return;
    for (int dir = 0; dir < 2; dir++)
        if (atomic_load(&w->state[dir]) >= RN__IO_REST && serve_waiter(w, p, dir) < 0)
            (void)kick(w, dir); /* it tries again by itself, and gets the error where it can */
}

void rn__iowait_timer(struct rn__proc *p, struct rn__timer *t)
{
    int dir = t->kind == RN__TIMER_WRITE ? RN__WRITE : RN__READ;
    struct rn__iowait *w = dir == RN__WRITE ? RN_CONTAINER(t, struct rn__iowait, timer[RN__WRITE])
                                            : RN_CONTAINER(t, struct rn__iowait, timer[RN__READ]);
    rn_time at = atomic_load(&w->deadline[dir]);

    if (atomic_load(&w->fired)) { /* rn__iowait_rest_again */
        atomic_store(&w->fired, false);
        w->rest(w);
        return;
    }
    if (at == 0 || atomic_load(&w->state[dir]) < RN__IO_REST)
        return;
    if (at <= p->front.now || rn__heap_set(&p->timers, t, at) < 0)
        (void)kick(w, dir);
}

void rn__iowait_set_deadline(struct rn__iowait *w, int dir, rn_time at)
{
    struct rn__proc *p = rn__proc();
    rn_time old;

    /* A P's cached clock may lag: what has passed now must not look as if it had not. Near ones
     * only: reading the clock costs more than all the rest here. */
    if (at != 0 && at < p->front.now + RN_SECOND && at <= rn_now())
        at = 1;
    old = atomic_exchange(&w->deadline[dir], at);
    /* Either the waiter, which publishes itself first, sees the new deadline, or we see the waiter.
     * Only an earlier one matters: for a later one the timer fires, sees it, and is set again. */
    if (at == 0 || (old != 0 && old <= at) || atomic_load(&w->state[dir]) < RN__IO_REST)
        return;
    if (at == 1)
        (void)kick(w, dir);
    else if (home_of(w) != p)
        attend(w);
    else if (serve_waiter(w, p, dir) < 0)
        (void)kick(w, dir);
}

/* ---- waiting ---- */

bool rn__iowait_has_edges(void)
{
    return !rn__proc()->poller->ops->needs_arm;
}

bool rn__iowait_interrupt(struct rn__coro *co)
{
    struct rn__iowait *w = co->wait_obj;

    for (int dir = 0; dir < 2; dir++) {
        uintptr_t s = (uintptr_t)co;

        if (atomic_compare_exchange_strong(&w->state[dir], &s, RN__IO_IDLE))
            return true;
    }
    return false;
}

int rn__iowait_wait(struct rn__iowait *w, int dir, const struct rn__wait_kind *why)
{
    struct rn__proc *p = rn__proc(), *home;
    struct rn__coro *co = p->front.current;
    uintptr_t self = (uintptr_t)co, s = RN__IO_IDLE;
    int r;

    if (rn__is_cancelled(co))
        return -ECANCELED;
    r = settle(w, p, w->how);
    if (r < 0)
        return r;
    if (!atomic_compare_exchange_strong(&w->state[dir], &s, self)) {
        RN_ASSERT(s == RN__IO_READY); /* one waiter a direction: the layer above sees to it */
        return 0;
    }
    /* Published. What is looked at from here on cannot be missed: who changes it afterwards sees
     * us in the word. */
    home = atomic_load(&w->home);
    r = rn__iowait_check(w, dir);
    if (r == 0 && (p->wants_arm || atomic_load(&w->deadline[dir]) != 0)) {
        if (home == p)
            r = serve_waiter(w, p, dir);
        else
            attend(w);
    }
    if ((r < 0 || home == NULL) &&
        atomic_compare_exchange_strong(&w->state[dir], &self, RN__IO_IDLE))
        return r; /* 0 without a home: its add failed on another P; try again here */
    rn__park(why, w);
    if (rn__is_cancelled(co))
        return -ECANCELED;
    return rn__iowait_check(w, dir);
}

/* ---- operations of the poller ---- */

struct transfer {
    struct rn__op op;
    struct rn__iowait *w;
    struct rn__coro *alone; /* parked until it is done, whatever happens */
    int dir;
    bool is_done;
};

static const struct rn__wait_kind wait_kernel = {.name = "kernel to let go"};

static void transfer_done(struct rn__op *op)
{
    struct transfer *t = RN_CONTAINER(op, struct transfer, op);

    t->is_done = true;
    if (t->alone != NULL)
        rn__ready(t->alone);
    else
        latch(t->w, t->dir);
}

/* Woken by something else: the buffer is the kernel's until it says so. It may have been faster. */
static void take_back(struct transfer *t, struct rn__proc *p)
{
    while (!t->is_done && !p->poller->ops->cancel(p->poller, &t->op))
        rn_yield();
    if (t->is_done)
        return;
    t->alone = p->front.current;
    rn__park(&wait_kernel, t->w);
}

ssize_t rn__iowait_transfer(struct rn__iowait *w, int dir, void *buf, size_t len, int flags,
                            const struct rn__wait_kind *why)
{
    struct rn__proc *p = rn__proc();
    uintptr_t self = (uintptr_t)p->front.current, s = RN__IO_IDLE;
    struct transfer t = {
        .op = {.done = transfer_done, .buf = buf, .len = len, .fd = w->fd, .flags = flags},
        .w = w,
        .dir = dir,
    };
    int r;

    if (rn__is_cancelled(p->front.current))
        return -ECANCELED;
    r = settle(w, p, RN__ADD_LATER);
    if (r < 0 || home_of(w) != p)
        return r < 0 ? r : -ENOTSUP;
    if (!atomic_compare_exchange_strong(&w->state[dir], &s, self))
        return -EAGAIN;
    /* Published, as in rn__iowait_wait. */
    t.op.send = dir == RN__WRITE;
    r = rn__iowait_check(w, dir);
    if (r == 0)
        r = serve_deadline(w, p, dir);
    if (r == 0)
        r = p->poller->ops->submit(p->poller, &t.op);
    if (r < 0) {
        if (!atomic_compare_exchange_strong(&w->state[dir], &self, RN__IO_IDLE))
            rn__park(why, w); /* somebody has readied us */
        return r == -EAGAIN ? -ENOTSUP : r;
    }
    rn__park(why, w);
    take_back(&t, p);
    if (t.op.result >= 0)
        return t.op.result;
    r = rn__is_cancelled(p->front.current) ? -ECANCELED : rn__iowait_check(w, dir);
    if (t.op.result == -ECANCELED || t.op.result == -EINTR || t.op.result == -EAGAIN)
        return r < 0 ? r : -EAGAIN;
    return t.op.result;
}

bool rn__iowait_transfers(void)
{
    struct rn__proc *p = rn__proc();

    return p != NULL && p->poller->ops->submit != NULL;
}

int rn__iowait_rest(struct rn__iowait *w, void (*rest)(struct rn__iowait *w))
{
    struct rn__proc *p = rn__proc();
    uintptr_t s = RN__IO_IDLE;
    int r = settle(w, p, w->how);

    if (r < 0)
        return r;
    w->rest = rest;
    if (!atomic_compare_exchange_strong(&w->state[RN__READ], &s, RN__IO_REST)) {
        atomic_store(&w->fired, true); /* ready already: start from the scheduler all the same */
        attend(w);
        return 0;
    }
    if (rn__iowait_check(w, RN__READ) < 0)
        (void)kick(w, RN__READ);
    else if (home_of(w) != p)
        attend(w);
    else if (serve_waiter(w, p, RN__READ) < 0)
        (void)kick(w, RN__READ);
    return 0;
}

bool rn__iowait_try_rest(struct rn__iowait *w, void (*rest)(struct rn__iowait *w))
{
    uintptr_t s = RN__IO_IDLE;

    w->rest = rest;
    return atomic_compare_exchange_strong(&w->state[RN__READ], &s, RN__IO_REST) || s == RN__IO_REST;
}

void rn__iowait_unrest(struct rn__iowait *w)
{
    uintptr_t s = RN__IO_REST;

    (void)atomic_compare_exchange_strong(&w->state[RN__READ], &s, RN__IO_IDLE);
}

void rn__iowait_rest_here(struct rn__iowait *w)
{
    if (rn__iowait_rest(w, w->rest) < 0)
        w->rest(w);
}

int rn__iowait_rest_on(struct rn__iowait *w, struct rn__proc *on,
                       void (*rest)(struct rn__iowait *w), struct rn__msg *msg)
{
    if (on == rn__proc())
        return rn__iowait_rest(w, rest);
    w->rest = rest;
    rn__post(on, msg);
    return 0;
}

void rn__iowait_rest_again(struct rn__iowait *w)
{
    struct rn__proc *p = rn__proc();

    atomic_store(&w->fired, true);
    if (rn__heap_set(&p->timers, &w->timer[RN__READ], p->front.now + REST_RETRY) < 0)
        attend_on(w, p); /* no memory even for a timer: at the next look around */
}

/* ---- cancel and close ---- */

void rn__iowait_cancel(struct rn__iowait *w)
{
    atomic_fetch_or(&w->life, 1);
    wake_both(w);
    rn__tell_followers(w);
}

bool rn__iowait_cancel_if(uint32_t index, uint32_t generation)
{
    struct rn__iowait *w = rn__slot_at(index);
    uint64_t life;

    if (w == NULL || generation % 2 == 0)
        return false;
    life = atomic_load(&w->life);
    do
        if (life >> 1 != generation)
            return false;
    while (!atomic_compare_exchange_weak(&w->life, &life, life | 1));
    wake_both(w);
    rn__tell_followers(w);
    return true;
}

static const struct rn__wait_kind wait_close = {.name = "close"};

struct closing {
    struct rn__msg msg;
    struct rn__iowait *w;
    struct rn__coro *co;
};

static void close_here(struct rn__proc *p, struct rn__msg *m)
{
    struct closing *c = RN_CONTAINER(m, struct closing, msg);
    struct rn__coro *co = c->co;

    free_here(c->w, p);
    rn__ready(co);
}

void rn__iowait_close(struct rn__iowait *w, bool keep_fd)
{
    struct rn__proc *p = rn__proc(), *home = home_of(w);
    struct closing closing = {.msg.fn = close_here, .w = w, .co = p->front.current};

    w->keep_fd = keep_fd;
    if (home == NULL || home == p) {
        free_here(w, p);
        return;
    }
    rn__post(home, &closing.msg);
    rn__park(&wait_close, w);
}
