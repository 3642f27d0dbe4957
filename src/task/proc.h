/*
 * proc.h - the P (one thread's scheduler) and the runtime that holds them all
 *
 * Private to src/task. Layers above see P only as an opaque pointer (coro.h, iowait.h).
 */
#ifndef RN_TASK_PROC_H
#define RN_TASK_PROC_H

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "base/sys.h"
#include "poll/poller.h"
#include "task/coro.h"
#include "task/log.h"
#include "task/slot.h"
#include "task/stack.h"
#include <runnel/stats.h>
#include <runnel/task.h>

#define RN__RING 256     /* new coroutines an idle P may steal; the rest overflows */
#define RN__TICK 64      /* switches between two looks at inbox, clock and poller */
#define RN__FAVOURS 16   /* in a row that go before the run queue */
#define RN__IO_BUDGET 64 /* calls that succeed at once before a coroutine goes to the back */
#define RN__EVENTS 256
#define RN__MAX_PROCS 256

/* A P that has had nothing to run for so long gives back what it keeps; see quiet() in sched.c. */
#define RN__QUIET (500 * RN_MILLISECOND)

/* A P whose last sleep was ended by another P within twice this time looks at its inbox, and at
 * rings of what is coarse, for so long before the next one: an eventfd write and a wake-up cost as
 * much. */
#define RN__SPIN (20 * RN_MICROSECOND)

/* How long a P naps that could take a new coroutine from another, and how long it rests when that
 * was in vain: twice as long each time in a row, RN__NAPS times. Without the timer slack of 50 us,
 * which the kernel adds to it by default: longer, it would miss what takes 200 us in all. */
#define RN__NAP (20 * RN_MICROSECOND)
#define RN__NAPS 3

/* What runs for so long, from one switch to the next, is coarse: worth moving at once. */
#define RN__COARSE (4 * RN_MICROSECOND)

/* Between looks at the poller while coroutines are runnable. */
#define RN__POLL_EVERY (100 * RN_MICROSECOND)

/* Kinds of rn__timer. CORO: ready it (a sleep); WAIT: interrupt what it waits in. */
enum { RN__TIMER_CORO, RN__TIMER_WAIT, RN__TIMER_READ, RN__TIMER_WRITE };

/* Coroutines that have not run yet. The owner pushes at tail; owner and thieves take at head by
 * CAS. Slots are atomic because a thief reads one that the owner may be overwriting; its CAS on
 * head then fails. */
struct rn__ring {
    _Atomic uint32_t head;
    _Atomic uint32_t tail;
    _Atomic uint8_t grain; /* turns in a row, 2 at most, in which what came from here was coarse */
    _Atomic(struct rn__coro *) slots[RN__RING];
};

/* In rn__proc_stats.asleep: the P sleeps. */
#define RN__ASLEEP (UINT64_C(1) << 63)

struct rn__proc_stats { /* single writer, relaxed */
    _Atomic uint64_t spawned, finished;
    _Atomic uint64_t switches, parks, steals;
    _Atomic uint64_t wakes_sent; /* eventfd writes this P's thread made for others */
    _Atomic uint64_t polls, events, stale_events;
    _Atomic uint64_t asleep;                    /* see asleep_ns in stats.c */
    _Atomic uint64_t longest_turn_ns;           /* between two looks of the scheduler, when awake */
    _Atomic uint64_t batches[RN_STATS_BATCHES]; /* polls by how many events they returned */
    _Atomic uint64_t counts[RN__COUNTS];        /* what other layers count: see rn__count */
};

/* NAPPING: only for a message to it may others wake it, not for what stands in their rings. */
enum rn__sleep { RN__AWAKE, RN__SLEEPING, RN__NAPPING };

struct rn__proc {
    /* Hot, owner only. */
    struct rn__proc_front front;
    struct rn__runtime *rt;        /* [C] */
    struct rn__fifo runq;          /* [P] */
    struct rn__coro *next;         /* [P] goes before the run queue: see rn__ready_next */
    struct rn__fifo starts;        /* [P] slots whose rest has ended: see rn__start_later */
    struct rn__coro *ended;        /* [P] on whose stack the next may start: see rn__start_here */
    int favours;                   /* [P] how often `next` may, until the queue is looked at */
    int tick;                      /* [P] switches left until the scheduler looks around */
    uint64_t seed;                 /* [P] RN_SCHED_SEED: not 0 shuffles */
    rn_time next_poll;             /* [P] */
    uint64_t next_id;              /* [P] */
    struct rn__stack_cache stacks; /* [P] */
    struct rn__fifo new_overflow;  /* [P] what the ring had no room for */
    rn_time quiet_at;              /* [P] idle: when it counts as quiet; 0: has run since */
    bool spins;                    /* [P] see RN__SPIN */
    bool naps;                     /* [P] the next sleep is a nap */
    bool wants_arm;                /* [C] the poller must be told of each wait */
    bool watching;                 /* [P] to see whether what stands in `watched` is taken */
    bool rested;                   /* [P] the last nap was a rest */
    uint32_t tails;                /* [P] of all rings, in sum, before that */
    unsigned in_vain;              /* [P] rests since it last took a new coroutine */
    int watched;                   /* [P] whose ring */
    uint32_t watched_to;           /* [P] its tail before the nap */
    struct rn__ring *taken_from;   /* [P] in this turn; NULL: nothing new has run */
    uint64_t switches_before;      /* [P] this turn */
    struct rn__proc_stats stats;

