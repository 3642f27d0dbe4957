/*
 * held.h - debug builds: no coroutine leaves the thread with a pthread mutex held
 *
 * Another coroutine of the same P that locks it would stop the P, and so the one that could unlock
 * it, for ever. rn_mutex may be held across parks.
 */
#ifndef RN_TASK_HELD_H
#define RN_TASK_HELD_H

struct rn__coro;

/* TSan has its own pthread_mutex_lock, and says more of locks than this could. */
#if defined(RN_DEBUG) && !defined(__SANITIZE_THREAD__)
#define RN__HELD 1

/* pthread mutexes that the calling thread holds. */
int rn__held(void);

/* Aborts with a message where the thread holds more than `base`. */
void rn__held_check(const struct rn__coro *co, int base);
#else
#define RN__HELD 0

static inline int rn__held(void)
{
    return 0;
}

static inline void rn__held_check(const struct rn__coro *co, int base)
{
    (void)co;
    (void)base;
}
#endif

#endif
