/*
 * iowait.h - waiting for a descriptor, with deadline and cancel
 *
 * One word for each direction:
 *
 *      IDLE ---wait/rest---> coroutine or REST          the waiter publishes itself
 *      IDLE, READY ---event---> READY                   the latch: an edge nobody waited for
 *      coroutine, REST ---event---> READY, and wake     the poller, on the home P
 *      coroutine ---deadline, cancel, look again---> IDLE, and wake
 *      REST ---deadline, cancel---> READY, and start    on the home P
 *      READY ---clear, before a system call---> IDLE    the one coroutine of that direction
 *
 * Whoever moves the word away from a coroutine or from REST, and nobody else, wakes or starts. The
 * one who wakes need not say why: the waiter looks at the cancel flag and at the deadline itself,
 * and where neither holds it tries its system call again. So a wake too many is harmless, and a
 * timer needs no sequence number: the deadline in force when it fires is the one that counts.
 *
 * Home: the P whose poller knows the descriptor, from the first wait on. Poller calls, the two
 * timers and the freeing of the slot happen there; other threads ask by rn__iowait_attend, a
 * message that says "look at this one again" and is in the inbox at most once. Timers are lazy:
 * moving a deadline later never touches the heap.
 */
#ifndef RN_TASK_IOWAIT_H
#define RN_TASK_IOWAIT_H

#include "base/clock.h"
#include "poll/poller.h"
#include "task/coro.h"
#include "task/slot.h"

#define RN__READ 0
#define RN__WRITE 1

enum { RN__IO_IDLE, RN__IO_READY, RN__IO_REST, RN__IO_COROUTINE };

struct rn__iowait;
typedef void (*rn__iowait_fn)(struct rn__iowait *w);

struct rn__iowait {
    _Atomic uintptr_t state[2];      /* [A] see above; above RN__IO_REST it is a coroutine */
    _Atomic uint64_t life;           /* [A] generation << 1 | cancelled; odd generation: in use */
    _Atomic(struct rn__proc *) home; /* [A] NULL: in no poller */
    _Atomic rn_time deadline[2];     /* [A] 0: none; 1: passed when it was set */
    struct rn__timer timer[2];       /* [home] */
    struct rn__msg attend;           /* in home's inbox while `attending` */
    void (*rest)(struct rn__iowait *w); /* on home, in the scheduler, when REST ended */
    _Atomic(rn__iowait_fn) drop;        /* [A] the runtime ended with it in use; may be NULL */
    struct rn__snode free_link;         /* while free, and between rest and start */
    struct rn__proc *counted;           /* the P in whose load it is; NULL: none */
    uint32_t index;                     /* [C] */
    int fd;                             /* [C] while in use */
    _Atomic uint8_t seen;      /* [A] flags reported so far: RN__HUP ERR RDHUP PRI; sticky */
    _Atomic uint8_t ready;     /* [A] merged: directions reported so far */
    atomic_bool attending;     /* [A] */
    atomic_bool fired;         /* [A] REST ended, home must run `rest` */
    uint8_t how;               /* [C] RN__ADD_* */
    bool unarmed;              /* [waiter] waits for a nudge or the deadline, not for the poller */
    bool merged;               /* [C] any direction wakes RN__READ (rn_wait_fd) */
    atomic_bool may_be_shared; /* [A] the description may be open elsewhere: DEL before close */
    bool keep_fd;              /* [C] once closing */
    uint8_t fd_dirs;           /* [C] merged: the directions to arm */
};

/* A fresh wait for fd, on the calling thread's P. -ENOMEM, -ENFILE. */
int rn__iowait_open(int fd, unsigned how, struct rn__iowait **ret);

/* Nobody waits in it, none will. Takes it out of its poller, closes the descriptor (unless keep_fd)
 * and frees the slot: on the home P, for which the caller parks if it is elsewhere. In the
 * scheduler (from rest) it must be the home P, and does not park. */
void rn__iowait_close(struct rn__iowait *w, bool keep_fd);

/* Before a system call: forget edges that lie behind it. */
static inline void rn__iowait_clear(struct rn__iowait *w, int dir)
{
    uintptr_t ready = RN__IO_READY;

    if (atomic_load_explicit(&w->state[dir], memory_order_relaxed) == RN__IO_READY)
        atomic_compare_exchange_strong(&w->state[dir], &ready, RN__IO_IDLE);
}

/* Sticky; any thread. */
static inline bool rn__iowait_cancelled(struct rn__iowait *w)
{
    return RN_UNLIKELY(atomic_load_explicit(&w->life, memory_order_acquire) & 1);
}

/* May this direction go on? 0, -ECANCELED, -ETIME. */
static inline int rn__iowait_check(struct rn__iowait *w, int dir)
{
    rn_time at = atomic_load_explicit(&w->deadline[dir], memory_order_relaxed);

    if (rn__iowait_cancelled(w))
        return -ECANCELED;
    return RN_UNLIKELY(at != 0 && at <= rn__now_cached()) ? -ETIME : 0;
}

/* Parks until the direction is (or may be) ready: 0. -ECANCELED, -ETIME, -ENOMEM, or what the
 * poller's add said: -EPERM for a regular file. */
int rn__iowait_wait(struct rn__iowait *w, int dir, const struct rn__wait_kind *why);

/* Does a wait end only for what is new? Else what has been ready all along ends it too. */
bool rn__iowait_has_edges(void);