    /* Shared. */
    _Alignas(RN_CACHE_LINE) _Atomic(struct rn__msg *) inbox;
    _Atomic uint8_t sleep; /* enum rn__sleep: idle protocol, see sched.c */
    atomic_bool quiet;     /* has been idle for RN__QUIET, and has no timer */
    _Atomic rn_time turn;  /* when the scheduler last looked around; RN__TIME_NEVER: asleep */
    _Atomic uint32_t load; /* conns at home here; for placement */
    _Alignas(RN_CACHE_LINE) struct rn__ring fresh;

    /* Cold. */
    int index; /* 0-based */
    struct rn__poller *poller;
    struct rn__heap timers;      /* [P] */
    struct rn__coro sched;       /* the thread's own stack as a context */
    struct rn__slot_cache slots; /* [P] of slot.c */
    struct rn__msg cancel_msg;   /* cancel everything here; in the inbox while `cancelling` */
    atomic_bool cancelling;
    unsigned long thread;
    int held;        /* pthread mutexes that its thread held before: see held.h */
    _Atomic int tid; /* of its thread; for the watchdog */
    _Atomic clockid_t cpu_clock;
    void *raw; /* what to free */
    struct rn__sys_block counters;
    struct rn__event events[RN__EVENTS];
};

struct rn__runtime {
    struct rn__proc **procs; /* [C] while running */
    int n_procs;
    int n_opened; /* while being built */
    size_t stack_bytes;
    int size_class; /* of stack_bytes */
    rn_time grace_ns;
    rn_time began; /* [C] */
    uint64_t seed;
    const struct rn__poller_ops *poller;
    struct rn__coro *main; /* rn_run's first coroutine: not cancelled with the others */
    _Atomic uint64_t foreign_spawned;
    _Atomic uint32_t lingering; /* closes that go on without a coroutine */
    _Atomic int idle;           /* Ps that are SLEEPING; see sched.c */
    atomic_bool ending;         /* no new coroutines from outside */
    atomic_bool stop;           /* Ps leave their loops */
    atomic_bool asleep_told;    /* see rn__asleep_check */
    _Atomic uint32_t next_proc; /* round robin for plain threads */
};

/* The one runtime; NULL while there is none. Plain threads hold the lock while they use it, so that
 * it cannot end under them. */
extern _Atomic(struct rn__runtime *) rn__runtime;
extern pthread_mutex_t rn__foreign_lock;

void rn__set_proc(struct rn__proc *p);

/* The soft RLIMIT_NOFILE before a run of this process raised it; 0: none did. */
uint64_t rn__nofile_before(void);

/* In the child of a fork under a runtime: from now on each call of runnel aborts with a message. */
void rn__proc_forked(void);

_Static_assert(offsetof(struct rn__proc, front) == 0, "rn__front");

static inline void rn__stat_add(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

/* For what is counted to be looked at only: nothing where statistics are not built in. */
static inline void rn__tally(_Atomic uint64_t *counter, uint64_t by)
{
#ifndef RN_NO_STATS
    rn__stat_add(counter, by);
#else
    (void)counter;
    (void)by;
#endif
}

/* Released, for rn__cancel's sake: who sees the state sees where it came to be. */
static inline void rn__set_state(struct rn__coro *co, enum rn__coro_state s)
{
    atomic_store_explicit(&co->state, (uint8_t)s, memory_order_release);
}

static inline enum rn__coro_state rn__state(struct rn__coro *co)
{
    return (enum rn__coro_state)atomic_load_explicit(&co->state, memory_order_acquire);
}

/* sched.c */
int rn__proc_open(struct rn__runtime *rt, int index, struct rn__proc **ret);
void rn__proc_close(struct rn__proc *p);
void rn__sched_loop(struct rn__proc *p);             /* until rt->stop */
void rn__switch_away(struct rn__proc *p, bool last); /* to the next runnable, or the scheduler */
void rn__run_next(struct rn__proc *p, struct rn__coro *co);   /* back of this P's run queue */
void rn__run_fresh(struct rn__proc *p, struct rn__coro *co);  /* new, may be stolen */
void rn__run_new(struct rn__proc *p);                         /* the oldest of these, if any */
bool rn__start_here(struct rn__proc *p, struct rn__coro *co); /* co has ended; does it go on? */
void rn__post(struct rn__proc *p, struct rn__msg *m);         /* any thread */
void rn__cancel_all(struct rn__runtime *rt);                  /* any thread */

/* Coroutines alive now: started, not yet ended. Exact only when nothing runs. */
uint64_t rn__alive(const struct rn__runtime *rt);

/* cpus.c: how many CPUs this process may use by affinity and cgroup quota; at least 1. */
int rn__usable_cpus(void);

/* fault.c */
int rn__fault_install(void);
void rn__fault_uninstall(void);
struct rn__signal_stack {
    void *memory;
    stack_t before;
};
int rn__fault_thread_begin(struct rn__signal_stack *s);
void rn__fault_thread_end(struct rn__signal_stack *s);

#endif
