/*
 * coro.h - the coroutine: its control block, the switch, park and ready
 *
 *              go                pick               return
 *    FREE ------------> RUNNABLE -----> RUNNING ----------------> FREE
 *                          ^              |
 *                          |   ready      | park (after publishing itself in what it waits for)
 *                          +---------- PARKED
 *
 * Invariant: from its first run to its end a coroutine is resumed by one P only. So "ready" before
 * the switch of a park is complete is harmless: it lands in a queue, or the inbox, of the very
 * thread that is still switching away. Whoever takes the pointer out of the place where it was
 * published, and nobody else, readies the coroutine: exactly once for each park.
 *
 * Control blocks live in slabs (stack.h), not on the stacks: a block stays valid memory for the
 * life of the runtime, whatever happened to its stack.
 */
#ifndef RN_TASK_CORO_H
#define RN_TASK_CORO_H

#include <stdatomic.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/san.h"

struct rn__proc;
struct rn__coro;

/* A message to a P: run fn there, outside any coroutine. Lives in the object it is about. */
struct rn__msg {
    struct rn__msg *next;
    void (*fn)(struct rn__proc *p, struct rn__msg *m);
};

/* RUNNABLE also while it runs: a P knows its own, and a store a switch is saved. */
enum rn__coro_state { RN__FREE, RN__RUNNABLE, RN__PARKED };

/* Why a coroutine is parked, and how to get it out. */
struct rn__wait_kind {
    const char *name; /* for dumps: "read", "sleep" */
    /* On the coroutine's own P while it is parked: takes it out of what it waits in, so that it may
     * be readied. False: somebody else has it already. NULL: this wait cannot be cancelled. */
    bool (*interrupt)(struct rn__coro *co);
    bool outside; /* a thread that is no P ends it */
};

struct rn__coro {
    /* What a park and a wake touch: 64 bytes. */
    void *sp;                         /* [P] saved stack pointer while not running */
    struct rn__snode link;            /* [P] run queue, or free list */
    _Atomic(struct rn__proc *) proc;  /* [C] once started */
    _Atomic uint8_t state;            /* [P] enum rn__coro_state; atomic for readers elsewhere */
    uint8_t size_class;               /* [C] of the stack */
    bool pinned;                      /* [C] may not be stolen */
    bool measured;                    /* [P] began on an empty stack: see sites.h */
    uint8_t shields;                  /* [P] above 0: waits are not cancelled */
    atomic_bool cancelled;            /* sticky: each later wait says -ECANCELED */
    atomic_bool cancelling;           /* [A] cancel_msg is in an inbox */
    const struct rn__wait_kind *wait; /* [P] while PARKED */
    void *wait_obj;                   /* [P] */
    rn_time since;                    /* [P] when it parked, by the P's cached clock */
    rn_time until;                    /* [P] of a sleep or a claimable wait: its end; 0: none */

    void (*fn)(void *arg);      /* [C] */
    void *arg;                  /* [C] */
    struct rn__timer timer;     /* [P] of a sleep, or of a wait with a deadline */
    struct rn__msg msg;         /* ready, or start, from another thread */
    struct rn__msg cancel_msg;  /* see rn__cancel */
    _Atomic uint64_t cancel_id; /* [A] which life it is meant for */
    char *top;                  /* [C] end of the stack, and its slot, in memory */
    _Atomic uint64_t id;        /* of this life; 0: none yet */
    const char *name;
    void *local;
    const void *site; /* [C] return address of the rn_go that started it */
    struct rn__san san;
};

/* Where it runs; relaxed, because whoever needs it to be right has met the coroutine through
 * something that orders. */
static inline struct rn__proc *rn__coro_proc(struct rn__coro *co)
{
    return atomic_load_explicit(&co->proc, memory_order_relaxed);
}

static inline void rn__coro_set_proc(struct rn__coro *co, struct rn__proc *p)
{
    atomic_store_explicit(&co->proc, p, memory_order_relaxed);
}

/* The switch itself: saves what the ABI says a callee saves, plus mxcsr and the x87 control word
 * (x86-64) or fpcr (aarch64), on the running stack; stores its pointer; goes on from `to`. */
void rn__switch(void **save_sp, void *to_sp);

/* First frame of a coroutine; finds its control block where rn__stack_prepare put it. */
void rn__trampoline(void);

/* Writes the first frame; returns the stack pointer to switch to. */
void *rn__switch_prepare(char *top, void *arg);

/* C side of the trampoline. */
_Noreturn void rn__coro_main(struct rn__coro *co);

/* ---- for the layers above; on a P, inside a coroutine unless said otherwise ---- */

/* How a P begins: what each call of the layers above looks at, inline. */
struct rn__proc_front {
    struct rn__coro *current;   /* [P] the running coroutine, or the scheduler */
    struct rn__coro *scheduler; /* [C] */
    rn_time now;                /* [P] cached clock */
    int io_budget;              /* [P] */
    _Atomic uint64_t *counts;   /* [C] of rn__count; single writer */
};

extern __attribute__((visibility("hidden"))) _Thread_local struct rn__proc *rn__this_proc;

/* In a child that a runtime has been forked under: ends it, with a message. */
void rn__check_fork(void);

/* The calling thread's P, NULL on a plain thread: fetch it again after whatever may park, never
 * keep it across. Where the compiler does keep the variable's address, that is still right: a
 * coroutine never changes thread once started, and the scheduler never does (hazards 1). Every
 * call of the child of a fork comes by here. */