/* Receives into buf, or sends from it, by the poller: parks until that is done, and no longer needs
 * the buffer when it returns. Bytes, or -errno; -ECANCELED, -ETIME, and nothing was moved; -EAGAIN
 * something else has happened: look again. -ENOTSUP: not by this poller, not on this P, or not now:
 * call the kernel, and wait. The latch is the caller's to clear. */
bool rn__iowait_transfers(void); /* whether it is worth asking */
ssize_t rn__iowait_transfer(struct rn__iowait *w, int dir, void *buf, size_t len, int flags,
                            const struct rn__wait_kind *why);

/* interrupt for the wait kinds whose object is a struct rn__iowait. */
bool rn__iowait_interrupt(struct rn__coro *co);

/* No coroutine: `rest` is called on the home P, in the scheduler, once the read side is ready, its
 * deadline passes, or it is cancelled. 0, or the errors of add; then rest is not called. */
int rn__iowait_rest(struct rn__iowait *w, void (*rest)(struct rn__iowait *w));

/* REST only where nothing has happened yet: false, and no rest, where READY is latched already. One
 * that rests goes on: the news of an earlier rest's end may come when the next has begun. */
bool rn__iowait_try_rest(struct rn__iowait *w, void (*rest)(struct rn__iowait *w));

/* Ends REST without a call of rest, by the coroutine that put it there; harmless where it has
 * ended. */
void rn__iowait_unrest(struct rn__iowait *w);

/* The same for a w that nobody knows yet, at home on P `on`; msg travels there, is the caller's,
 * and has as fn a call of rn__iowait_rest_here. What fails there calls rest. */
int rn__iowait_rest_on(struct rn__iowait *w, struct rn__proc *on,
                       void (*rest)(struct rn__iowait *w), struct rn__msg *msg);
void rn__iowait_rest_here(struct rn__iowait *w);

/* From within rest: call w->rest, which may have been set anew, when this P has nothing runnable.
 * So of a batch of events one handler after the other is started, each on the stack that the last
 * one left warm, and not all at once on as many cold ones. */
void rn__start_later(struct rn__iowait *w);

/* From within rest, when it could not do its work for want of memory, or should not go on at once:
 * call it again in 10 ms. */
void rn__iowait_rest_again(struct rn__iowait *w);

/* Out of its poller; the next wait gives it a new home. On the home P, with nobody waiting. */
void rn__iowait_leave_home(struct rn__iowait *w);

/* As if the poller had reported the direction ready, but for one that rests; any thread. */
void rn__iowait_nudge(struct rn__iowait *w, int dir);

/* Ends REST, and nothing else, as a cancel, where `mine` agrees (asked while nothing can happen to
 * the slot). True when it did. Any P. */
bool rn__iowait_cancel_rest(struct rn__iowait *w, bool (*mine)(struct rn__iowait *w, void *arg),
                            void *arg);

/* Which P a new descriptor should live on: the caller's, or with `spread` the one with the fewest,
 * unless it is stalled or the difference is not worth the way. Counts it there. */
struct rn__proc *rn__iowait_place(struct rn__iowait *w, bool spread);

/* Within rest: where the coroutine should run. Another P than this one only when this one has far
 * more than its share; then w has left its home. */
struct rn__proc *rn__iowait_rebalance(struct rn__iowait *w);

/* Sticky; wakes whoever waits. Any thread. */
void rn__iowait_cancel(struct rn__iowait *w);

/* The same for a generation that may be over. True when it was not. */
bool rn__iowait_cancel_if(uint32_t index, uint32_t generation);
uint32_t rn__iowait_generation(struct rn__iowait *w);

/* An absolute time, 0 for none; any thread on a P. */
void rn__iowait_set_deadline(struct rn__iowait *w, int dir, rn_time at);

/* One by the P's cached clock, for the library's own time limits: not before `span` has passed, and
 * at most 1/64 of it later; so one that is moved on with each request is seldom written. */
static inline void rn__iowait_deadline_after(struct rn__iowait *w, int dir, rn_time span_ns)
{
    rn_time slack = (rn_time)((uint64_t)span_ns / 64), at = rn__time_add(rn__now_cached(), span_ns);
    rn_time old = atomic_load_explicit(&w->deadline[dir], memory_order_relaxed);

    if (old < at || old - at > slack)
        rn__iowait_set_deadline(w, dir, rn__time_add(at, slack));
}

/* Flags the poller has reported for it, ever. */
static inline unsigned rn__iowait_seen(struct rn__iowait *w)
{
    return atomic_load_explicit(&w->seen, memory_order_relaxed);
}

static inline bool rn__iowait_ready(struct rn__iowait *w, int dir)
{
    return atomic_load_explicit(&w->state[dir], memory_order_relaxed) == RN__IO_READY;
}

/* Relaxed: who looks at a slot that is not its own looks again for itself. */
static inline void rn__iowait_set_drop(struct rn__iowait *w, rn__iowait_fn drop)
{
    atomic_store_explicit(&w->drop, drop, memory_order_relaxed);
}

static inline rn__iowait_fn rn__iowait_drop(struct rn__iowait *w)
{
    return atomic_load_explicit(&w->drop, memory_order_relaxed);
}

static inline bool rn__iowait_in_use(struct rn__iowait *w)
{
    return (atomic_load_explicit(&w->life, memory_order_relaxed) >> 1) & 1;
}

/* ---- for slot.c and sched.c ---- */
void rn__iowait_revive(struct rn__iowait *w);
void rn__iowait_retire(struct rn__iowait *w);
void rn__iowait_event(struct rn__proc *p, const struct rn__event *ev);
void rn__iowait_timer(struct rn__proc *p, struct rn__timer *t);

#endif