static inline struct rn__proc *rn__proc(void)
{
    struct rn__proc *p;

    __asm__ volatile("" ::: "memory");
    p = rn__this_proc;
    if (RN_UNLIKELY(p == NULL))
        rn__check_fork();
    return p;
}

static inline struct rn__proc_front *rn__front(void)
{
    return (struct rn__proc_front *)(void *)rn__proc();
}

/* Where it is known that there is one. */
static inline struct rn__proc_front *rn__front_here(void)
{
    __asm__ volatile("" ::: "memory");
    return (struct rn__proc_front *)(void *)rn__this_proc;
}

/* The running coroutine, NULL on a plain thread and in the scheduler. */
static inline struct rn__coro *rn__self(void)
{
    const struct rn__proc_front *p = rn__front();

    return RN_UNLIKELY(p == NULL || p->current == p->scheduler) ? NULL : p->current;
}

/* Switches away until somebody calls rn__ready. The caller has published itself first. */
void rn__park(const struct rn__wait_kind *why, void *obj);

/* Makes a parked (or about to be parked) coroutine runnable; any thread. */
void rn__ready(struct rn__coro *co);

/* The same, by one that hands something over: as soon as the caller parks, the other goes on with
 * it, before those that wait for their turn, while what both use is still in the caches. Some in a
 * row, so that two who pass things to each other do not keep the P to themselves. */
void rn__ready_next(struct rn__coro *co);

/* Has this coroutine been cancelled as a whole (not just a conn it uses)? By itself only. Ordered,
 * against a cancel that meets it just when it is stolen: see rn__cancel. */
static inline bool rn__is_cancelled(const struct rn__coro *co)
{
    return RN_UNLIKELY(atomic_load(&co->cancelled)) && co->shields == 0;
}

/* Cancels the life `id` of a coroutine: its waits, the one under way and all later ones, return
 * -ECANCELED. Harmless when that life is over. Any thread. */
void rn__cancel(struct rn__coro *co, uint64_t id);

/* On its own P, in the scheduler: ends the wait it is parked in, where that can be ended. */
void rn__interrupt(struct rn__coro *co);

/* Starts a coroutine that stays on P `proc` (NULL: the caller's, stealable when `steal`).
 * site is the return address to name it by. */
struct rn__spawn {
    struct rn__proc *proc;
    bool pinned;
    bool late;          /* also when the run ends: of what is under way it is a part */
    size_t stack_bytes; /* 0: the runtime's default */
    const char *name;
    const void *site;
};
int rn__go(const struct rn__spawn *how, void (*fn)(void *), void *arg);

/* Debug builds, at each call that hands a buffer to the kernel: a frame that reaches into the guard
 * makes the kernel answer EFAULT, not fault. So too little room is told here, by name, and ends the
 * process. */
#ifdef RN_DEBUG
void rn__check_stack(void);
#else
static inline void rn__check_stack(void)
{
}
#endif

/* Counted on the calling thread's P, for statistics; on a plain thread not at all. */
enum rn__count {
    RN__COUNT_ACCEPTED,
    RN__COUNT_DIALLED,
    RN__COUNT_ADOPTED,
    RN__COUNT_RESTED,
    RN__COUNT_WOKEN,
    RN__COUNT_CLOSED, /* and as many as there are reasons: enum rn_stats_closed */
    RN__COUNTS = RN__COUNT_CLOSED + 5
};
static inline void rn__count(enum rn__count what)
{
#ifndef RN_NO_STATS
    struct rn__proc_front *p = rn__front();

    if (p != NULL)
        atomic_store_explicit(&p->counts[what],
                              atomic_load_explicit(&p->counts[what], memory_order_relaxed) + 1,
                              memory_order_relaxed);
#else
    (void)what;
#endif
}

/* A close goes on without a coroutine (+1), has ended (-1): the end of a run waits for it. */
void rn__lingering(int by);

/* The clock as this P's scheduler last saw it; on a P only. */
static inline rn_time rn__now_cached(void)
{
    return rn__front_here()->now;
}

/* A call did a lot of work: let the others run now. */
void rn__spend_all(void);

/* A call succeeded without parking: after some in a row, let the others run. */
static inline void rn__spend(void)
{
    if (RN_UNLIKELY(--rn__front_here()->io_budget <= 0))
        rn__spend_all();
}

/* Nobody else on this P was ready when the poller was last looked at. */
bool rn__alone(void);

/* rn_sleep that no cancel ends; without memory for the timer it yields. */
void rn__pause(rn_time span_ns);

/* Around what looks at the runtime, or wakes coroutines: on a plain thread it does not end
 * meanwhile. On a P, which it cannot end under, nothing. The end is given what the beginning said.
 */
void rn__foreign_enter(void);
void rn__foreign_leave(void);

static inline bool rn__foreign_begin(void)
{
    bool foreign = rn__proc() == NULL;

    if (RN_UNLIKELY(foreign))
        rn__foreign_enter();
    return foreign;
}

static inline void rn__foreign_end(bool begun)
{
    if (RN_UNLIKELY(begun))
        rn__foreign_leave();
}

/* Runs that have ended so far: who has left something for another coroutine knows by it that the
 * other is gone. Counted before their stacks are, with all threads of the run at rest, under what
 * rn__foreign_begin takes. Any thread. */
extern _Atomic uint64_t rn__ended_runs;
RN__BESIDE uint64_t rn__runs(void);

#endif
